// One image at a time: accept, reject, undo, and on to the next, each with one key.

import { get } from "./api.js";
import { Stopwatch } from "./clock.js";
import { announce, el, icon, keycap } from "./dom.js";
import { Form } from "./form.js";
import { opinionsPanel } from "./opinions.js";
import { newClientId } from "./outbox.js";
import { judgementOf } from "./queue.js";
import { Stage } from "./stage.js";
import { t } from "./text.js";
import { recall, remember } from "./trail.js";

const AHEAD = 16; // what can be judged without a connection

/** The view of one slot of a queue. `app` carries rubric, pictures, sender, stint, progress and the frame. */
export class JudgeView {
  #position = null;
  #shown = null;
  #watch = new Stopwatch();
  #isHere = false;

  constructor(app, name, queue) {
    Object.assign(this, { app, name, queue });
    this.stage = new Stage({ onSwipe: (step) => this.#step(step) });
    this.form = new Form(app.rubric, { onChange: () => this.#drawState() });
    this.badge = el("p", { class: "badge" });
    this.stage.corner.append(this.badge);
    this.opinions = el("div", { class: "opinions" });
    this.meant = el("p", { class: "meant" });
    this.panel = el("aside", { class: "panel", "aria-label": t("judge.panel") }, this.meant, this.opinions, this.form.root);
    this.accept = this.#verdictButton("accept", "A");
    this.reject = this.#verdictButton("reject", "R");
    this.undoButton = this.#moveButton("undo", "undo", "U", () => this.undo());
    this.bar = el("div", { class: "verdicts", role: "group", "aria-label": t("judge.verdicts") }, this.reject,
      el("div", { class: "moves" },
        this.#moveButton("back", "previous", "←", () => this.#step(-1)), this.undoButton,
        this.#moveButton("next", "next", "→", () => this.#step(1))),
      this.accept);
    this.root = el("main", { class: "judge", tabindex: -1 },
      el("h1", { class: "unseen" }, t("judge.title")), this.stage.root, this.panel, this.bar);
    this.unsent = el("p", { class: "warning", hidden: true });
    app.sender.addEventListener("changed", () => this.#drawUnsent());
    queue.addEventListener("judged", ({ detail }) => detail === this.#shown?.slot && this.#drawState());
    queue.addEventListener("replanned", () => this.#isHere && this.enter());
  }

  /** The position shown last, from 0; null before the first. */
  get position() {
    return this.#position;
  }

  /** Shows the position of the address, the one shown before, or the first that is open. */
  async enter(wished = null) {
    this.#isHere = true;
    this.#watch.resume();
    const { queue } = this;
    if (queue.kind === "adjudication") queue.forget(); // others go on disagreeing
    await queue.read(wished ?? queue.standing(this.app.progress).next_position ?? 0);
    if (!this.#isHere) return;
    if (queue.kind === "adjudication") this.app.readProgress();
    if (queue.total === 0) return this.#finish("judge.empty");
    const open = wished ?? this.#position ?? (await queue.nextOpen(0));
    if (open === null) this.#finish("judge.finished");
    else await this.show(Math.min(open, queue.total - 1));
  }

  leave() {
    this.#isHere = false;
    this.#watch.pause();
  }

  pause(isPaused) {
    if (isPaused) this.#watch.pause();
    else this.#watch.resume();
  }

  /** Shows a position: at once when its image was fetched ahead. */
  async show(position, draft = null) {
    const { app } = this;
    this.#position = position;
    this.root.classList.remove("is-finished");
    app.frame.setPosition(this.name, position + 1, this.queue.total);
    const slot = this.queue.at(position) ?? (await this.#wait(this.queue.read(position)));
    if (this.#position !== position || !slot) return;
    this.#shown = null;
    this.form.draft = draft ?? slot;
    this.panel.scrollTop = 0;
    this.meant.replaceChildren(...(slot.label ? [t("judge.meant"), " ", el("b", {}, className(slot.label))] : []));
    this.#fetchAhead(position, slot);
    const description = t("judge.image", { n: position + 1, total: this.queue.total });
    const picture = app.pictures.peek(slot.slot) ?? (await this.#wait(app.pictures.get(slot.slot)));
    if (this.#position !== position) return;
    this.root.classList.remove("is-waiting");
    this.#shown = { ...slot, fault: picture.fault ?? picture.missing };
    if (picture.missing) this.app.readProgress(); // the queue may have been planned anew
    if (picture.fault) this.queue.leaveOut(slot.slot);
    this.root.classList.toggle("is-faulty", Boolean(this.#shown.fault));
    if (this.#shown.fault) this.stage.tell(faultNote(picture, () => this.#goOn()));
    else this.stage.show(picture.image, description);
    this.#watch.restart();
    this.#drawState();
    this.#showOpinions(slot);
    announce([description, slot.label ? `${t("judge.meant")} ${className(slot.label)}.` : "", 
      slot.verdict ? t(`judge.was_${slot.verdict}`) : ""].filter(Boolean).join(" "));
  }

  /** Keeps the verdict on this device, sends it, and goes on. */
  async decide(verdict) {
    const slot = this.#shown;
    if (!slot) return announce(t("judge.not_yet"));
    if (slot.fault) return this.#goOn();
    const missing = this.form.missing;
    if (missing) {
      this.form.activate(missing.id);
      return this.app.frame.toast(t("judge.missing", { question: missing.text }));
    }
    const draft = this.form.draft;
    if (verdict === "accept") draft.reasons = [];
    if (verdict === "accept" && slot.label && (draft.answers.condition ?? slot.label) !== slot.label) {
      this.form.activate("condition");
      return this.app.frame.toast(t("judge.other_class", { asked: className(slot.label), named: className(draft.answers.condition) }));
    }
    const decision = {
      client_id: newClientId(), slot: slot.slot, verdict, ...draft, seconds: this.#watch.seconds,
      client_time: new Date().toISOString(), undoes: null,
    };
    this.#shown = null;
    this.#keep(decision);
    remember(this.queue.kind, [{ slot: slot.slot, position: this.#position, client_id: decision.client_id }]);
    if (this.app.stint.judged()) this.app.frame.hintRest();
    this.app.frame.toast(t(`judge.did_${verdict}`, { n: this.#position + 1 }), verdict);
    return this.#goOn();
  }

  /** Takes the last judgement of this sitting back, or the shown image's own, and goes there. */
  async undo() {
    const shown = this.#shown;
    const own = shown && this.queue.at(this.#position);
    const shownAgain = own?.client_id ? [{ slot: own.slot, position: this.#position, client_id: own.client_id }] : null;
    const [last] = recall(this.queue.kind) ?? shownAgain ?? [];
    if (!last) return this.app.frame.toast(t("judge.nothing_to_undo"));
    const before = (await this.queue.read(last.position)) ?? {};
    const draft = { reasons: before.reasons, answers: before.answers, comment: before.comment };
    this.#keep({
      client_id: newClientId(), slot: last.slot, verdict: "none", reasons: [], answers: {}, comment: "", seconds: 0,
      client_time: new Date().toISOString(), undoes: last.client_id,
    });
    this.app.frame.toast(t("judge.did_undo", { n: last.position + 1 }));
    return this.show(last.position, draft);
  }

  key(event) {
    const key = event.key.toLowerCase();
    if (this.stage.key(event)) return true;
    if (event.key === "ArrowLeft") this.#step(-1);
    else if (event.key === "ArrowRight") this.#step(1);
    else if (key === "a" && !event.repeat) this.decide("accept");
    else if (key === "r" && !event.repeat) this.decide("reject");
    else if (key === "u" && !event.repeat) this.undo();
    else if (key === "c") this.form.comment.focus();
    else return "aru".includes(key) || this.form.key(event);
    return true;
  }

  #keep(decision) {
    this.queue.judge(decision.slot, judgementOf(decision));
    this.app.sender.add(decision);
  }

  async #goOn() {
    const next = await this.queue.nextOpen(this.#position + 1);
    if (!this.#isHere) return undefined;
    return next === null ? this.#finish("judge.finished") : this.show(next);
  }

  #step(by) {
    if (this.#position === null || this.root.classList.contains("is-finished")) return;
    const next = this.#position + by;
    if (next >= 0 && next < this.queue.total) this.show(next);
  }

  #fetchAhead(position, slot) {
    const { queue } = this;
    const { pictures } = this.app;
    const before = position > 0 ? queue.at(position - 1)?.slot : null;
    pictures.want([slot.slot, ...queue.ahead(position, AHEAD), before].filter(Boolean));
  }

  /** Shows that something is awaited, but only when it takes long enough to be seen. */
  async #wait(promise) {
    const position = this.#position;
    const timer = setTimeout(() => {
      if (this.#position !== position) return;
      this.root.classList.add("is-waiting");
      this.stage.tell(t("judge.loading"));
    }, 150);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #drawState() {
    const slot = this.#shown && this.queue.at(this.#position);
    const verdict = slot?.verdict ?? null;
    this.badge.textContent = verdict ? t(`judge.was_${verdict}`) : "";
    this.badge.className = verdict ? `badge badge-${verdict}` : "badge";
    const reasons = this.form.draft.reasons.length;
    this.reject.classList.toggle("is-ready", reasons > 0);
    this.reject.querySelector(".detail").textContent = reasons ? t("judge.with_reasons", { n: reasons }) : "";
    for (const [name, button] of [["accept", this.accept], ["reject", this.reject]]) {
      button.classList.toggle("is-chosen", verdict === name);
    }
  }

  async #showOpinions(slot) {
    this.opinions.replaceChildren();
    if (this.queue.kind !== "adjudication") return;
    const answer = await get(`/api/opinions/${encodeURIComponent(slot.slot)}`).catch(() => null);
    if (this.#shown?.slot === slot.slot && answer) this.opinions.replaceChildren(opinionsPanel(answer.opinions, this.app.rubric));
  }

  #finish(key) {
    this.#shown = null;
    this.root.classList.add("is-finished");
    this.root.classList.remove("is-waiting", "is-faulty");
    this.stage.tell(el("div", { class: "finished" }, icon("accept"), el("h2", {}, t(key)),
      el("p", {}, t(`${key}_detail`, { n: this.queue.total })), this.unsent,
      this.queue.total ? el("a", { class: "button", href: "#/grid" }, t("judge.look_again")) : null));
    announce(t(key));
  }

  #drawUnsent() {
    const waits = this.app.sender.waiting.length;
    this.unsent.hidden = waits === 0;
    this.unsent.textContent = waits ? t("judge.finished_unsent", { n: waits }) : "";
  }

  #verdictButton(verdict, key) {
    return el("button", {
      type: "button", class: `verdict verdict-${verdict}`, "aria-keyshortcuts": key, on: { click: () => this.decide(verdict) },
    }, icon(verdict), el("span", { class: "word" }, t(`judge.${verdict}`), el("span", { class: "detail" })), keycap(key));
  }

  #moveButton(picture, name, key, onClick) {
    return el("button", { type: "button", class: `move move-${name}`, "aria-label": t(`judge.${name}`), on: { click: onClick } },
      icon(picture), el("span", { class: "word" }, t(`judge.${name}`)), keycap(key));
  }
}

/** A class as the questions write it. */
export function className(label) {
  return label.replaceAll("_", " ");
}

/** What stands in place of an image that the server cannot show, or has not for this person. */
export function faultNote({ fault }, onGoOn = null) {
  return el("div", { class: "fault" }, icon("kept"), el("p", {}, t(fault ? "judge.fault" : "judge.not_here")),
    onGoOn ? el("button", { type: "button", on: { click: onGoOn } }, t("judge.go_on"), keycap("A")) : null);
}
