// All images of the review for the lead: filtered, counted, and opened beside their sources.

import { get } from "./api.js";
import { el } from "./dom.js";
import { number, t } from "./text.js";
import { drawTile, fetchTiles } from "./tiles.js";
import { WindowedGrid } from "./windowed.js";

const WINDOW = 100;
const VERDICTS = ["accepted", "rejected", "undecided", "disputed", "faulty"];
const FILTERS = ["verdict", "label", "source", "set", "strategy", "skin_type_group", "severity"];

export class ItemsView {
  name = "items";
  #windows = new Map();
  #asked = new Set();
  #filter = {};
  #generation = 0;

  constructor(app) {
    this.app = app;
    this.grid = new WindowedGrid({
      label: t("items.label"), prefix: "item", captionPx: 42, fill: (cell, index) => this.#fill(cell, index),
      onSettle: (indexes) => this.#settled(indexes), onOpen: (index) => this.#open(index),
    });
    this.count = el("p", { class: "grid-count", "aria-live": "polite" });
    this.filters = el("form", { class: "filters", "aria-label": t("items.filters"), on: { submit: (event) => event.preventDefault() } });
    this.root = el("main", { class: "triage items", tabindex: -1 },
      el("h1", { class: "unseen" }, t("items.title")), el("div", { class: "grid-bar" }, this.count, this.filters), this.grid.root);
  }

  async enter() {
    if (!this.#windows.size) await this.#begin();
    this.grid.refresh();
    this.grid.root.focus({ preventScroll: true });
  }

  leave() {}

  key(event) {
    return this.grid.key(event);
  }

  /** The item before (-1) or after (+1) another in the present filter; null at the ends or when it is not known. */
  beside(item, step) {
    for (const [start, rows] of this.#windows) {
      const place = rows.findIndex((row) => row.item === item);
      if (place < 0) continue;
      const index = start * WINDOW + place + step;
      this.#read(index);
      if (this.#at(index)) this.grid.cursor = index;
      return this.#at(index)?.item ?? null;
    }
    return null;
  }

  #at(index) {
    return this.#windows.get(Math.floor(index / WINDOW))?.[((index % WINDOW) + WINDOW) % WINDOW];
  }

  async #begin() {
    this.#generation += 1;
    this.#windows.clear();
    this.#asked.clear();
    this.grid.setTotal(0);
    await this.#read(0);
    this.grid.moveTo(0);
  }

  async #read(index) {
    const number_ = Math.floor(index / WINDOW);
    if (index < 0 || this.#windows.has(number_) || this.#asked.has(number_)) return;
    const generation = this.#generation;
    this.#asked.add(number_);
    const query = new URLSearchParams({ start: number_ * WINDOW, count: WINDOW, ...this.#filter });
    const answer = await get(`/api/grid?${query}`).catch(() => null);
    if (generation !== this.#generation) return;
    this.#asked.delete(number_);
    if (!answer) return;
    this.#windows.set(number_, answer.items);
    if (!this.filters.children.length) this.#buildFilters(answer.filters);
    this.count.textContent = t("items.count", { n: answer.total });
    this.grid.setTotal(answer.total);
    this.grid.refresh();
  }

  #fill(cell, index) {
    const row = this.#at(index);
    if (!row) return drawTile(cell, this.app.thumbs, { id: null, label: t("grid.tile", { n: index + 1 }) });
    const made = row.source === "real" ? t("items.real") : row.strategy ?? t("items.synthetic");
    const label = [t("grid.tile", { n: index + 1 }), row.label, made, t(`items.${row.verdict}`)].join(", ");
    const votes = row.n_reviewers ? t("items.votes", { accepted: row.n_accept, n: row.n_reviewers }) : "";
    return drawTile(cell, this.app.thumbs, {
      id: row.item, label, sign: row.is_disputed ? "disputed" : row.verdict === "undecided" ? null : row.verdict,
      caption: [row.label, [made, votes].filter(Boolean).join(" · ")],
    });
  }

  async #settled(indexes) {
    if (!indexes.length || !this.root.isConnected) return;
    await Promise.all([indexes[0], indexes.at(-1)].map((index) => this.#read(index)));
    const rows = indexes.map((index) => [index, this.#at(index)?.item]).filter(([, item]) => item);
    fetchTiles(this.grid, this.app.thumbs, new Map(rows));
  }

  #open(index) {
    const row = this.#at(index);
    if (row) location.hash = `#/compare/${encodeURIComponent(row.item)}`;
  }

  #buildFilters(offered) {
    const all = { verdict: VERDICTS, ...offered };
    for (const name of FILTERS) {
      const values = (all[name] ?? []).filter(Boolean);
      if (values.length < 2 && name !== "verdict") continue;
      const select = el("select", { on: { change: () => this.#change(name, select.value) } },
        el("option", { value: "" }, t(`items.all_${name}`)),
        values.map((value) => el("option", { value }, ["verdict", "source"].includes(name) ? t(`items.${value}`) : value)));
      this.filters.append(el("label", {}, el("span", { class: "unseen" }, t(`items.by_${name}`)), select));
    }
  }

  #change(name, value) {
    if (value) this.#filter = { ...this.#filter, [name]: value };
    else delete this.#filter[name];
    this.#begin();
  }
}

/** "0.93" for scores between 0 and 1. */
export function scoreText(score) {
  return score === null || score === undefined ? "" : number(score, 2);
}
