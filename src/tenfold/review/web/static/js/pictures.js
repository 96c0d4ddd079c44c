// Images by slot, fetched ahead and kept for a while, so that the next one is there before it is asked for.

import { ApiError, getBlob, link } from "./api.js";

const MOST_AT_ONCE = 4;
const AGAIN_MS = 1500;

/**
 * `get(id)` resolves to {url, image}, {fault} or {missing}: only the first two are known for good. `peek(id)` is the same at
 * once, or undefined.
 */
export class Pictures {
  #query;
  #most;
  #known = new Map();
  #wanted = [];
  #running = new Map();
  #waiters = new Map();
  #restsUntil = 0;

  /** size: "full" or "thumb"; most: how many are kept. */
  constructor(size, most) {
    this.#query = size === "thumb" ? "?size=thumb" : "";
    this.#most = most;
    link.addEventListener("found", () => { this.#restsUntil = 0; this.#start(); });
  }

  peek(id) {
    const found = this.#known.get(id);
    if (found) {
      this.#known.delete(id); // the last asked for is the last to go
      this.#known.set(id, found);
    }
    return found;
  }

  get(id) {
    const found = this.peek(id);
    if (found) return Promise.resolve(found);
    return new Promise((resolve) => {
      this.#waiters.set(id, [...(this.#waiters.get(id) ?? []), resolve]);
      this.want([id, ...this.#wanted]);
    });
  }

  /** What to fetch, the most urgent first; what is no longer wanted and has not begun is dropped. */
  want(ids) {
    this.#wanted = [...new Set(ids)].filter((id) => !this.#known.has(id) && !this.#running.has(id));
    this.#start();
  }

  /** Stops fetching what is not among these. */
  only(ids) {
    const kept = new Set(ids);
    for (const [id, stop] of this.#running) if (!kept.has(id)) stop.abort();
    this.want(ids);
  }

  #start() {
    if (performance.now() < this.#restsUntil) return;
    while (this.#running.size < MOST_AT_ONCE && this.#wanted.length) this.#fetch(this.#wanted.shift());
  }

  async #fetch(id) {
    const stop = new AbortController();
    this.#running.set(id, stop);
    try {
      this.#keep(id, await load(`/api/image/${encodeURIComponent(id)}${this.#query}`, stop.signal));
    } catch (error) {
      if (error instanceof ApiError && error.status === 410) this.#keep(id, { fault: error.body });
      else if (error instanceof ApiError && error.status === 404) this.#answer(id, { missing: error.body });
      else if (!stop.signal.aborted) this.#rest(id);
    } finally {
      this.#running.delete(id);
      this.#start();
    }
  }

  /** Without an answer all fetching rests for a while; what somebody waits for comes first then. */
  #rest(id) {
    if (this.#waiters.has(id)) this.#wanted.unshift(id);
    this.#restsUntil = performance.now() + AGAIN_MS;
    setTimeout(() => this.#start(), AGAIN_MS + 10);
  }

  #keep(id, picture) {
    this.#known.set(id, picture);
    this.#answer(id, picture);
    for (const [old, { url }] of this.#known) {
      if (this.#known.size <= this.#most) break;
      if (url) URL.revokeObjectURL(url);
      this.#known.delete(old);
    }
  }

  #answer(id, picture) {
    for (const resolve of this.#waiters.get(id) ?? []) resolve(picture);
    this.#waiters.delete(id);
  }
}

async function load(address, signal) {
  const blob = await getBlob(address, signal);
  const url = URL.createObjectURL(blob);
  const image = new Image();
  image.draggable = false;
  image.alt = "";
  image.src = url;
  try {
    await image.decode();
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error; // whether an image is damaged is the server's to say: it is asked for again
  }
  return { url, image };
}
