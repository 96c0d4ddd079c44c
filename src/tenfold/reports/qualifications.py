"""What a verdict is to be read with, in words: how its arm was chosen, the margin, the budget, failures, and power."""

from __future__ import annotations

from collections.abc import Mapping

from tenfold.evaluation.contents import Comparison, Evaluation
from tenfold.reports import wording

_EQUIVALENCE_WORDS = {
    "equivalent": "equivalent to",
    "non_inferior": "not inferior to",
    "inferior": "inferior to",
    "inconclusive": "neither shown to be inferior nor shown not to be, against",
}
_BUDGETS = {
    "archive": "Its generator's base was pretrained further on an archive of unlabeled images (archive budget), which "
    "a strict budget does not allow.",
    "pooled": "Its generator was fitted on all labeled training images (pooled budget), more than the arm itself "
    "trains on, so a part of a gain may come from these.",
}


def further_sentences(evaluation: Evaluation) -> tuple[str, ...]:
    """Sentences that stand below the verdict, in this order; none where nothing is to be added."""
    return tuple(
        wording.capital(wording.plain_words(text))
        for text in (_choice(evaluation), _margin(evaluation), _budget(evaluation), _failures(evaluation))
        if text
    )


def power_sentence(evaluation: Evaluation, unit: str) -> str:
    """What the test set could show, known before training, and how wide the primary intervals became."""
    parts = []
    if evaluation.planned:
        accuracy = [row for row in evaluation.planned if row.metric == "accuracy"]
        classes = [row.difference for row in evaluation.planned if row.metric.startswith("auroc.")]
        known = [value for value in classes if value is not None]
        figures = [
            f"{wording.size_of_difference(row.difference, row.metric)} of accuracy"
            for row in accuracy
            if row.difference is not None
        ]
        if known:
            figures.append(f"{wording.size_of_difference(max(known), 'auroc')} of the AUROC of its hardest class")
        tested = evaluation.planned[0]
        parts.append(
            f"Known before training: with {wording.counted(tested.n_images, 'test image')} of "
            f"{wording.counted(tested.n_patients, unit)} no difference can be shown."
            if not figures
            else f"Known before training: {wording.counted(tested.n_images, 'test image')} of "
            f"{wording.counted(tested.n_patients, unit)} can show differences of {wording.listed(figures)}, four times "
            "in five, the spread over repetitions left aside."
        )
    halves = [row.half_width for row in evaluation.comparisons if row.is_primary and row.half_width is not None]
    if halves:
        metric = evaluation.verdict.metric
        low, high = (wording.size_of_difference(value, metric) for value in (min(halves), max(halves)))
        reach = low if low == high else f"{low.removesuffix(' points')} to {high}"
        parts.append(f"Found after it: the primary intervals reach {reach} to either side.")
    return " ".join(parts)


def _choice(evaluation: Evaluation) -> str:
    return evaluation.choice.sentence if evaluation.choice is not None else ""


def _margin(evaluation: Evaluation) -> str:
    rows = [row for row in evaluation.comparisons if row.is_primary and row.equivalence and row.margin is not None]
    if not rows:
        return ""
    by_word: dict[str, list[Comparison]] = {}
    for row in rows:
        by_word.setdefault(str(row.equivalence), []).append(row)
    margin = wording.size_of_difference(rows[0].margin, rows[0].metric)
    found = "; ".join(f"{_EQUIVALENCE_WORDS[word]} {_against(members)}" for word, members in by_word.items())
    return f"Against the margin of {margin} stated before the run, {_lower(rows[0].arm)} is {found}."


def _against(rows: list[Comparison]) -> str:
    return wording.listed(f"{_lower(row.control)} (p {_non_inferior_p(row)})" for row in rows)


def _lower(arm: str) -> str:
    return wording.arm_name(arm).lower()


def _non_inferior_p(row: Comparison) -> str:
    """That of equivalence where it was shown, else that of non-inferiority."""
    return wording.p_value(row.p_equivalent if row.equivalence == "equivalent" else row.p_non_inferior)


def _budget(evaluation: Evaluation) -> str:
    verdict = evaluation.verdict
    budgets: Mapping[tuple[str, int], str] = {
        (design.arm, design.training_size): design.generator_budget for design in evaluation.designs
    }
    return _BUDGETS.get(budgets.get((verdict.arm, verdict.training_size), "strict"), "")


def _failures(evaluation: Evaluation) -> str:
    verdict = evaluation.verdict
    concerned = [
        failure
        for failure in evaluation.failures
        if failure.training_size == verdict.training_size and failure.arm in (verdict.arm, *verdict.controls)
    ]
    if not evaluation.failures:
        return ""
    number = wording.counted(len(evaluation.failures), "classifier")
    own = f", {len(concerned)} of them in this comparison" if concerned else ", none of them in this comparison"
    return f"{number} could not be trained{own}; the reasons stand below."
