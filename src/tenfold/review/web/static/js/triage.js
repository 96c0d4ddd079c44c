// Many at a glance: the reviewer's own queue as a grid, judged one by one or many at once.

import { Stopwatch } from "./clock.js";
import { announce, el, icon, iconButton, keycap } from "./dom.js";
import { className } from "./judge.js";
import { newClientId } from "./outbox.js";
import { judgementOf } from "./queue.js";
import { t } from "./text.js";
import { drawTile, fetchTiles } from "./tiles.js";
import { recall, remember } from "./trail.js";
import { WindowedGrid } from "./windowed.js";

const SIZES_PX = [96, 132, 184, 256];

export class TriageView {
  #reasons = new Set();
  #watch = new Stopwatch();
  #size = 1;

  /** alone: the view that shows one image of the same queue. */
  constructor(app, name, queue, alone) {
    Object.assign(this, { app, name, queue, alone });
    this.grid = new WindowedGrid({
      label: t("grid.label"), prefix: "slot", canSelect: true, captionPx: app.me.shows_class ? 24 : 0,
      fill: (cell, index) => this.#fill(cell, index),
      onSettle: (indexes) => this.#settled(indexes), onOpen: (index) => { location.hash = `#/${alone.name}/${index + 1}`; },
    });
    this.count = el("p", { class: "grid-count", "aria-live": "polite" });
    this.reasonChips = el("div", { class: "chips grid-reasons", role: "group", "aria-label": t("form.reasons") },
      app.rubric.reasons.map((reason) => this.#reasonChip(reason)));
    this.root = el("main", { class: "triage", tabindex: -1 },
      el("h1", { class: "unseen" }, t("grid.title")),
      el("div", { class: "grid-bar" }, this.count, el("div", { class: "grid-tools" },
        el("button", { type: "button", class: "quiet", on: { click: () => this.#selectOpen() } }, t("grid.select_open"), keycap("S")),
        el("button", { type: "button", class: "quiet", on: { click: () => this.#toNextOpen() } }, t("grid.next_open"), keycap("N")),
        iconButton("farther", t("grid.smaller"), () => this.#resize(-1), { key: "-", shown: "−" }),
        iconButton("closer", t("grid.larger"), () => this.#resize(1), { key: "+", shown: "+" }))),
      this.grid.root, this.reasonChips,
      el("div", { class: "verdicts", role: "group", "aria-label": t("judge.verdicts") },
        this.#verdictButton("reject", "R"),
        el("div", { class: "moves" }, el("button", { type: "button", class: "move", on: { click: () => this.undo() } },
          icon("undo"), el("span", { class: "word" }, t("judge.undo")), keycap("U"))),
        this.#verdictButton("accept", "A")));
    this.grid.addEventListener("selected", () => this.#drawCount());
    queue.addEventListener("judged", () => this.root.isConnected && this.grid.refresh());
    queue.addEventListener("read", () => this.grid.setTotal(queue.total));
    queue.addEventListener("replanned", () => this.root.isConnected && this.grid.refresh());
  }

  async enter() {
    this.#watch.resume();
    this.#watch.restart();
    const start = this.alone.position ?? this.queue.standing(this.app.progress).next_position ?? 0;
    await this.queue.read(start);
    this.grid.setTotal(this.queue.total);
    this.grid.moveTo(start);
    this.grid.root.focus({ preventScroll: true });
    this.#drawCount();
  }

  leave() {
    this.#watch.pause();
  }

  pause(isPaused) {
    if (isPaused) this.#watch.pause();
    else this.#watch.resume();
  }

  key(event) {
    const key = event.key.toLowerCase();
    const reason = this.app.rubric.reasons.find((one) => one.key === event.key);
    if (this.grid.key(event)) return true;
    if (reason) this.#toggleReason(reason);
    else if (key === "a" && !event.repeat) this.decide("accept");
    else if (key === "r" && !event.repeat) this.decide("reject");
    else if (key === "u" && !event.repeat) this.undo();
    else if (key === "s") this.#selectOpen();
    else if (key === "n") this.#toNextOpen();
    else if (event.key === "+" || event.key === "=") this.#resize(1);
    else if (event.key === "-") this.#resize(-1);
    else return "aru".includes(key);
    return true;
  }

  /** Judges the selected images, or the one under the cursor; only images that were seen. */
  decide(verdict) {
    const { thumbs, frame } = this.app;
    const { queue } = this;
    const indexes = this.grid.selected.size ? [...this.grid.selected].sort((a, b) => a - b) : [this.grid.cursor];
    const slots = indexes.map((index) => queue.at(index));
    const seen = slots.filter((slot) => slot && !slot.is_faulty && thumbs.peek(slot.slot)?.url);
    const ready = seen.filter((slot) => !this.#missing(slot) && !(verdict === "accept" && isOther(slot)));
    const seconds = Math.round((this.#watch.seconds / Math.max(1, ready.length)) * 10) / 10;
    const reasons = verdict === "reject" ? [...this.#reasons] : [];
    const step = ready.map((slot) => {
      const decision = {
        client_id: newClientId(), slot: slot.slot, verdict, reasons, answers: slot.answers ?? {}, comment: slot.comment ?? "",
        seconds, client_time: new Date().toISOString(), undoes: null,
      };
      this.#keep(decision);
      return { slot: slot.slot, position: slot.position, client_id: decision.client_id };
    });
    if (step.length) remember(queue.kind, step);
    const left = indexes.length - step.length;
    const words = [step.length ? t(`grid.did_${verdict}`, { n: step.length }) : "",
      left ? t(ready.length < seen.length ? "grid.must_answer" : "grid.not_seen", { n: left }) : ""];
    frame.toast(words.filter(Boolean).join(" "), step.length ? verdict : "plain");
    if (!step.length) return;
    this.#reasons.clear();
    this.#drawReasons();
    this.grid.select([]);
    this.grid.moveTo(indexes.at(-1) + 1);
    this.#watch.restart();
    step.forEach(() => this.app.stint.judged() && frame.hintRest());
  }

  async undo() {
    const step = recall(this.queue.kind);
    if (!step) return this.app.frame.toast(t("judge.nothing_to_undo"));
    for (const { slot, client_id: undoes } of step) {
      this.#keep({
        client_id: newClientId(), slot, verdict: "none", reasons: [], answers: {}, comment: "", seconds: 0,
        client_time: new Date().toISOString(), undoes,
      });
    }
    this.grid.moveTo(step[0].position);
    this.grid.select(step.length > 1 ? step.map(({ position }) => position) : []);
    return this.app.frame.toast(t("grid.did_undo", { n: step.length }));
  }

  #keep(decision) {
    this.queue.judge(decision.slot, judgementOf(decision));
    this.app.sender.add(decision);
  }

  #missing(slot) {
    return this.app.rubric.questions.some(({ id, required }) => required && !(id in (slot.answers ?? {})));
  }

  #fill(cell, index) {
    const slot = this.queue.at(index);
    const sign = slot?.is_faulty ? "faulty" : slot?.verdict ?? null;
    const meant = slot?.label ? className(slot.label) : "";
    const label = [t("grid.tile", { n: index + 1 }), meant, sign ? t(`grid.sign_${sign}`) : t("grid.sign_open")];
    drawTile(cell, this.app.thumbs, {
      id: slot?.slot ?? null, label: label.filter(Boolean).join(", "), sign, caption: meant ? [meant] : [],
    });
  }

  async #settled(indexes) {
    if (!indexes.length || !this.root.isConnected) return;
    await Promise.all([indexes[0], indexes.at(-1)].map((index) => this.queue.read(index)));
    const slots = indexes.map((index) => [index, this.queue.at(index)?.slot]).filter(([, slot]) => slot);
    fetchTiles(this.grid, this.app.thumbs, new Map(slots));
  }

  #selectOpen() {
    const isOpen = (index) => {
      const slot = this.queue.at(index);
      return slot && !slot.verdict && !slot.is_faulty;
    };
    this.grid.select(this.grid.inSight.filter(isOpen));
  }

  async #toNextOpen() {
    const next = await this.queue.nextOpen(this.grid.cursor + 1);
    if (next === null) this.app.frame.toast(t("judge.finished"));
    else this.grid.moveTo(next);
  }

  #resize(by) {
    this.#size = Math.min(SIZES_PX.length - 1, Math.max(0, this.#size + by));
    this.grid.setTile(SIZES_PX[this.#size]);
  }

  #toggleReason(reason) {
    if (!this.#reasons.delete(reason.value)) this.#reasons.add(reason.value);
    announce(t(this.#reasons.has(reason.value) ? "form.chosen" : "form.not_chosen", { option: reason.text }));
    this.#drawReasons();
  }

  #reasonChip(reason) {
    return el("button", {
      type: "button", class: "chip", "aria-pressed": "false", "data-value": reason.value, title: reason.help || null,
      on: { click: () => this.#toggleReason(reason) },
    }, keycap(reason.key), el("span", {}, reason.text));
  }

  #drawReasons() {
    for (const chip of this.reasonChips.children) chip.setAttribute("aria-pressed", String(this.#reasons.has(chip.dataset.value)));
  }

  #drawCount() {
    const chosen = this.grid.selected.size;
    this.count.textContent = chosen ? t("grid.selected", { n: chosen }) : t("grid.total", { n: this.queue.total });
  }

  #verdictButton(verdict, key) {
    return el("button", {
      type: "button", class: `verdict verdict-${verdict}`, "aria-keyshortcuts": key, on: { click: () => this.decide(verdict) },
    }, icon(verdict), el("span", { class: "word" }, t(`judge.${verdict}`)), keycap(key));
  }
}

/** Whether the reviewer named another class than the image is meant to show. */
function isOther({ label, answers }) {
  return Boolean(label && answers?.condition && answers.condition !== label);
}
