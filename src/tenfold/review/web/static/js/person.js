// Whose page this is: people who share a browser have a session each, and every request names the one it belongs to.

const KEY = "tenfold-review-person";
let current = read();

/** The id of the person at this tab; "" before it is known. */
export function person() {
  return current;
}

/** Makes this tab that person's, over reloads too; "": nobody's. */
export function becomePerson(id) {
  current = id;
  try {
    if (id) sessionStorage.setItem(KEY, id);
    else sessionStorage.removeItem(KEY);
  } catch {
    return; // a tab that remembers nothing asks again after a reload
  }
}

function read() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
