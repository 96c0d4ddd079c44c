// Sends kept judgements in their order, again and again until the server has acknowledged each one.

import { ApiError, LinkLost, get, link, post } from "./api.js";

const MOST_AT_ONCE = 50;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15000;
const FOR_GOOD = [400, 413, 415, 422];
const OUT = ["signed-out", "elsewhere"];

/**
 * States: `saved` (nothing waits), `sending`, and why something waits: `link` (no connection), `store` (the server could not
 * write), `server` (it failed), `signed-out`, `elsewhere` (another review or person is served), `queue` (the images of what
 * waits are not in this person's queue). All of them are tried again. Tells `changed`, and `acknowledged` with the results and the progress.
 */
export class Sender extends EventTarget {
  #outbox;
  #owner;
  #isRunning = false;
  #timer = 0;
  #wait = FIRST_WAIT_MS;
  #adding = 0;
  #astray = new Map(); // by order, why the server has no place for it at present

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
    link.addEventListener("signed-out", ({ detail }) => this.#goOut("signed-out", detail));
    link.addEventListener("elsewhere", ({ detail }) => this.#goOut("elsewhere", detail));
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
    this.#astray.clear();
    this.#run();
  }

  /** Counts what lies on the device already and sends it; returns the decisions that wait. */
  async start() {
    await this.#count();
    this.#run();
    return this.waiting.map((entry) => entry.decision);
  }

  /** What waits because its image is not in this person's queue. */
  get astray() {
    return this.waiting.filter(({ order }) => this.#astray.has(order));
  }

  /** Lets go of entries that the reviewer no longer wants to be kept: refused ones, or astray ones. */
  async dismiss(entries) {
    await this.#outbox.remove(entries.map((entry) => entry.order));
    this.sendNow();
  }

  async #run() {
    clearTimeout(this.#timer);
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      if (OUT.includes(this.state)) await get("/api/progress"); // signed in again, by another tab perhaps
      let most = MOST_AT_ONCE;
      for (;;) {
        await this.#count();
        const batch = this.waiting.filter(({ order }) => !this.#astray.has(order)).slice(0, most);
        if (!batch.length) break;
        if (["saved", ...OUT].includes(this.state)) this.#become("sending");
        try {
          await this.#settle(batch, await post("/api/decisions", { decisions: batch.map((entry) => entry.decision) }));
        } catch (error) {
          if (!(error instanceof ApiError && FOR_GOOD.includes(error.status))) throw error;
          if (batch.length === 1) await this.#outbox.refuse(batch[0], error.body);
          most = 1; // one of them is at fault: the others must not wait for it
        }
        this.#wait = FIRST_WAIT_MS;
      }
      const [astray] = this.astray;
      this.#become(astray ? "queue" : "saved", astray && this.#astray.get(astray.order));
      if (astray) this.#timer = setTimeout(() => this.sendNow(), LONGEST_WAIT_MS);
    } catch (error) {
      this.#become(reason(error), error.body);
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#run(), OUT.includes(this.state) ? LONGEST_WAIT_MS : this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
    } finally {
      this.#isRunning = false;
    }
    if (["saved", "queue"].includes(this.state) && this.waiting.length > this.astray.length) this.#run();
  }

  async #settle(batch, answer) {
    const done = [];
    for (const result of answer.results) {
      const entry = batch.find((one) => one.decision.client_id === result.client_id);
      if (!entry) continue;
      if (result.status === "not_in_queue") this.#astray.set(entry.order, result.error);
      else if (result.status === "refused") await this.#outbox.refuse(entry, result.error ?? {});
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

  /** Any answer can tell that the server does not take this person's requests; it is asked again from time to time. */
  #goOut(state, detail) {
    if (this.state === state) return;
    this.#become(state, detail);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), LONGEST_WAIT_MS);
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
  if (error instanceof ApiError && error.status === 409) return "elsewhere";
  return error instanceof ApiError && error.status === 503 ? "store" : "server";
}
