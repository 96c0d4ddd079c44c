// Class definitions and guide images at hand, beside the image that is judged.

import { get } from "./api.js";
import { el, iconButton } from "./dom.js";
import { t } from "./text.js";

/** Opens and closes beside the view; reads the guides when first opened. */
export class Drawer {
  #isRead = false;

  constructor(app) {
    this.app = app;
    this.body = el("div", { class: "drawer-body" });
    this.root = el("aside", { class: "drawer", "aria-labelledby": "drawer-title", tabindex: -1, hidden: true },
      el("header", {}, el("h2", { id: "drawer-title" }, t("guide.title")), iconButton("close", t("frame.close"), () => this.toggle(false))),
      this.body);
  }

  get isOpen() {
    return !this.root.hidden;
  }

  toggle(isOpen = !this.isOpen) {
    this.root.hidden = !isOpen;
    document.body.classList.toggle("has-drawer", isOpen);
    if (!isOpen) return;
    this.root.focus();
    if (!this.#isRead) this.#read();
  }

  async #read() {
    this.body.replaceChildren(el("p", { class: "hint" }, t("guide.loading")));
    try {
      const { classes } = await get("/api/guides");
      this.#isRead = true;
      this.body.replaceChildren(...(classes.length ? classes.map((one) => this.#section(one)) : [el("p", { class: "hint" }, t("guide.none"))]));
    } catch {
      this.body.replaceChildren(el("p", { class: "hint" }, t("guide.failed")));
    }
  }

  #section({ name, definition, images }) {
    const pictures = images.map((id, number) => {
      const place = el("button", { type: "button", class: "guide-image", "aria-label": t("guide.image", { name, n: number + 1 }) });
      this.app.thumbs.get(id).then(({ url }) => url && place.append(el("img", { src: url, alt: "" })));
      place.addEventListener("click", () => this.#enlarge(place, id));
      return place;
    });
    return el("section", { class: "guide" }, el("h3", {}, name), definition ? el("p", {}, definition) : null,
      images.length ? el("div", { class: "guide-images" }, pictures) : null);
  }

  async #enlarge(place, id) {
    const isLarge = place.classList.toggle("is-large");
    const image = place.querySelector("img");
    if (!isLarge || !image) return;
    const { url } = await this.app.pictures.get(id);
    if (url) image.src = url;
  }
}
