// Time on screen per image, and when a rest is due; both by a clock that never jumps.

const LONGEST_BREAK_MS = 180000;

/** Counts only while the page is visible and not paused. */
export class Stopwatch {
  #before = 0;
  #since = null;

  constructor() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#hold() : this.#go()));
    this.isPaused = false;
  }

  restart() {
    this.#before = 0;
    this.#since = null;
    this.#go();
  }

  pause() {
    this.#hold();
    this.isPaused = true;
  }

  resume() {
    this.isPaused = false;
    this.#go();
  }

  get seconds() {
    const now = this.#since === null ? 0 : performance.now() - this.#since;
    return Math.min(86400, Math.round((this.#before + now) / 100) / 10);
  }

  #hold() {
    if (this.#since !== null) this.#before += performance.now() - this.#since;
    this.#since = null;
  }

  #go() {
    if (this.#since === null && !document.hidden && !this.isPaused) this.#since = performance.now();
  }
}

/** Work without a break: minutes and images since the last break of three minutes. */
export class Stint {
  #began = performance.now();
  #last = performance.now();
  #hintedAt = 0;

  constructor(minutes) {
    this.restAfter = minutes;
    this.images = 0;
  }

  /** One more judged; true when it is time to hint at a rest. */
  judged() {
    const now = performance.now();
    if (now - this.#last > LONGEST_BREAK_MS) this.begin();
    this.#last = now;
    this.images += 1;
    if (!this.restAfter || now - Math.max(this.#began, this.#hintedAt) < this.restAfter * 60000) return false;
    this.#hintedAt = now;
    return true;
  }

  begin() {
    this.#began = this.#last = performance.now();
    this.#hintedAt = 0;
    this.images = 0;
  }

  get minutes() {
    return Math.round((performance.now() - this.#began) / 60000);
  }
}
