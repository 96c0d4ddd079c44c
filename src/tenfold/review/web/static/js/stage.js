// One image, large: zoom, pan and brightness by mouse, touch and keys. It changes how the image is shown, never its pixels.

import { el, icon, iconButton } from "./dom.js";
import { percent, t } from "./text.js";

const LARGEST_ZOOM = 12;
const STEP = 1.4;
const PAN_STEP_PX = 60;
const SWIPE_PX = 60;
const BRIGHTNESS = { least: 0.5, most: 2, step: 0.1 };

/** `root` is the element to place. onSwipe(+1 or -1): a finger moved the image aside; onView(view): another may follow. */
export class Stage {
  #view = { zoom: 1, x: 0, y: 0 };
  #brightness = 1;
  #pointers = new Map();
  #swipe = null;

  constructor({ onSwipe = () => undefined, onView = () => undefined } = {}) {
    Object.assign(this, { onSwipe, onView });
    this.frame = el("div", { class: "stage-frame" });
    this.corner = el("div", { class: "stage-corner" });
    this.slider = el("input", {
      type: "range", min: BRIGHTNESS.least, max: BRIGHTNESS.most, step: 0.05, value: 1, "aria-label": t("stage.brightness"),
      title: `${t("stage.brightness")} ([ ])`, on: { input: () => this.#setBrightness(Number(this.slider.value)) },
    });
    this.brightText = el("span", { class: "bright-text", "aria-hidden": "true" });
    this.zoomText = el("output", { class: "zoom-text", "aria-label": t("stage.zoom") });
    this.tools = el("div", { class: "stage-tools", role: "toolbar", "aria-label": t("stage.tools") },
      iconButton("farther", t("stage.farther"), () => this.zoomBy(1 / STEP), { key: "-", shown: "−" }),
      this.zoomText,
      iconButton("closer", t("stage.closer"), () => this.zoomBy(STEP), { key: "+", shown: "+" }),
      iconButton("fit", t("stage.fit"), () => this.fit(true), { key: "0", shown: "0" }),
      el("span", { class: "slider" }, icon("bright"), this.slider, this.brightText));
    this.root = el("div", { class: "stage" }, this.frame, this.corner, this.tools);
    this.#listen();
    this.#draw();
  }

  /** Shows an image that has been decoded; zoom returns to the whole image, brightness stays as the reviewer set it. */
  show(image, description) {
    image.className = "stage-image";
    image.alt = description;
    this.frame.replaceChildren(image);
    this.fit();
  }

  /** Shows a sentence, or any element, where the image would be. */
  tell(content) {
    this.frame.replaceChildren(el("div", { class: "stage-note" }, content));
    this.fit();
  }

  /** Takes over another stage's zoom, place and brightness. */
  follow({ zoom, x, y, brightness }) {
    this.#view = { zoom, x, y };
    this.#brightness = brightness;
    this.#draw(false);
  }

  fit(withBrightness = false) {
    this.#view = { zoom: 1, x: 0, y: 0 };
    if (withBrightness) this.#setBrightness(1);
    this.#draw();
  }

  zoomBy(factor, at = null) {
    const box = this.frame.getBoundingClientRect();
    const point = at ?? { x: box.left + box.width / 2, y: box.top + box.height / 2 };
    const { zoom, x, y } = this.#view;
    const next = Math.min(LARGEST_ZOOM, Math.max(1, zoom * factor));
    const fromMiddle = { x: point.x - box.left - box.width / 2, y: point.y - box.top - box.height / 2 };
    const change = next / zoom;
    this.#view = {
      zoom: next, x: fromMiddle.x - (fromMiddle.x - x) * change, y: fromMiddle.y - (fromMiddle.y - y) * change,
    };
    this.#draw();
  }

  /** Zoom, pan and brightness keys; true when the key was one of them. */
  key(event) {
    const pans = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key === "+" || event.key === "=") this.zoomBy(STEP);
    else if (event.key === "-" || event.key === "_") this.zoomBy(1 / STEP);
    else if (event.key === "0") this.fit(true);
    else if (event.key === "[") this.#setBrightness(this.#brightness - BRIGHTNESS.step);
    else if (event.key === "]") this.#setBrightness(this.#brightness + BRIGHTNESS.step);
    else if (event.shiftKey && pans[event.key] && this.#view.zoom > 1) {
      this.#pan(pans[event.key][0] * PAN_STEP_PX, pans[event.key][1] * PAN_STEP_PX);
    } else return false;
    return true;
  }

  #pan(dx, dy) {
    this.#view = { ...this.#view, x: this.#view.x + dx, y: this.#view.y + dy };
    this.#draw();
  }

  #setBrightness(value) {
    this.#brightness = Math.min(BRIGHTNESS.most, Math.max(BRIGHTNESS.least, Math.round(value * 100) / 100));
    this.#draw();
  }

  #draw(isOwn = true) {
    const { width, height } = this.frame.getBoundingClientRect();
    const view = this.#view;
    const most = { x: (width * (view.zoom - 1)) / 2, y: (height * (view.zoom - 1)) / 2 };
    view.x = Math.min(most.x, Math.max(-most.x, view.x));
    view.y = Math.min(most.y, Math.max(-most.y, view.y));
    this.frame.style.setProperty("--zoom", view.zoom);
    this.frame.style.setProperty("--x", `${view.x}px`);
    this.frame.style.setProperty("--y", `${view.y}px`);
    this.frame.style.setProperty("--brightness", this.#brightness);
    this.frame.classList.toggle("is-zoomed", view.zoom > 1);
    this.zoomText.textContent = percent(view.zoom);
    this.slider.value = this.#brightness;
    this.slider.setAttribute("aria-valuetext", percent(this.#brightness));
    this.zoomText.classList.toggle("is-changed", view.zoom > 1);
    this.brightText.textContent = this.#brightness === 1 ? "" : percent(this.#brightness);
    if (isOwn) this.onView({ ...view, brightness: this.#brightness });
  }

  #listen() {
    const frame = this.frame;
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 400), { x: event.clientX, y: event.clientY });
    }, { passive: false });
    frame.addEventListener("dblclick", (event) => {
      if (this.#view.zoom > 1) this.fit();
      else this.zoomBy(3, { x: event.clientX, y: event.clientY });
    });
    frame.addEventListener("pointerdown", (event) => {
      frame.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const isFirstFinger = event.pointerType !== "mouse" && this.#pointers.size === 1 && this.#view.zoom === 1;
      this.#swipe = isFirstFinger ? { x: event.clientX, y: event.clientY } : null;
    });
    frame.addEventListener("pointermove", (event) => this.#pointerMoved(event));
    for (const name of ["pointerup", "pointercancel"]) frame.addEventListener(name, (event) => this.#pointerLeft(event));
  }

  #pointerMoved(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    if (this.#pointers.size === 1) {
      if (this.#view.zoom > 1) this.#pan(now.x - before.x, now.y - before.y);
    } else {
      const other = [...this.#pointers].find(([id]) => id !== event.pointerId)[1];
      const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
      this.#pan((now.x - before.x) / 2, (now.y - before.y) / 2);
      this.zoomBy(distance(now, other) / Math.max(1, distance(before, other)), middle);
    }
    this.#pointers.set(event.pointerId, now);
  }

  #pointerLeft(event) {
    const swipe = this.#swipe;
    this.#pointers.delete(event.pointerId);
    this.#swipe = null;
    if (!swipe || event.type === "pointercancel") return;
    const [dx, dy] = [event.clientX - swipe.x, event.clientY - swipe.y];
    if (Math.abs(dx) > SWIPE_PX && Math.abs(dx) > 2 * Math.abs(dy)) this.onSwipe(dx < 0 ? 1 : -1);
  }
}

function distance(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
