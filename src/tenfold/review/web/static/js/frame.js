// The frame around every view: where one is, what is saved, the ways to other views, and short messages.

import { announce, el, icon, iconButton, keycap } from "./dom.js";
import { unsentDialog } from "./dialogs.js";
import { t } from "./text.js";
import { nextTheme, theme } from "./theme.js";

const TOAST_MS = 2500;

/** `views`: [{name, address}] that this person may open. `actions`: {help, guide, pause, signOut}. */
export class Frame {
  #toastTimer = 0;
  #position = null;
  #decided = "";

  constructor(app, views, actions) {
    this.app = app;
    this.views = views.map(({ name, address }) => el("a", { href: address, "data-view": name }, t(`view.${name}`)));
    this.place = el("p", { class: "place" });
    this.meter = el("progress", { class: "meter", max: 1, value: 0, "aria-label": t("frame.progress") });
    this.pill = el("button", {
      type: "button", class: "pill", on: { click: () => unsentDialog(app.sender).showModal() },
    });
    this.banner = el("div", { class: "banner", role: "alert", hidden: true });
    this.rest = el("div", { class: "rest", role: "status", hidden: true });
    this.toasts = el("div", { class: "toast", "aria-hidden": "true", hidden: true });
    this.menu = this.#menu(actions);
    this.menuButton = iconButton("menu", t("frame.menu"), () => this.#openMenu(this.menu.hidden), {});
    this.menuButton.classList.add("menu-button");
    this.menuButton.setAttribute("aria-expanded", "false");
    this.pauseAction = actions.pause;
    this.slot = el("div", { class: "view" });
    this.root = el("div", { class: "frame" },
      el("header", { class: "top" },
        el("span", { class: "brand" }, el("b", {}, "Tenfold"), " ", el("span", {}, t("frame.review"))),
        el("nav", { class: "views", "aria-label": t("frame.views") }, this.views),
        el("div", { class: "where" }, this.place, this.meter),
        this.pill,
        el("div", { class: "tools" }, this.#tools(actions)),
        this.menuButton, this.menu),
      this.banner, this.rest, this.slot, this.toasts);
    document.addEventListener("click", (event) => {
      if (!this.menu.hidden && !event.target.closest(".menu, .menu-button")) this.#openMenu(false);
    });
    app.sender.addEventListener("changed", () => this.#drawSaved());
    this.#drawSaved();
  }

  /** Puts a view in place and marks its link. */
  show(view, name) {
    this.slot.replaceChildren(view);
    for (const [position, address] of this.views.entries()) {
      for (const one of [address, this.menu.links[position]]) {
        if (one.dataset.view === name) one.setAttribute("aria-current", "page");
        else one.removeAttribute("aria-current");
      }
    }
    this.#openMenu(false);
    document.title = `${t(`view.${name}`)} · ${t("frame.title")}`;
  }

  /** Where one is in a list, from 1. */
  setPosition(name, position, total) {
    this.#position = position === null ? null : { n: position, total };
    if (position !== null) history.replaceState(null, "", `#/${name}/${position}`);
    this.#drawPlace();
  }

  setProgress({ decided, total, faulty }) {
    const open = Math.max(1, total - faulty);
    this.#decided = total ? t("frame.decided", { n: decided, total: open }) : "";
    this.meter.hidden = total === 0;
    this.meter.max = open;
    this.meter.value = decided;
    this.meter.title = this.#decided;
    this.meter.setAttribute("aria-valuetext", this.#decided);
    this.#drawPlace();
  }

  #drawPlace() {
    this.place.textContent = this.#position ? t("frame.image", this.#position) : this.#decided;
  }

  /** A message of a few seconds, said to screen readers too. */
  toast(text, kind = "plain") {
    clearTimeout(this.#toastTimer);
    this.toasts.className = `toast toast-${kind}`;
    this.toasts.textContent = text;
    this.toasts.hidden = false;
    announce(text);
    this.#toastTimer = setTimeout(() => { this.toasts.hidden = true; }, TOAST_MS);
  }

  hintRest() {
    const { stint } = this.app;
    const away = () => { this.rest.hidden = true; };
    this.rest.replaceChildren(
      el("p", {}, t("rest.hint", { n: stint.images, minutes: stint.minutes })),
      el("button", { type: "button", on: { click: () => { away(); this.pauseAction(); } } }, t("rest.pause"), keycap("P")),
      el("button", { type: "button", class: "quiet", on: { click: away } }, t("rest.later")));
    this.rest.hidden = false;
  }

  closeMenu() {
    const wasOpen = !this.menu.hidden;
    this.#openMenu(false);
    return wasOpen;
  }

  #drawSaved() {
    const { sender } = this.app;
    const { state, waiting, refused } = sender;
    const isTrouble = !["saved", "sending"].includes(state);
    const kind = isTrouble ? "trouble" : refused.length ? "refused" : waiting.length || sender.isKeeping || state === "sending" ? "sending" : "saved";
    const words = {
      trouble: () => (waiting.length ? t("saved.not_saved", { n: waiting.length }) : t(`saved.${state}`)),
      refused: () => t("saved.refused", { n: refused.length }),
      sending: () => t("saved.sending"),
      saved: () => t("saved.saved"),
    };
    this.pill.className = `pill pill-${kind}`;
    this.pill.replaceChildren(icon(kind === "saved" ? "accept" : kind === "sending" ? "pause" : "kept"),
      el("span", {}, words[kind]()));
    this.pill.querySelector(".icon").classList.toggle("is-turning", kind === "sending");
    const text = this.#bannerText(isTrouble);
    if (this.banner.dataset.text === text) return;
    this.banner.dataset.text = text;
    this.banner.hidden = !text;
    this.banner.replaceChildren(icon("kept"), el("p", {}, text));
  }

  #bannerText(isTrouble) {
    const { sender } = this.app;
    const { state, waiting } = sender;
    if (state === "signed-out" || state === "elsewhere") {
      const name = state.replace("-", "_");
      return `${t(`banner.${name}`)} ${waiting.length ? t(`banner.kept_${name}`, { n: waiting.length }) : ""}`.trim();
    }
    if (isTrouble && waiting.length) {
      const kept = sender.isDurable ? t("banner.kept", { n: waiting.length }) : t("banner.not_durable", { n: waiting.length });
      return `${t(`banner.${state}`)} ${kept}`;
    }
    return sender.isDurable ? "" : t("banner.no_store");
  }

  #tools({ help, guide }) {
    return [
      guide ? iconButton("guide", t("frame.guide"), guide, { key: "I", shown: "I" }) : null,
      this.#themeButton(),
      iconButton("help", t("frame.help"), help, { key: "?", shown: "?" }),
    ];
  }

  #themeButton() {
    const label = () => t("frame.theme", { theme: t(`theme.${theme()}`) });
    const button = iconButton("theme", label(), () => {
      nextTheme();
      button.setAttribute("aria-label", label());
      button.title = label();
      announce(label());
    });
    return button;
  }

  #menu({ help, guide, pause, signOut }) {
    const item = (text, onClick) => el("button", {
      type: "button", on: { click: () => { this.#openMenu(false); onClick(); } },
    }, text);
    const links = this.views.map((link) => link.cloneNode(true));
    const menu = el("div", { class: "menu", hidden: true },
      el("p", { class: "who" }, el("b", {}, this.app.me.name), ` · ${t(`role.${this.app.me.role}`)}`),
      el("nav", { class: "menu-views", "aria-label": t("frame.views") }, links),
      guide ? item(t("frame.guide"), guide) : null,
      pause ? item(t("rest.pause"), pause) : null,
      item(t("frame.next_theme"), () => { nextTheme(); announce(t("frame.theme", { theme: t(`theme.${theme()}`) })); }),
      item(t("frame.help"), help),
      item(t("frame.sign_out"), signOut));
    menu.links = links;
    return menu;
  }

  #openMenu(isOpen) {
    this.menu.hidden = !isOpen;
    this.menuButton?.setAttribute("aria-expanded", String(isOpen));
  }
}
