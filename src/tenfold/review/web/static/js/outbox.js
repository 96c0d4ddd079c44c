// Judgements that the server has not acknowledged, kept in the browser's own database until it has.

const NAME = "tenfold-review";
const STORE = "unsent";

/**
 * A first-in first-out shelf of {order, owner, decision, refusal}. It outlives the tab and the browser; where the browser
 * keeps nothing (`isDurable` false), it lasts as long as the page, and the page says so.
 */
export class Outbox extends EventTarget {
  #database = null;
  #stored = [];
  #gone = new Set(); // what was taken out and refused, even where the browser could not note it
  #refusals = new Map();
  #kept = new Map();
  #lastOrder = 0;
  #channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(NAME) : null;

  static async open() {
    const outbox = new Outbox();
    try {
      outbox.#database = await openDatabase();
      navigator.storage?.persist?.().catch(() => false);
    } catch {
      outbox.#database = null;
    }
    outbox.#channel?.addEventListener("message", () => outbox.dispatchEvent(new Event("changed")));
    return outbox;
  }

  get isDurable() {
    return this.#database !== null && !this.#kept.size;
  }

  /** Keeps a decision; resolves once it is on the device. */
  async add(owner, decision) {
    const entry = { owner, decision, refusal: null };
    try {
      if (!this.isDurable) throw new Error("no database"); // nor past what this page holds: order matters
      await this.#write((store) => store.add(entry));
    } catch {
      this.#lastOrder += 1;
      this.#kept.set(`m${this.#lastOrder}`, { ...entry, order: `m${this.#lastOrder}` });
    }
    this.#tell();
  }

  /** All entries in the order they were made, oldest first. */
  async all() {
    if (this.#database) this.#stored = await this.#read().catch(() => this.#stored); // what cannot be read is not gone
    const stored = this.#stored.filter(({ order }) => !this.#gone.has(order))
      .map((entry) => ({ ...entry, refusal: this.#refusals.get(entry.order) ?? entry.refusal }));
    return [...stored, ...this.#kept.values()];
  }

  /** Takes acknowledged entries out. */
  async remove(orders) {
    for (const order of orders) this.#kept.delete(order);
    const stored = orders.filter((order) => typeof order === "number");
    for (const order of stored) this.#gone.add(order);
    if (this.#database && stored.length) {
      await this.#write((store) => stored.map((order) => store.delete(order)).at(-1)).catch(() => undefined);
    }
    this.#tell();
  }

  /** Marks an entry that the server will never take; it stays until the reviewer lets it go. */
  async refuse(entry, refusal) {
    const marked = { ...entry, refusal };
    this.#refusals.set(entry.order, refusal);
    if (this.#kept.has(entry.order)) this.#kept.set(entry.order, marked);
    else if (this.#database) await this.#write((store) => store.put(marked)).catch(() => undefined);
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("changed"));
    this.#channel?.postMessage("changed");
  }

  #write(action) {
    return new Promise((resolve, reject) => {
      const transaction = this.#database.transaction(STORE, "readwrite", { durability: "strict" });
      transaction.oncomplete = () => resolve();
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
      action(transaction.objectStore(STORE));
    });
  }

  #read() {
    return new Promise((resolve, reject) => {
      const request = this.#database.transaction(STORE).objectStore(STORE).getAll();
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }
}

/** An id that no other decision has, on pages without a secure context too. */
export function newClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "order", autoIncrement: true });
    request.onsuccess = () => {
      request.result.onversionchange = () => request.result.close();
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("blocked"));
  });
}
