"""The top of the page in words: title, question, verdict and what it means, each made from the numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from tenfold.evaluation.contents import Comparison, Evaluation
from tenfold.reports import wording
from tenfold.reports.contents import Headline
from tenfold.reports.qualifications import further_sentences

_MOST_CLASSES_NAMED = 6
_FEW_SEEDS = re.compile(r"Only (?P<seeds>\d+) seeds were run against \w+; at least (?P<needed>\d+) are needed\. ?")


def write_headline(
    evaluation: Evaluation,
    class_names: Mapping[str, str],
    *,
    title: str | None,
    question: str | None,
    is_phantom: bool,
    trimmed: Sequence[str],
) -> Headline:
    """The headline of an evaluation; `title` and `question` of the author go before the made ones."""
    classes = _classes([class_names[label] for label in evaluation.labels])
    size = evaluation.verdict.training_size
    asked = (
        f"Do synthetic images, drawn by a generator fitted on only {wording.counted(size, 'real image')} of each "
        f"class, make a classifier of {classes} better?"
    )
    notes = [*trimmed, *(note for note in evaluation.notes if note not in trimmed)]
    if is_phantom:
        notes.insert(0, "The images are computer-drawn phantoms: no patient is behind them.")
    return Headline(
        title=title or f"Synthetic images for {classes}",
        question=question or asked,
        verdict_title=wording.verdict_title(evaluation.verdict.word),
        sentences=(_finding(evaluation), _meaning(evaluation)),
        trimmed=tuple(wording.sentence(wording.plain_words(note)) for note in notes),
        further=further_sentences(evaluation),
    )


def primary_comparisons(evaluation: Evaluation) -> tuple[Comparison, ...]:
    """The comparisons that the verdict rests on, in the order of its controls."""
    order = {control: place for place, control in enumerate(evaluation.verdict.controls)}
    primary = [row for row in evaluation.comparisons if row.is_primary]
    return tuple(sorted(primary, key=lambda row: (order.get(row.control, len(order)), row.control)))


def best_control(evaluation: Evaluation) -> str | None:
    """The control with the highest primary figure at the verdict's training size; None when none has one."""
    verdict = evaluation.verdict
    figures = {
        summary.arm: summary.metrics[verdict.metric].value
        for summary in evaluation.arms
        if summary.training_size == verdict.training_size and summary.arm in verdict.controls
        if verdict.metric in summary.metrics
    }
    known = {arm: value for arm, value in figures.items() if value is not None}
    return max(sorted(known), key=lambda arm: known[arm]) if known else None


def _finding(evaluation: Evaluation) -> str:
    """What was measured, against the control that is hardest to beat; why not, when it is not testable."""
    verdict = evaluation.verdict
    known = [row for row in primary_comparisons(evaluation) if row.difference.value is not None]
    if verdict.word == "not_testable" or not known:
        return wording.plain_words(_FEW_SEEDS.sub(_once(), verdict.sentence.removeprefix("Not testable: ")).strip())
    hardest = min(known, key=lambda row: row.difference.value or 0.0)
    change = wording.difference(hardest.difference.value, verdict.metric)
    interval = wording.difference_interval(hardest.difference, verdict.metric)
    seen = f"With {wording.counted(verdict.training_size, 'real image')} of each class"
    name = f"{wording.metric_name(verdict.metric)} by {change} (95 % interval {interval})"
    control = _lower(hardest.control) if len(known) == 1 else f"the hardest control to beat, {_lower(hardest.control)}"
    return f"{seen}, {_change(verdict.arm)} changed {name} against {control}."


def _once() -> Callable[[re.Match[str]], str]:
    """Puts the few seeds into words where they are first told of, and leaves them out where they are told again."""
    told: list[str] = []

    def put(match: re.Match[str]) -> str:
        told.append(match.group())
        words = f"Repetitions run: {match['seeds']}; at least {match['needed']} are needed. "
        return words if len(told) == 1 else ""

    return put


def _change(arm: str) -> str:
    return "adding synthetic images" if arm == "hybrid" else f"“{_lower(arm)}”"


def _lower(arm: str) -> str:
    return wording.arm_name(arm).lower()


def _meaning(evaluation: Evaluation) -> str:
    verdict, rows = evaluation.verdict, primary_comparisons(evaluation)
    if verdict.word == "not_testable" or not rows:
        return "The comparison that would answer the question is not sound, so no claim is made either way."
    if verdict.word == "helps":
        against = wording.listed(_lower(row.control) for row in rows)
        return (
            f"The gain holds against every control ({against}); it needs confirming on other patients before anyone "
            "relies on it."
        )
    if verdict.word == "harms":
        against = wording.listed(_lower(arm) for arm in verdict.harmful_against)
        return f"The classifier became worse than with {against}: made this way, these images should not be trained on."
    open_rows = [row for row in rows if row.control in verdict.unproven_against] or list(rows)
    lows = [row.difference.low for row in open_rows if row.difference.low is not None]
    highs = [row.difference.high for row in open_rows if row.difference.high is not None]
    if not lows or not highs:
        return "The effect's uncertainty could not be estimated, so the run neither shows a benefit nor rules one out."
    against = wording.listed(_lower(row.control) for row in open_rows)
    low, high = (wording.difference(bound, verdict.metric) for bound in (min(lows), max(highs)))
    low = low.removesuffix(" points")
    holds = "The interval holds" if len(open_rows) == 1 else "The intervals hold"
    return (
        f"{holds} zero against {against}: true effects from {low} to {high} fit these data, so the run neither shows "
        "a benefit nor rules one out."
    )


def _classes(names: Sequence[str]) -> str:
    return wording.listed(names) if len(names) <= _MOST_CLASSES_NAMED else f"{len(names)} conditions"
