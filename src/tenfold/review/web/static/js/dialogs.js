// Windows over the page: the keys, what is not saved yet, and the pause.

import { el, icon, keycap } from "./dom.js";
import { moment, t } from "./text.js";

/** The keys of the page, those of the rubric among them. */
export function helpDialog(rubric) {
  const keys = (rows) => el("dl", { class: "keys" }, rows.map(([names, text]) => el("div", {},
    el("dt", {}, names.map((name) => el("kbd", {}, name))), el("dd", {}, text))));
  const judging = [
    [["A"], t("judge.accept")], [["R"], t("help.reject")], [["1", "–", "9"], t("help.digits")], [["U"], t("help.undo")],
    [["←", "→"], t("help.arrows")], [["C"], t("help.comment")], [["Esc"], t("help.escape")],
  ];
  const seeing = [
    [["+", "−"], t("help.zoom")], [["0"], t("help.fit")], [["Shift", "↑ ↓ ← →"], t("help.pan")], [["[", "]"], t("help.brightness")],
  ];
  const places = [
    [["G"], t("help.grid")], [["I"], t("help.guide")], [["P"], t("help.pause")], [["?"], t("help.help")],
  ];
  const questions = rubric.questions.filter(({ key }) => key).map(({ key, text }) => [[key.toUpperCase()], text]);
  const grid = [
    [["↑ ↓ ← →"], t("help.grid_move")], [["Space"], t("help.grid_select")], [["Shift", "↑ ↓ ← →"], t("help.grid_extend")],
    [["Enter"], t("help.grid_open")],
  ];
  const opened = dialog(t("help.title"), el("div", { class: "key-columns" },
    section(t("help.judging"), keys(judging)), questions.length ? section(t("help.questions"), keys(questions)) : null,
    section(t("help.seeing"), keys(seeing)), section(t("help.grid_title"), keys(grid)), section(t("help.places"), keys(places)),
    section(t("help.touch"), el("ul", {}, ["tap", "swipe", "pinch", "double"].map((one) => el("li", {}, t(`help.touch_${one}`)))))));
  opened.classList.add("wide");
  return opened;
}

/** What is saved and what is not, with ways to try again and to keep a copy. */
export function unsentDialog(sender) {
  const { waiting, refused, astray, foreign, state, detail } = sender;
  const parts = [];
  if (!waiting.length && !refused.length) parts.push(el("p", {}, t("unsent.none")));
  if (waiting.length) {
    parts.push(el("p", {}, t("unsent.waiting", { n: waiting.length })),
      state === "saved" || state === "sending" ? null : el("p", {}, t(`banner.${state.replace("-", "_")}`)),
      detail?.what ? el("p", { class: "hint" }, detail.what) : null);
  }
  if (refused.length) parts.push(el("h3", {}, t("unsent.refused", { n: refused.length })), entryList(refused));
  if (foreign) parts.push(el("p", { class: "hint" }, t("unsent.foreign", { n: foreign })));
  const all = [...waiting, ...refused];
  const opened = dialog(t("unsent.title"), ...parts, el("div", { class: "buttons" },
    waiting.length ? el("button", { type: "button", on: { click: () => { sender.sendNow(); opened.close(); } } }, t("unsent.again")) : null,
    all.length ? el("button", { type: "button", class: "quiet", on: { click: () => saveCopy(all) } }, t("unsent.copy")) : null,
    [[refused, "unsent.dismiss"], [astray, "unsent.dismiss_astray"]].map(([entries, words]) => (entries.length ? el("button", {
      type: "button", class: "quiet", on: { click: () => { sender.dismiss(entries); opened.close(); } },
    }, t(words)) : null))));
  return opened;
}

/** A calm cover: the image is out of sight and no time is counted until the reviewer goes on. */
export function pauseDialog(onEnd) {
  const opened = dialog(t("rest.paused"), el("p", {}, t("rest.paused_detail")), el("div", { class: "buttons" },
    el("button", { type: "button", autofocus: true, on: { click: () => opened.close() } }, t("rest.go_on"), keycap("P"))));
  opened.classList.add("pause");
  opened.addEventListener("keydown", (event) => event.key.toLowerCase() === "p" && opened.close());
  opened.addEventListener("close", onEnd);
  return opened;
}

function dialog(title, ...children) {
  const close = el("button", { type: "button", class: "icon-button", "aria-label": t("frame.close"), on: { click: () => opened.close() } },
    icon("close"));
  const opened = el("dialog", { "aria-labelledby": "dialog-title" },
    el("header", {}, el("h2", { id: "dialog-title" }, title), close), el("div", { class: "dialog-body" }, children));
  opened.addEventListener("click", (event) => event.target === opened && opened.close());
  opened.addEventListener("close", () => opened.remove());
  document.body.append(opened);
  return opened;
}

function section(title, content) {
  return el("section", {}, el("h3", {}, title), content);
}

function entryList(entries) {
  return el("ul", { class: "entries" }, entries.map(({ decision, refusal }) => el("li", {},
    el("b", {}, t(`judge.word_${decision.verdict}`)), ` · ${moment(decision.client_time)}`,
    decision.comment ? el("blockquote", {}, decision.comment) : null,
    el("p", { class: "hint" }, refusal.what ?? ""))));
}

function saveCopy(entries) {
  const text = JSON.stringify({ decisions: entries.map((entry) => entry.decision) }, null, 2);
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const anchor = el("a", { href: url, download: "unsent-judgements.json" });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
