// Asking the server: one shape of error, and whether the link to it holds.

import { person } from "./person.js";

const LONGEST_WAIT_MS = 20000;

/** The server answered with an error; `body` has what, where, expected and todo. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body?.what || `status ${status}`);
    this.status = status;
    this.body = body ?? {};
  }
}

/** No answer came: no connection, or a server that is down. */
export class LinkLost extends Error {}

/** Tells `lost`, `found`, `signed-out` and `elsewhere` (the answer was meant for others) to whoever listens. */
export const link = new EventTarget();
let isLost = false;

export function get(path, signal) {
  return ask(path, { signal });
}

/** Posts JSON; `keepalive` lets a small post end after the page is closed. */
export function post(path, body) {
  const text = JSON.stringify(body);
  return ask(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: text, keepalive: text.length < 60000,
  });
}

/** An image's bytes as a blob. */
export function getBlob(path, signal) {
  return ask(path, { signal }, (answer) => answer.blob());
}

/** Asks until an answer comes; errors of the server itself are thrown. */
export async function getPatiently(path) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      return await get(path);
    } catch (error) {
      if (!(error instanceof LinkLost) && !(error instanceof ApiError && error.status >= 500)) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

async function ask(path, options, read = (answer) => answer.json()) {
  const stop = new AbortController(); // AbortSignal.any and .timeout are younger than some tablets in use
  const drop = () => stop.abort();
  const timer = setTimeout(drop, LONGEST_WAIT_MS);
  options.signal?.addEventListener("abort", drop);
  const headers = person() ? { ...options.headers, "X-Tenfold-Person": person() } : options.headers;
  let answer;
  let body;
  try {
    answer = await fetch(path, { ...options, headers, signal: stop.signal, cache: "no-store" });
    body = answer.ok ? await read(answer) : await answer.json().catch(() => ({}));
  } catch (error) {
    if (options.signal?.aborted) throw error;
    tell(true);
    throw new LinkLost(String(error));
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", drop);
  }
  tell(false);
  if (answer.ok) return body;
  const told = { 401: "signed-out", 409: "elsewhere" }[answer.status];
  if (told) link.dispatchEvent(new CustomEvent(told, { detail: body }));
  throw new ApiError(answer.status, body);
}

function tell(lost) {
  if (lost === isLost) return;
  isLost = lost;
  link.dispatchEvent(new Event(lost ? "lost" : "found"));
}
