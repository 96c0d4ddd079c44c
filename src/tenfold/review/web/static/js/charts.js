// Small marks in tables: shares with their intervals, and how far a count is from what is wanted.

import { el } from "./dom.js";
import { number, percent, t } from "./text.js";

/** A figure {value, low, high, n_images, method} in words: "82 % (78 % to 86 %)", or why there is none. */
export function figureText(figure, write = percent) {
  if (!figure || figure.value === null) return t("figure.none");
  if (figure.low === null) return t("figure.no_interval", { value: write(figure.value) });
  return t("figure.interval", { value: write(figure.value), low: write(figure.low), high: write(figure.high) });
}

/** The same with its number of images, for tables that have no column of it. */
export function countedFigure(figure, write = percent) {
  const words = figureText(figure, write);
  return figure?.n_images ? [words, el("span", { class: "range" }, t("figure.n", { n: figure.n_images }))] : words;
}

/** The interval and the number of images, under a value that stands larger. */
export function rangeText(figure, write = percent) {
  if (!figure || figure.value === null) return t("figure.none");
  const range = figure.low === null ? t("figure.few") : t("figure.range", { low: write(figure.low), high: write(figure.high) });
  return `${range}${t("figure.n", { n: figure.n_images })}`;
}

/** Dot and interval on a line from 0 to 1; `line` marks chance or a target. The words stand beside it. */
export function intervalMark(figure, line = null) {
  const track = el("span", { class: "track", "aria-hidden": "true" });
  const put = (name, at, width = null) => {
    const mark = el("i", { class: name });
    mark.style.left = `${at * 100}%`;
    if (width !== null) mark.style.width = `${width * 100}%`;
    track.append(mark);
  };
  if (line !== null) put("line", line);
  if (figure?.low !== null && figure?.low !== undefined) put("span", figure.low, figure.high - figure.low);
  if (figure?.value !== null && figure?.value !== undefined) put("dot", figure.value);
  return track;
}

/** A bar from 0: `part` of `whole`. */
export function bar(part, whole) {
  if (!whole) return "";
  const fill = el("i", { class: part >= whole ? "fill is-met" : "fill" });
  fill.style.width = `${Math.min(100, (part / whole) * 100)}%`;
  return el("span", { class: "track", "aria-hidden": "true" }, fill);
}

/**
 * A table with a caption; columns: [{title, kind}] where kind is "", "n" or "plot"; rows: lists of cells, the first a heading.
 * `isAlone`: the heading above says what the caption says, which is then for screen readers only.
 */
export function table(caption, columns, rows, { isMarked = () => false, isAlone = false } = {}) {
  const title = el("caption", {}, isAlone ? el("span", { class: "unseen" }, caption) : caption);
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, el("table", {}, title,
    el("thead", {}, el("tr", {}, columns.map(({ title, kind }) => el("th", { scope: "col", class: kind || null },
      kind === "plot" ? el("span", { class: "unseen" }, title) : title)))),
    el("tbody", {}, rows.map((cells, place) => el("tr", { class: isMarked(place) ? "is-missing" : null },
      cells.map((cell, at) => (at === 0 ? el("th", { scope: "row" }, cell) : el("td", { class: columns[at].kind || null }, cell))))))));
}

/** A whole number, or a dash where there is none. */
export function count(value) {
  return value === null || value === undefined ? "–" : number(value);
}
