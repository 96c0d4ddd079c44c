// The reviewer's own order of slots, read in windows, with what was judged here laid over it.

import { get, getPatiently } from "./api.js";

const WINDOW = 100;
const FAR_WINDOW = 500;

/** A slot is {slot, position, verdict, client_id, reasons, answers, comment, is_faulty, label}; `label` is null where it is not told. */
export class Queue extends EventTarget {
  #windows = new Map();
  #asked = new Map();
  #own = new Map();
  #channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("tenfold-review-slots") : null;

  /** kind: "queue", or "adjudication": what others disagree about. */
  constructor(kind) {
    super();
    this.kind = kind;
    this.total = 0;
    this.planVersion = null;
    this.#channel?.addEventListener("message", ({ data }) => this.#lay(data));
  }

  /** The slot at a position if it has been read. */
  at(position) {
    const slot = this.#windows.get(Math.floor(position / WINDOW))?.[position % WINDOW];
    return slot && { ...slot, ...this.#own.get(slot.slot) };
  }

  /** Reads the window around a position; patient: through a lost connection. */
  async read(position, patient = true) {
    const number = Math.floor(position / WINDOW);
    if (this.#windows.has(number)) return this.at(position);
    if (!this.#asked.has(number)) {
      const ask = patient ? getPatiently : get;
      const asked = ask(this.#address(number * WINDOW, WINDOW)).then((answer) => this.#keep(answer));
      this.#asked.set(number, asked.finally(() => this.#asked.delete(number)));
    }
    await this.#asked.get(number);
    return this.at(position);
  }

  /** The next position without a verdict, from here on and then from the start; null when there is none. */
  async nextOpen(from) {
    for (const [start, end] of [[from, this.total], [0, Math.min(from, this.total)]]) {
      for (let position = start; position < end; position += 1) {
        if (!this.#windows.has(Math.floor(position / WINDOW))) await this.#readFar(position);
        const slot = this.at(position);
        if (slot && !slot.verdict && !slot.is_faulty) return position;
      }
    }
    return null;
  }

  /** The ids of the slots after a position that still need a verdict, as far as they are read. */
  ahead(position, count) {
    const ids = [];
    for (let next = position + 1; next < this.total && ids.length < count; next += 1) {
      const slot = this.at(next);
      if (!slot) {
        this.read(next, false).catch(() => undefined);
        break;
      }
      if (!slot.verdict && !slot.is_faulty) ids.push(slot.slot);
    }
    return ids;
  }

  /** Lays a judgement made here over what the server said: {verdict, client_id, reasons, answers, comment}. */
  judge(slot, judgement) {
    this.#channel?.postMessage({ slot, judgement });
    this.#lay({ slot, judgement });
  }

  /** Leaves a slot out whose image cannot be shown. */
  leaveOut(slot) {
    this.#own.set(slot, { ...this.#own.get(slot), is_faulty: true });
  }

  /** Lays decisions that wait on this device, oldest first. */
  restore(decisions) {
    for (const decision of decisions) this.#lay({ slot: decision.slot, judgement: judgementOf(decision) });
  }

  /** Forgets positions when the order was planned anew (a reviewer joined or left); slots keep their ids. */
  replan(version) {
    const isNew = this.planVersion !== null && version !== this.planVersion;
    this.planVersion = version;
    if (!isNew) return;
    this.forget();
    this.dispatchEvent(new Event("replanned"));
  }

  /** Reads all windows anew when they are next asked for. */
  forget() {
    this.#windows.clear();
  }

  /** Where this queue stands: {total, decided, accepted, rejected, faulty, open, next_position}. */
  standing(progress) {
    return this.kind === "queue" ? progress : progress.adjudication;
  }

  #lay({ slot, judgement }) {
    this.#own.set(slot, judgement);
    this.dispatchEvent(new CustomEvent("judged", { detail: slot }));
  }

  async #readFar(position) {
    const start = Math.floor(position / WINDOW) * WINDOW;
    this.#keep(await getPatiently(this.#address(start, FAR_WINDOW)));
  }

  #keep(answer) {
    this.total = answer.total;
    this.replan(answer.plan_version);
    for (let offset = 0; offset < answer.slots.length; offset += WINDOW) {
      this.#windows.set((answer.start + offset) / WINDOW, answer.slots.slice(offset, offset + WINDOW));
    }
    this.dispatchEvent(new Event("read"));
  }

  #address(start, count) {
    return `/api/slots?kind=${this.kind}&start=${start}&count=${count}`;
  }
}

/** What a decision makes of its slot. */
export function judgementOf({ verdict, client_id: clientId, reasons, answers, comment }) {
  if (verdict === "none") return { verdict: null, client_id: null, reasons: [], answers: {}, comment: "" };
  return { verdict, client_id: clientId, reasons, answers, comment };
}
