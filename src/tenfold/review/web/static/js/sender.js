// Sends kept judgements in their order, again and again until the server has acknowledged each one.

import { ApiError, LinkLost, link, post } from "./api.js";

const MOST_AT_ONCE = 50;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15000;
const FOR_GOOD = [400, 413, 415, 422];

/**
 * States: `saved` (nothing waits), `sending`, and why something waits: `link` (no connection), `store` (the server could not
 * write), `server` (it failed), `signed-out`. Tells `changed`, and `acknowledged` with the results and the progress.
 */
export class Sender extends EventTarget {
  #outbox;
  #owner;
  #isRunning = false;
  #timer = 0;
  #wait = FIRST_WAIT_MS;
  #adding = 0;

  constructor(outbox, owner) {
    super();
    this.#outbox = outbox;
    this.#owner = owner;
    this.state = "saved";
    this.waiting = [];
    this.refused = [];
    this.foreign = 0;
    this.detail = {};
    outbox.addEventListener("changed", () => this.#count());
    link.addEventListener("found", () => this.state === "link" && this.sendNow());
    link.addEventListener("signed-out", () => this.#become("signed-out"));
    addEventListener("online", () => this.sendNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.sendNow());
    addEventListener("beforeunload", (event) => {
      if (this.waiting.length && !outbox.isDurable) event.preventDefault();
    });
  }

  get isDurable() {
    return this.#outbox.isDurable;
  }

  /** True from the moment of a judgement on, before it lies on the device. */
  get isKeeping() {
    return this.#adding > 0;
  }

  /** Keeps a decision on this device, then sends it. */
  async add(decision) {
    this.#adding += 1;
    this.dispatchEvent(new Event("changed"));
    await this.#outbox.add(this.#owner, decision);
    await this.#count();
    this.#adding -= 1;
    this.#run();
  }

  sendNow() {
    this.#wait = FIRST_WAIT_MS;
    this.#run();
  }

  /** Counts what lies on the device already and sends it; returns the decisions that wait. */
  async start() {
    await this.#count();
    this.#run();
    return this.waiting.map((entry) => entry.decision);
  }

  /** Lets go of what the server refused for good. */
  dismissRefused() {
    return this.#outbox.remove(this.refused.map((entry) => entry.order));
  }

  async #run() {
    clearTimeout(this.#timer);
    if (this.#isRunning || this.state === "signed-out") return;
    this.#isRunning = true;
    try {
      let most = MOST_AT_ONCE;
      for (;;) {
        await this.#count();
        const batch = this.waiting.slice(0, most);
        if (!batch.length) break;
        if (this.state === "saved") this.#become("sending");
        try {
          await this.#settle(batch, await post("/api/decisions", { decisions: batch.map((entry) => entry.decision) }));
        } catch (error) {
          if (!(error instanceof ApiError && FOR_GOOD.includes(error.status))) throw error;
          if (batch.length === 1) await this.#outbox.refuse(batch[0], error.body);
          most = 1; // one of them is at fault: the others must not wait for it
        }
        this.#wait = FIRST_WAIT_MS;
      }
      this.#become("saved");
    } catch (error) {
      this.#become(reason(error), error.body);
      if (this.state !== "signed-out") this.#timer = setTimeout(() => this.#run(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
    } finally {
      this.#isRunning = false;
    }
    if (this.state === "saved" && this.waiting.length) this.#run();
  }

  async #settle(batch, answer) {
    const done = [];
    for (const result of answer.results) {
      const entry = batch.find((one) => one.decision.client_id === result.client_id);
      if (!entry) continue;
      if (result.status === "refused") await this.#outbox.refuse(entry, result.error ?? {});
      else done.push(entry.order);
    }
    await this.#outbox.remove(done);
    this.dispatchEvent(new CustomEvent("acknowledged", { detail: answer }));
  }

  async #count() {
    const all = await this.#outbox.all();
    const own = all.filter((entry) => entry.owner === this.#owner);
    this.foreign = all.length - own.length;
    this.waiting = own.filter((entry) => !entry.refusal);
    this.refused = own.filter((entry) => entry.refusal);
    this.dispatchEvent(new Event("changed"));
  }

  #become(state, detail = {}) {
    this.state = state;
    this.detail = detail ?? {};
    this.dispatchEvent(new Event("changed"));
  }
}

function reason(error) {
  if (error instanceof LinkLost) return "link";
  if (error instanceof ApiError && error.status === 401) return "signed-out";
  return error instanceof ApiError && error.status === 503 ? "store" : "server";
}
