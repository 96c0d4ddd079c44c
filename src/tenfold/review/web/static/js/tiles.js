// The small picture of one image in a grid: its thumbnail, its verdict, and its name for screen readers.

import { el, icon } from "./dom.js";

const SIGNS = { accept: "accept", accepted: "accept", reject: "reject", rejected: "reject", disputed: "help", faulty: "kept" };

/** Draws into `cell`: {id, label, sign, caption}; the picture comes when it is there. `id` null: not read yet. */
export function drawTile(cell, thumbs, { id, label, sign = null, caption = [] }) {
  cell.setAttribute("aria-label", label);
  cell.dataset.sign = sign ?? "";
  if (cell.dataset.id !== String(id)) {
    cell.dataset.id = String(id);
    cell.replaceChildren(el("div", { class: "tile-picture" }), el("div", { class: "tile-sign" }),
      el("div", { class: "tile-caption" }, caption.map((line) => el("span", {}, line))));
  }
  const [picture, corner] = cell.children;
  if (corner.dataset.sign !== (sign ?? "")) {
    corner.dataset.sign = sign ?? "";
    corner.replaceChildren(...(SIGNS[sign] ? [icon(SIGNS[sign])] : []));
  }
  const found = id === null ? null : thumbs.peek(id);
  if (found?.url && !picture.firstChild) picture.append(el("img", { src: found.url, alt: "", draggable: "false" }));
  else if (found?.fault) cell.dataset.sign = "faulty";
}

/** Fetches the pictures in sight, and draws each cell again as its picture comes. */
export function fetchTiles(grid, thumbs, idsByIndex) {
  thumbs.only([...idsByIndex.values()]);
  for (const [index, id] of idsByIndex) if (!thumbs.peek(id)) thumbs.get(id).then(() => grid.refresh(index));
}
