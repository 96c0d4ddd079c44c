// Elements from plain calls; texts become text nodes, so no name can turn into markup.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  accept: "M5 12.5l4.500 4.500L19 7.500",
  reject: "M6.500 6.500l11 11M17.500 6.500l-11 11",
  undo: "M9 6L4.500 10.500 9 15M5 10.500h9a5 5 0 0 1 0 10h-3",
  back: "M14.500 5.500L8 12l6.500 6.500",
  next: "M9.500 5.500L16 12l-6.500 6.500",
  closer: "M10.500 4.500a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15 15l5 5M10.500 8v5M8 10.500h5",
  farther: "M10.500 4.500a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15 15l5 5M8 10.500h5",
  fit: "M4.500 9V4.500H9M15 4.500h4.500V9M19.500 15v4.500H15M9 19.500H4.500V15",
  bright: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M18.700 5.300l-1.400 1.400M6.700 17.300l-1.400 1.400",
  theme: "M12 3.500a8.500 8.500 0 1 0 0 17zM12 3.500a8.500 8.500 0 0 1 0 17",
  guide: "M4.500 5.500c3-1 5.500-.5 7.500 1 2-1.500 4.500-2 7.500-1v13c-3-1-5.500-.5-7.500 1-2-1.500-4.500-2-7.500-1zM12 6.500v13",
  help: "M9 9.200a3 3 0 1 1 4.300 2.700c-.9.500-1.300 1-1.300 2.100M12 17.200v.3",
  menu: "M4.500 7h15M4.500 12h15M4.500 17h15",
  close: "M6.500 6.500l11 11M17.500 6.500l-11 11",
  pause: "M8.500 6v12M15.500 6v12",
  kept: "M12 3.500l9 16H3zM12 10v4.500M12 17v.3",
  grid: "M4.500 4.500h6v6h-6zM13.500 4.500h6v6h-6zM4.500 13.500h6v6h-6zM13.500 13.500h6v6h-6z",
};

/** An element: `el("button", {class: "quiet", on: {click}}, "Text", child)`. False and null children are left out. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "class") element.className = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A stroked picture of 24 by 24 units, hidden from screen readers: its button carries the words. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A key's name beside a word; screen readers hear `aria-keyshortcuts` of the control instead. */
export function keycap(text) {
  return el("kbd", { "aria-hidden": "true" }, text);
}

/** A button of a picture only, named for screen readers and on hover. */
export function iconButton(name, label, onClick, { key = "", shown = "" } = {}) {
  return el("button", {
    type: "button", class: "icon-button", "aria-label": label, title: shown ? `${label} (${shown})` : label,
    "aria-keyshortcuts": key || null, on: { click: onClick },
  }, icon(name));
}

/** Says a text to screen readers; the same text twice is said twice. */
export function announce(text) {
  const region = document.getElementById("spoken");
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}

/** True while keys are for text or for a control's own use. */
export function isTyping(target) {
  if (!(target instanceof Element)) return false;
  if (target.closest("textarea, select, [contenteditable], dialog")) return true;
  return target instanceof HTMLInputElement && !["radio", "checkbox", "button"].includes(target.type);
}
