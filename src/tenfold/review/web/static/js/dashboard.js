// The review in figures for its lead: progress, accept rates, reasons, detection, agreement, time and coverage.

import { ApiError, get } from "./api.js";
import { bar, count, countedFigure, figureText, intervalMark, rangeText, table } from "./charts.js";
import { el } from "./dom.js";
import { moment, number, percent, t } from "./text.js";

const AGAIN_MS = 20000;
const NOT_TOLD = "not told"; // what the figures call a value that is not known

export class DashboardView {
  name = "dashboard";
  #timer = 0;
  #made = "";

  constructor(app) {
    this.app = app;
    this.made = el("p", { class: "hint" });
    this.body = el("div", { class: "dashboard-inner" });
    this.root = el("main", { class: "dashboard", tabindex: -1 }, this.body);
  }

  async enter() {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => document.hidden || this.#read(), AGAIN_MS);
    if (!this.#made) this.body.replaceChildren(el("h1", {}, t("dashboard.title")), el("p", { class: "hint" }, t("dashboard.loading")));
    await this.#read();
  }

  leave() {
    clearInterval(this.#timer);
  }

  key() {
    return false;
  }

  async #read() {
    let found;
    try {
      found = await get("/api/dashboard");
    } catch (error) {
      if (!this.#made) this.body.replaceChildren(el("h1", {}, t("dashboard.title")), el("p", {}, error instanceof ApiError ? error.message : t("banner.link")));
      return;
    }
    this.made.textContent = [t("dashboard.made_at", { at: moment(found.made_at) }), t("dashboard.reviewers_fixed"), alike(found.summary),
      found.summary.rule ? t(`dashboard.rule_${found.summary.rule}`) : ""].join(" ");
    const text = JSON.stringify([found.summary, found.coverage]);
    if (text === this.#made) return; // the same figures: the reader's place on the page stays
    this.#made = text;
    this.#draw(found.summary, found.coverage);
  }

  #draw(summary, coverage) {
    this.body.replaceChildren(
      el("header", { class: "dashboard-head" }, el("h1", {}, t("dashboard.title")), this.made),
      headline(summary), readers(summary), coverageCard(coverage),
      el("div", { class: "two" },
        rates("label", summary.by_label), rates("strategy", summary.by_strategy), rates("skin_type", summary.by_skin_type),
        summary.by_set.length > 1 ? rates("set", summary.by_set) : null, reasons(summary, this.app.rubric),
        shownAsAsked(summary)),
      detection(summary.detection), agreement(summary.agreement),
      rates("prompt", summary.by_prompt));
  }
}

function card(name, ...children) {
  return el("section", { class: "card" }, el("h2", {}, t(`dashboard.${name}`)), el("p", { class: "hint" }, t(`dashboard.${name}_note`)), children);
}

/** Whether images share sources, which the intervals heed, or how they would be too narrow. */
function alike({ n_sources: sources, n_images: images }) {
  return t(sources < images ? "dashboard.sources" : "dashboard.independent", { images, sources });
}

function headline(summary) {
  const { effort, detection: { together } } = summary;
  const decided = summary.accepted + summary.rejected;
  const figures = [
    [t("dashboard.decided"), t("frame.position", { n: decided, total: summary.n_images }),
      t("dashboard.decided_more", { accepted: summary.accepted, rejected: summary.rejected })],
    [t("dashboard.accept_rate"), short(summary.accept_rate), rangeText(summary.accept_rate)],
    [t("dashboard.disputed"), count(summary.disputed), t("dashboard.disputed_more", { adjudicated: summary.adjudicated, faulty: summary.faulty })],
    [t("dashboard.detected"), short(together.balanced), [rangeText(together.balanced), together.balanced.value === null ? "" :
      t("dashboard.both_n", { synthetic: together.synthetic_told.n_images, real: together.real_told.n_images })].join(" ")],
    [t("dashboard.per_accepted"), effort.minutes_per_accepted.value === null ? "–" : number(effort.minutes_per_accepted.value, 2),
      rangeText(effort.minutes_per_accepted, (value) => number(value, 2))],
    [t("dashboard.pace"), effort.images_per_hour === null ? "–" : count(Math.round(effort.images_per_hour)),
      [t("dashboard.pace_more", { minutes: Math.round(effort.minutes) }),
        effort.median_seconds === null ? "" : t("dashboard.pace_median", { seconds: effort.median_seconds }),
        effort.n_capped ? t("dashboard.pace_capped", { n: effort.n_capped }) : "",
        effort.n_untimed ? t("dashboard.pace_untimed", { n: effort.n_untimed }) : ""].filter(Boolean).join(" ")],
  ];
  return el("dl", { class: "figures" }, figures.map(([name, value, more]) =>
    el("div", { class: "figure" }, el("dt", {}, name), el("dd", {}, value), el("dd", { class: "more" }, more))));
}

function readers({ readers: all }) {
  const people = all.filter((one) => one.total || one.last_at);
  const columns = [head("reader"), head("progress", "plot"), head("decided", "n"), head("accept_rate"), head("real_accept_rate"), head("seconds", "n"), head("last")];
  return card("readers", table(t("dashboard.readers_caption"), columns, people.map((one) => [
    [one.name, one.role === "reviewer" ? "" : el("span", { class: "range" }, ` ${t(`role.${one.role}`)}`)], bar(one.decided, one.total - one.faulty),
    one.total ? t("frame.position", { n: one.decided, total: one.total - one.faulty }) : "–", countedFigure(one.accept_rate), countedFigure(one.real_accept_rate),
    one.median_seconds === null ? "–" : number(one.median_seconds, 1), one.last_at ? moment(one.last_at) : "–",
  ]), { isAlone: true }));
}

function rates(name, rows) {
  const columns = [head(name), head("accept_rate", "plot"), head("accept_rate"), head("accepted", "n"), head("decided_n", "n"), head("undecided", "n")];
  return card(`by_${name}`, table(t(`dashboard.by_${name}`), columns, rows.map((row) => [
    named(row.value), intervalMark(row.share), figureText(row.share), count(row.accepted), count(row.accepted + row.rejected), count(row.undecided),
  ]), { isAlone: true }));
}

function reasons(summary, rubric) {
  const words = new Map(rubric.reasons.map(({ value, text }) => [value, text]));
  const columns = [head("reason"), head("share", "plot"), head("share"), head("images", "n")];
  return card("reasons", summary.reasons.length ? table(t("dashboard.reasons"), columns, summary.reasons.map((row) => [
    words.get(row.reason) ?? named(row.reason), intervalMark(row.share), figureText(row.share), count(row.n_images),
  ]), { isAlone: true }) : el("p", {}, t("dashboard.reasons_none")));
}

/** Whether reviewers saw the condition that an image was to show. */
function shownAsAsked({ shown_as_asked: shown, class_was_told: wasTold }) {
  const columns = [head("label"), head("share", "plot"), head("share"), head("images", "n")];
  const rows = Object.entries(shown).map(([label, share]) => [label, intervalMark(share), figureText(share), count(share.n_images)]);
  const name = wasTold ? "shown_told" : "shown";
  return rows.length ? card(name, table(t(`dashboard.${name}`), columns, rows, { isAlone: true })) : null;
}

function detection(found) {
  const columns = [head("who"), head("balanced", "plot"), head("balanced"), head("synthetic_told"), head("real_told")];
  const row = (one, name) => [name, intervalMark(one.balanced, 0.5), countedFigure(one.balanced), countedFigure(one.synthetic_told), countedFigure(one.real_told)];
  return card("detection",
    table(t("dashboard.detection_readers"), columns, [row(found.together, t("dashboard.together")), ...found.by_reviewer.map((one) => row(one, one.name))]),
    found.by_label.length ? table(t("dashboard.detection_labels"), columns, found.by_label.map((one) => row(one, one.name))) : null);
}

function agreement(found) {
  const columns = [head("who"), head("percent"), head("kappa"), head("images", "n")];
  const kappa = (value) => number(value, 2);
  const pair = (one, name) => [name, figureText(one.percent), figureText(one.cohen_kappa, kappa), count(one.percent.n_images)];
  return card("agreement",
    table(t("dashboard.between"), columns, [
      [t("dashboard.together_fleiss"), figureText(found.percent), figureText(found.fleiss_kappa, kappa), count(found.percent.n_images)],
      ...found.pairs.map((one) => pair(one, t("dashboard.pair", { first: one.first, second: one.second })))]),
    table(t("dashboard.within"), columns, [pair(found.within_together, t("dashboard.together")), ...found.within.map((one) => pair(one, one.first))]));
}

function coverageCard({ rows, goals }) {
  const groups = [...new Set(rows.map((row) => row.skin_type_group))].sort();
  const lines = [...new Set(rows.map((row) => JSON.stringify([row.label, row.severity])))].map((line) => JSON.parse(line));
  const cell = (label, severity, group) => {
    const found = rows.find((row) => row.label === label && row.severity === severity && row.skin_type_group === group);
    return found ? [count(found.accepted), found.undecided ? el("span", { class: "range" }, t("dashboard.open", { n: found.undecided })) : ""] : "–";
  };
  const missing = goals.filter((goal) => goal.missing > 0);
  const toDraw = missing.filter((goal) => goal.to_draw !== 0);
  const wanting = toDraw.length ? toDraw : missing; // what the undecided ones will fill is in the table
  const columns = [head("goal"), head("progress", "plot"), head("accepted_of", "n"), head("missing", "n"), head("to_draw", "n")];
  const draw = ({ missing, to_draw: n, to_draw_low: low, to_draw_high: high }) => {
    if (!missing) return "–";
    return n === null ? t("dashboard.rate_unknown") : t("dashboard.draw_range", { n, low, high });
  };
  return card("coverage",
    goals.length ? el("p", { class: "hint" }, t(goals[0].set ? "dashboard.scope_each_set" : "dashboard.scope_all_sets")) : null,
    wanting.length ? el("ul", { class: "needs" }, wanting.map((goal) => el("li", {}, need(goal)))) : null,
    goals.length ? table(t("dashboard.goals"), columns, goals.map((goal) => [
      goalName(goal), bar(goal.accepted, goal.wanted),
      t("frame.position", { n: goal.accepted, total: goal.wanted }), count(goal.missing), draw(goal),
    ]), { isMarked: (place) => goals[place].missing > 0 }) : el("p", { class: "hint" }, t("dashboard.no_goals")),
    table(t("dashboard.tally"), [head("label"), head("severity"), ...groups.map((group) => ({ title: t("dashboard.skin", { group: named(group) }), kind: "n" }))],
      lines.map(([label, severity]) => [named(label), named(severity), ...groups.map((group) => cell(label, severity, group))])));
}

/** What to draw more of, in a sentence; what is undecided is counted on. */
function need({ missing, to_draw: n, to_draw_low: low, to_draw_high: high, why_unknown: why, ...goal }) {
  const words = n === null ? why : n === 0 ? "none" : "";
  return t(words ? `dashboard.need_${words}` : "dashboard.need", { goal: goalName(goal), missing, n, low, high });
}

function goalName({ kind, value, set }) {
  const goal = t(`dashboard.goal_${kind}`, { value: named(value) });
  return set ? t("dashboard.goal_of_set", { goal, set }) : goal;
}

function named(value) {
  return value === NOT_TOLD ? t("dashboard.not_told") : value;
}

function head(name, kind = "") {
  return { title: t(`column.${name}`), kind };
}

function short(figure) {
  return figure.value === null ? "–" : percent(figure.value);
}
