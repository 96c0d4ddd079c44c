// The rubric's questions, reject reasons and the comment for one image, answered by click, touch or digit.

import { announce, el, keycap } from "./dom.js";
import { t } from "./text.js";

const LONGEST_COMMENT = 2000;
const MOST_CHIPS = 14;
const REASONS = "reasons";

/**
 * One group takes the digits at a time: the reject reasons, or the question whose key was pressed. Its digits stand on it.
 * `root` is the element to place; `draft` is {reasons, answers, comment}.
 */
export class Form {
  #questions;
  #groups = new Map();
  #active = REASONS;

  constructor(rubric, { onChange = () => undefined } = {}) {
    this.#questions = rubric.questions;
    this.onChange = onChange;
    this.root = el("div", { class: "form" });
    this.#addGroup(REASONS, {
      text: t("form.reasons"), kind: "many", help: "", key: null,
    }, rubric.reasons.map(({ value, text, help, key }) => ({ value, text, help, digit: key })));
    for (const question of rubric.questions) this.#addGroup(question.id, question, optionsOf(question));
    this.comment = el("textarea", {
      id: "comment", rows: 2, maxlength: LONGEST_COMMENT, "aria-keyshortcuts": "C", placeholder: t("form.comment_hint"),
      on: { keydown: (event) => this.#commentKey(event) },
    });
    this.root.append(el("div", { class: "group" },
      el("label", { class: "group-title", for: "comment" }, t("form.comment"), keycap("C")), this.comment));
    this.activate(REASONS);
  }

  get draft() {
    const answers = {};
    for (const question of this.#questions) {
      const values = this.#values(question.id);
      if (question.kind === "many" ? values.length : values.length === 1) {
        answers[question.id] = question.kind === "many" ? values : typed(question, values[0]);
      }
    }
    return { reasons: this.#values(REASONS), answers, comment: this.comment.value.trim() };
  }

  set draft({ reasons = [], answers = {}, comment = "" }) {
    for (const [id, group] of this.#groups) {
      const answer = id === REASONS ? reasons : answers[id];
      const values = (Array.isArray(answer) ? answer : [answer]).map(String);
      for (const { control, option } of group.controls) control.checked = values.includes(option.value);
      if (group.select) group.select.value = values[0] === "undefined" ? "" : values[0];
    }
    this.comment.value = comment;
    this.activate(REASONS);
  }

  /** The first question that must be answered and is not, or null. */
  get missing() {
    return this.#questions.find(({ id, required }) => required && !this.#values(id).length) ?? null;
  }

  /** Gives the digits to a question, or to the reject reasons. */
  activate(id) {
    this.#active = id;
    for (const [own, group] of this.#groups) group.element.classList.toggle("is-active", own === id);
    if (id === REASONS) return;
    const group = this.#groups.get(id);
    group.element.scrollIntoView({ block: "nearest" });
    announce(t("form.answering", { question: group.question.text }));
  }

  get isAnswering() {
    return this.#active !== REASONS;
  }

  /** Question keys, digits, Enter and Escape; true when the key was one of them. */
  key(event) {
    const letter = event.key.toLowerCase();
    const question = this.#questions.find(({ key }) => key === letter);
    if (question) this.activate(question.id === this.#active ? REASONS : question.id);
    else if (/^[1-9]$/.test(event.key)) this.#press(event.key);
    else if (event.key === "Enter" && this.isAnswering) this.#activateNext();
    else if (event.key === "Escape" && this.isAnswering) this.activate(REASONS);
    else return false;
    return true;
  }

  #press(digit) {
    const group = this.#groups.get(this.#active);
    const found = group.controls.find(({ option }) => option.digit === digit);
    if (!found) return;
    found.control.checked = !found.control.checked;
    announce(t(found.control.checked ? "form.chosen" : "form.not_chosen", { option: found.option.text }));
    this.onChange();
    if (found.control.checked && group.question.kind !== "many") this.#activateNext();
  }

  /** On to the next question without an answer, after the last one back to the reasons. */
  #activateNext() {
    const order = this.#questions.map(({ id }) => id);
    const rest = order.slice(order.indexOf(this.#active) + 1);
    this.activate(rest.find((id) => !this.#values(id).length) ?? REASONS);
  }

  #values(id) {
    const group = this.#groups.get(id);
    if (group.select) return group.select.value ? [group.select.value] : [];
    return group.controls.filter(({ control }) => control.checked).map(({ option }) => option.value);
  }

  #addGroup(id, question, options) {
    const group = { question, controls: [], select: null, element: null };
    const title = el("legend", { class: "group-title" }, question.text, question.required ? requiredMark() : null,
      question.key ? keycap(question.key.toUpperCase()) : null);
    const body = options.length > MOST_CHIPS && question.kind !== "many" ? this.#select(group, options)
      : el("div", { class: `chips chips-${question.kind}` }, options.map((option) => this.#chip(id, group, option)));
    const ends = question.kind === "scale" && (question.low_text || question.high_text)
      ? el("p", { class: "ends" }, el("span", {}, question.low_text), el("span", {}, question.high_text)) : null;
    const shape = id === REASONS ? "group group-reasons" : isShort(question, options) ? "group group-short" : "group";
    group.element = el("fieldset", { class: shape }, title,
      question.help ? el("p", { class: "hint" }, question.help) : null, body, ends);
    this.#groups.set(id, group);
    this.root.append(group.element);
  }

  #chip(id, group, option) {
    let wasChosen = false;
    const control = el("input", {
      type: group.question.kind === "many" ? "checkbox" : "radio", name: `answer-${id}`, value: option.value,
      on: { change: () => this.onChange(), click: (event) => clicked(event) },
    });
    const clicked = (event) => {
      if (control.type === "radio" && wasChosen) control.checked = false; // the same choice again takes it back
      wasChosen = false;
      if (event.pointerType) control.blur(); // after a pointer the keys belong to the page again
    };
    group.controls.push({ control, option });
    return el("label", {
      class: "chip", title: option.help || null, on: { pointerdown: () => { wasChosen = control.checked; } },
    }, control, option.digit && option.digit !== option.text ? keycap(option.digit) : null, el("span", {}, option.text));
  }

  #select(group, options) {
    group.select = el("select", { "aria-label": group.question.text, on: { change: () => this.onChange() } },
      el("option", { value: "" }, t("form.choose")),
      options.map(({ value, text }) => el("option", { value }, text)));
    return group.select;
  }

  #commentKey(event) {
    if (event.key !== "Escape" && !(event.key === "Enter" && (event.ctrlKey || event.metaKey))) return;
    event.preventDefault();
    event.stopPropagation();
    this.comment.blur();
  }
}

/** Title and answers fit on one line. */
function isShort({ kind, text, help, required }, options) {
  const letters = options.reduce((sum, option) => sum + option.text.length + 6, text.length);
  return kind !== "scale" && kind !== "many" && !help && !required && letters < 48;
}

function requiredMark() {
  return el("span", { class: "required" }, t("form.required"));
}

function optionsOf(question) {
  if (question.kind === "yes_no") {
    return withDigits([{ value: "true", text: t("form.yes") }, { value: "false", text: t("form.no") }]);
  }
  if (question.kind === "scale") {
    const count = question.high - question.low + 1;
    return Array.from({ length: count }, (_, step) => {
      const text = String(question.low + step);
      return { value: text, text, digit: text.length === 1 && text !== "0" ? text : "" };
    });
  }
  return withDigits(question.options);
}

function withDigits(options) {
  return options.map((option, place) => ({ ...option, digit: place < 9 ? String(place + 1) : "" }));
}

function typed(question, value) {
  if (question.kind === "yes_no") return value === "true";
  return question.kind === "scale" ? Number(value) : value;
}
