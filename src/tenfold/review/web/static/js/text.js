// The page's words: one JSON file of texts, with numbers and plurals of its language.

let texts = {};
let language = "en";

/** Reads the texts of the browser's language, or English; the server says which there are. */
export async function loadTexts() {
  const wished = encodeURIComponent((navigator.language || "en").slice(0, 2).toLowerCase());
  for (const address of [`/api/text?lang=${wished}`, "/static/text.en.json"]) {
    try {
      const answer = await fetch(address);
      if (!answer.ok) continue;
      texts = await answer.json();
      language = texts["language"] ?? "en";
      document.documentElement.lang = language;
      return;
    } catch {
      continue;
    }
  }
  throw new Error("no texts");
}

/** The text of a key with its {values}; a text with `one` and `other` is chosen by `values.n`. */
export function t(key, values = {}) {
  let text = texts[key];
  if (text === undefined) return key;
  if (typeof text === "object") text = text[new Intl.PluralRules(language).select(values.n)] ?? text.other;
  return text.replaceAll(/\{(\w+)\}/g, (whole, name) => (name in values ? show(values[name]) : whole));
}

/** A number as the language writes it. */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
}

/** A fraction as a whole percentage. */
export function percent(fraction) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(fraction);
}

/** A moment given in ISO form as day and time. */
export function moment(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(date);
}

function show(value) {
  return typeof value === "number" ? number(value, Number.isInteger(value) ? 0 : 1) : String(value);
}
