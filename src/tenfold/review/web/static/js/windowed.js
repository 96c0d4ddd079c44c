// A grid of any length of which only the rows in sight exist, led by keys, mouse or touch.

import { el } from "./dom.js";

const SPARE_ROWS = 2;
const SETTLE_MS = 70;
const GAP_PX = 10;

/**
 * `fill(cell, index)` draws one cell; `onSettle(indexes)` hears which are in sight once scrolling rests; `onOpen(index)` on
 * Enter or double click. With `canSelect`, click and Space select, Shift extends. `root` is the element to place.
 */
export class WindowedGrid extends EventTarget {
  #rows = new Map();
  #columns = 1;
  #settling = 0;
  #anchor = 0;

  constructor({ label, prefix, fill, onSettle, onOpen, canSelect = false, captionPx = 0 }) {
    super();
    Object.assign(this, { prefix, fill, onSettle, onOpen, canSelect, captionPx });
    this.total = 0;
    this.cursor = 0;
    this.selected = new Set();
    this.wishedPx = 132;
    this.tilePx = this.wishedPx;
    this.inner = el("div", { class: "windowed-inner", role: "rowgroup" });
    this.root = el("div", {
      class: "windowed", role: "grid", tabindex: 0, "aria-label": label, "aria-multiselectable": canSelect ? "true" : null,
      on: { scroll: () => this.#draw(), click: (event) => this.#clicked(event), dblclick: (event) => this.#doubleClicked(event) },
    }, this.inner);
    new ResizeObserver(() => this.#measure()).observe(this.root);
  }

  setTotal(total) {
    this.total = total;
    this.cursor = Math.min(this.cursor, Math.max(0, total - 1));
    this.#measure();
  }

  /** About how wide a cell is to be; rows are filled to their ends. */
  setTile(px) {
    this.wishedPx = px;
    this.#measure(true);
  }

  /** Draws all cells in sight again, or one. */
  refresh(index = null) {
    for (const cell of this.inner.querySelectorAll(".tile")) {
      if (index === null || Number(cell.dataset.index) === index) this.#fillCell(cell, Number(cell.dataset.index));
    }
    if (index === null) this.#settle();
  }

  get inSight() {
    const height = this.#rowPx;
    const first = Math.floor(this.root.scrollTop / height);
    const last = Math.ceil((this.root.scrollTop + this.root.clientHeight) / height);
    return range(first * this.#columns, Math.min(this.total, last * this.#columns));
  }

  /** Moves the cursor, into sight; `extend` selects from the anchor to it. */
  moveTo(index, extend = false) {
    if (!this.total) return;
    const before = this.cursor;
    this.cursor = Math.min(this.total - 1, Math.max(0, index));
    if (extend && this.canSelect) {
      this.selected = new Set(range(Math.min(this.#anchor, this.cursor), Math.max(this.#anchor, this.cursor) + 1));
      this.#changed();
    } else this.#anchor = this.cursor;
    const top = Math.floor(this.cursor / this.#columns) * this.#rowPx;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    const bottom = top + this.#rowPx - this.root.clientHeight;
    if (bottom > this.root.scrollTop) this.root.scrollTop = bottom;
    this.#draw();
    this.refresh(before);
    this.refresh(this.cursor);
  }

  select(indexes) {
    this.selected = new Set(indexes);
    this.#changed();
  }

  /** Arrow, paging, Home, End, Space, Enter and Escape; true when the key was one of them. */
  key(event) {
    const page = Math.max(1, Math.floor(this.root.clientHeight / this.#rowPx)) * this.#columns;
    const moves = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns, PageUp: -page, PageDown: page,
      Home: -this.total, End: this.total,
    };
    if (event.key in moves) this.moveTo(this.cursor + moves[event.key], event.shiftKey);
    else if (event.key === " " && this.canSelect) this.#toggle(this.cursor);
    else if (event.key === "Enter" && this.total) this.onOpen(this.cursor);
    else if (event.key === "Escape" && this.selected.size) this.select([]);
    else return false;
    return true;
  }

  get #rowPx() {
    return this.tilePx + this.captionPx + GAP_PX;
  }

  #toggle(index) {
    if (!this.selected.delete(index)) this.selected.add(index);
    this.#anchor = index;
    this.#changed();
  }

  #changed() {
    this.refresh();
    this.dispatchEvent(new Event("selected"));
  }

  #clicked(event) {
    const cell = event.target.closest(".tile");
    if (!cell) return;
    const index = Number(cell.dataset.index);
    if (event.shiftKey && this.canSelect) return this.moveTo(index, true);
    this.moveTo(index);
    if (this.canSelect) this.#toggle(index);
    else this.onOpen(index);
    return undefined;
  }

  #doubleClicked(event) {
    const cell = event.target.closest(".tile");
    if (cell && this.canSelect) this.onOpen(Number(cell.dataset.index));
  }

  #measure(force = false) {
    const width = this.inner.clientWidth;
    if (!width) return;
    const columns = Math.max(1, Math.floor((width + GAP_PX) / (this.wishedPx + GAP_PX)));
    const tilePx = Math.floor((width + GAP_PX) / columns - GAP_PX);
    const first = Math.floor(this.root.scrollTop / this.#rowPx) * this.#columns;
    const isNew = columns !== this.#columns || tilePx !== this.tilePx || force;
    if (isNew) {
      this.#columns = columns;
      this.tilePx = tilePx;
      this.#rows.forEach((row) => row.remove());
      this.#rows.clear();
    }
    const rows = Math.ceil(this.total / this.#columns);
    this.inner.style.height = `${rows * this.#rowPx}px`;
    this.root.setAttribute("aria-rowcount", rows);
    this.root.setAttribute("aria-colcount", this.#columns);
    if (isNew) this.root.scrollTop = Math.floor(first / this.#columns) * this.#rowPx;
    this.#draw();
  }

  #draw() {
    const height = this.#rowPx;
    const rows = Math.ceil(this.total / this.#columns);
    const first = Math.max(0, Math.floor(this.root.scrollTop / height) - SPARE_ROWS);
    const last = Math.min(rows, Math.ceil((this.root.scrollTop + this.root.clientHeight) / height) + SPARE_ROWS);
    for (const [number, row] of this.#rows) {
      if (number >= first && number < last && row.dataset.total === String(this.total)) continue;
      row.remove();
      this.#rows.delete(number);
    }
    for (let number = first; number < last; number += 1) if (!this.#rows.has(number)) this.#addRow(number);
    const active = document.getElementById(this.#cellId(this.cursor));
    if (active) this.root.setAttribute("aria-activedescendant", active.id);
    else this.root.removeAttribute("aria-activedescendant");
    this.#settle();
  }

  #addRow(number) {
    const start = number * this.#columns;
    const cells = range(start, Math.min(this.total, start + this.#columns)).map((index) => {
      const cell = el("div", { class: "tile", role: "gridcell", id: this.#cellId(index), "data-index": index });
      this.#fillCell(cell, index);
      return cell;
    });
    const row = el("div", { class: "windowed-row", role: "row", "aria-rowindex": number + 1, "data-total": this.total }, cells);
    row.style.transform = `translateY(${number * this.#rowPx}px)`;
    row.style.setProperty("--columns", this.#columns);
    row.style.setProperty("--tile", `${this.tilePx}px`);
    this.#rows.set(number, row);
    this.inner.append(row);
  }

  #fillCell(cell, index) {
    cell.classList.toggle("is-cursor", index === this.cursor);
    if (this.canSelect) cell.setAttribute("aria-selected", String(this.selected.has(index)));
    this.fill(cell, index);
  }

  #cellId(index) {
    return `${this.prefix}-${index}`;
  }

  #settle() {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.onSettle(this.inSight), SETTLE_MS);
  }
}

function range(start, end) {
  return Array.from({ length: Math.max(0, end - start) }, (_, step) => start + step);
}
