// One image beside its source and its nearest training images, with the audits' flags and what was decided.

import { ApiError, get } from "./api.js";
import { announce, el, icon, iconButton, keycap } from "./dom.js";
import { scoreText } from "./items.js";
import { faultNote } from "./judge.js";
import { opinionsPanel } from "./opinions.js";
import { Stage } from "./stage.js";
import { t } from "./text.js";

export class CompareView {
  name = "compare";
  #item = null;
  #others = [];

  constructor(app) {
    this.app = app;
    this.left = new Stage({ onSwipe: (step) => this.#step(step), onView: (view) => this.right?.follow(view) });
    this.right = new Stage({ onView: (view) => this.left?.follow(view) });
    this.right.root.classList.add("is-second");
    this.title = el("h1", {});
    this.leftName = el("h2", {}, t("compare.image"));
    this.rightName = el("h2", {});
    this.strip = el("div", { class: "strip", role: "group", "aria-label": t("compare.others") });
    this.facts = el("div", { class: "panel compare-panel", tabindex: 0, "aria-label": t("compare.facts"), role: "region" });
    this.root = el("main", { class: "compare", tabindex: -1 },
      el("header", { class: "compare-head" }, el("a", { class: "button quiet", href: "#/items" }, icon("back"), t("compare.back")),
        this.title, el("div", { class: "moves" },
          iconButton("back", t("judge.previous"), () => this.#step(-1), { key: "ArrowLeft", shown: "←" }),
          iconButton("next", t("judge.next"), () => this.#step(1), { key: "ArrowRight", shown: "→" }))),
      el("section", { class: "pair" },
        el("div", { class: "side" }, this.leftName, this.left.root),
        el("div", { class: "side" }, this.rightName, this.right.root)),
      this.strip, this.facts);
  }

  async enter(item) {
    if (!item) { location.hash = "#/items"; return; }
    this.#item = item;
    let found;
    try {
      found = await get(`/api/compare/${encodeURIComponent(item)}`);
    } catch (error) {
      this.left.tell(error instanceof ApiError ? error.message : t("banner.link"));
      return;
    }
    if (this.#item !== item) return;
    this.title.textContent = found.item.label;
    this.#show(this.left, item, t("compare.image"));
    this.#drawStrip(found);
    this.#drawFacts(found);
    announce(t("compare.shown", { label: found.item.label }));
  }

  leave() {
    this.#item = null;
  }

  key(event) {
    if (this.left.key(event)) return true;
    if (event.key === "ArrowLeft") this.#step(-1);
    else if (event.key === "ArrowRight") this.#step(1);
    else if (event.key === "Escape") location.hash = "#/items";
    else if (/^[1-9]$/.test(event.key) && this.#others[Number(event.key) - 1]) this.#choose(Number(event.key) - 1);
    else return false;
    return true;
  }

  #step(by) {
    const next = this.app.views.items.beside(this.#item, by);
    if (next) location.hash = `#/compare/${encodeURIComponent(next)}`;
  }

  async #show(stage, id, description) {
    const picture = await this.app.pictures.get(id);
    if (!picture.url) return stage.tell(faultNote(picture));
    const image = new Image(); // the same picture may stand on both sides
    image.src = picture.url;
    image.draggable = false;
    return stage.show(image, description);
  }

  #drawStrip({ parent, neighbors, note }) {
    this.#others = [
      ...(parent ? [{ ...parent, name: t("compare.source"), score: null }] : []),
      ...neighbors.map((neighbor, rank) => ({ ...neighbor, name: t("compare.neighbor", { n: rank + 1 }) })),
    ];
    this.strip.replaceChildren(...this.#others.map((other, place) => {
      const picture = el("span", { class: "strip-picture" });
      this.app.thumbs.get(other.image).then(({ url }) => url && picture.append(el("img", { src: url, alt: "" })));
      const score = other.score === null ? "" : t("compare.similarity", { score: scoreText(other.score) });
      return el("button", { type: "button", "aria-pressed": "false", on: { click: () => this.#choose(place) } }, picture,
        el("span", { class: "strip-name" }, place < 9 ? keycap(String(place + 1)) : null, other.name),
        el("span", { class: "hint" }, [other.label, score].filter(Boolean).join(" · ")));
    }));
    if (this.#others.length) this.#choose(0);
    else {
      this.rightName.textContent = t("compare.nothing");
      this.right.tell(note ? t(`compare.note_${note}`) : t("compare.nothing_detail"));
    }
  }

  #choose(place) {
    const other = this.#others[place];
    this.rightName.textContent = `${other.name} · ${other.label}`;
    [...this.strip.children].forEach((button, at) => button.setAttribute("aria-pressed", String(at === place)));
    this.#show(this.right, other.image, other.name);
  }

  #drawFacts({ item, flags, decisions, note }) {
    const rows = [
      [t("compare.verdict"), t(`items.${item.verdict}`)], [t("items.by_source"), t(`items.${item.source}`)],
      [t("items.by_set"), item.set], [t("items.by_strategy"), item.strategy], [t("compare.prompt"), item.prompt],
      [t("compare.skin_type"), item.skin_type], [t("compare.severity"), item.severity], [t("compare.image_id"), item.image_id],
    ].filter(([, value]) => value !== null && value !== undefined && value !== "");
    this.facts.replaceChildren(
      el("section", { class: "group" }, el("h2", { class: "group-title" }, t("compare.flags")),
        flags.length ? flags.map(flagRow) : el("p", { class: "hint" }, note ? t(`compare.note_${note}`) : t("compare.no_flags"))),
      el("section", { class: "group" }, el("h2", { class: "group-title" }, t("compare.facts")),
        el("dl", { class: "facts" }, rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))))),
      opinionsPanel(decisions, this.app.rubric, { isNamed: true }));
  }
}

function flagRow({ check, score, is_flagged: isFlagged, detail }) {
  return el("div", { class: isFlagged ? "flag is-flagged" : "flag" }, icon(isFlagged ? "kept" : "accept"),
    el("div", {}, el("b", {}, check.replaceAll("_", " ")), " ", el("span", {}, t(isFlagged ? "compare.flagged" : "compare.passed")),
      score === null ? null : el("span", { class: "score" }, scoreText(score)), detail ? el("p", { class: "hint" }, detail) : null));
}
