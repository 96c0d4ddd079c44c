// What was judged in this sitting, for undo; a step may hold many judgements made at once in the grid.

import { person } from "./person.js";

const KEY = "tenfold-review-trail";
const MOST_STEPS = 100;

/** Remembers a step, [{slot, position, client_id}], in a queue of this kind. */
export function remember(kind, step) {
  write(kind, [...read(kind), step].slice(-MOST_STEPS));
}

/** The last step of a kind, which is then forgotten; null when there is none. */
export function recall(kind) {
  const steps = read(kind);
  const last = steps.pop() ?? null;
  write(kind, steps);
  return last;
}

function read(kind) {
  try {
    return JSON.parse(sessionStorage.getItem(keyOf(kind)) ?? "[]");
  } catch {
    return [];
  }
}

function write(kind, steps) {
  try {
    sessionStorage.setItem(keyOf(kind), JSON.stringify(steps));
  } catch {
    return; // without a place to remember, undo reaches back to the shown image only
  }
}

function keyOf(kind) {
  return `${KEY}-${kind}-${person()}`;
}
