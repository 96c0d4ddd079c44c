// What others said about an image: their verdicts, reasons, answers and comments.

import { el } from "./dom.js";
import { moment, t } from "./text.js";

/** opinions: {verdict, reasons, answers, comment} and, for the lead, {by, seconds, at}; others see numbers for names. */
export function opinionsPanel(opinions, rubric, { isNamed = false } = {}) {
  return el("section", { class: "opinions-list", "aria-label": t("opinions.title") },
    el("h2", { class: "group-title" }, t("opinions.title")),
    opinions.length ? opinions.map((opinion, place) => opinionCard(
      { ...opinion, by: isNamed ? opinion.by : t("opinions.by", { n: place + 1 }) }, rubric)) : el("p", { class: "hint" }, t("opinions.none")));
}

/** The words of one answer, as the rubric calls them. */
export function answerText(question, answer) {
  if (typeof answer === "boolean") return t(answer ? "form.yes" : "form.no");
  const name = (value) => question.options?.find((option) => option.value === value)?.text ?? String(value);
  if (Array.isArray(answer)) return answer.map(name).join(", ");
  return question.kind === "scale" ? t("opinions.scale", { value: answer, high: question.high }) : name(answer);
}

function opinionCard({ by, verdict, reasons, answers, comment, seconds, at }, rubric) {
  const names = reasons.map((value) => rubric.reasons.find((reason) => reason.value === value)?.text ?? value);
  const rows = rubric.questions.filter(({ id }) => id in answers)
    .map((question) => [question.text, answerText(question, answers[question.id])]);
  const when = [at && moment(at), seconds && t("opinions.seconds", { seconds })].filter(Boolean).join(" · ");
  return el("article", { class: `opinion opinion-${verdict}` },
    el("header", {}, el("b", {}, by), el("span", { class: `word-${verdict}` }, t(`judge.word_${verdict}`))),
    names.length ? el("p", {}, names.join(", ")) : null,
    comment ? el("blockquote", {}, comment) : null,
    rows.length ? el("dl", {}, rows.map(([question, answer]) => el("div", {}, el("dt", {}, question), el("dd", {}, answer)))) : null,
    when ? el("p", { class: "hint" }, when) : null);
}
