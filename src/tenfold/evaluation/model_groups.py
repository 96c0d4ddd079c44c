"""Each model by skin type, severity, site, sex, age and source: for whom it works, and where too few can say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tenfold.data.manifest import ATTRIBUTE_PREFIX
from tenfold.evaluation.estimate import Estimate
from tenfold.evaluation.external_contents import GroupRow
from tenfold.evaluation.given_predictions import GivenPredictions
from tenfold.evaluation.model_estimates import half_width
from tenfold.evaluation.scoring import Scorer
from tenfold.evaluation.subgroups import SOURCE_COLUMNS, subgroup_masks
from tenfold.metrics.arrays import BoolArray

MOST_CLASSES_BY_GROUP = 6
_LACKING = "No results by"


def group_rows(
    given: GivenPredictions, masks: Sequence[tuple[str, str, BoolArray]], *, metric: str, draws: int, seed: int,
    widest: float, fewest: int,
) -> list[GroupRow]:  # fmt: skip
    """Every model in every subgroup by `metric`, accuracy and balanced accuracy, and of few classes the sensitivity of
    each. `widest` (half an interval) and `fewest` (patients) bound what is ranked."""
    study = given.study()
    of_classes = (
        [f"sensitivity.{label}" for label in given.labels] if len(given.labels) <= MOST_CLASSES_BY_GROUP else []
    )
    metrics = list(dict.fromkeys((metric, "accuracy", "balanced_accuracy", *of_classes)))
    rows = []
    for attribute, value, mask in masks:
        scorer = Scorer(study, draws=draws, seed=seed, name=f"{attribute}={value}", mask=mask)
        absent = [label for index, label in enumerate(given.labels) if not (scorer.truth == index).any()]
        for model in given.models:
            for name in metrics:
                if name.partition(".")[2] in absent:
                    continue
                estimate = scorer.estimate(model.key, name)
                if absent and name not in of_classes:
                    estimate = replace(estimate, method=f"{estimate.method}; no image of {', '.join(absent)} here")
                why = _weakness(estimate, widest, fewest)
                rows.append(GroupRow(attribute, value, model.name, name, estimate, bool(why), why, False))
    return _mark_worst(rows)


def group_masks(
    given: GivenPredictions, attributes: Sequence[str]
) -> tuple[list[tuple[str, str, BoolArray]], list[str]]:
    """The subgroups of the test images by columns of the manifest, written with or without `attr.`, and notes."""
    manifest = given.manifest
    columns = {name: name if name in manifest.columns else f"{ATTRIBUTE_PREFIX}{name}" for name in attributes}
    wanted = [own if own in manifest.columns else name for name, own in columns.items()]
    if set(SOURCE_COLUMNS) & set(wanted):
        wanted = [name for name in wanted if name != "source"]  # it would show the same column again
    masks, said = subgroup_masks(given.study(), manifest, wanted)
    shown = {attribute for attribute, _, _ in masks}
    notes = [note for note in said if not note.startswith(_LACKING)]
    if without := [name for name in wanted if name not in shown]:
        notes.append(f"{_LACKING} {', '.join(without)}: not recorded, or all test images are alike in it.")
    return masks, notes


def _weakness(estimate: Estimate, widest: float, fewest: int) -> str:
    if estimate.n_patients < fewest:
        return f"fewer than {fewest} patients"
    width = half_width(estimate)
    if width is None:
        return estimate.method
    return f"interval wider than {100 * widest:.0f} points to either side" if width > widest else ""


def _mark_worst(rows: Sequence[GroupRow]) -> list[GroupRow]:
    """Flag the lowest value of each attribute, model and metric among rows that are not weak, when there are two."""
    ranked: dict[tuple[str, str, str], list[GroupRow]] = {}
    for row in rows:
        if not row.is_weak and row.estimate.value is not None:
            ranked.setdefault((row.attribute, row.model, row.metric), []).append(row)
    worst = {id(min(group, key=_value)) for group in ranked.values() if len(group) > 1}
    return [replace(row, is_worst=True) if id(row) in worst else row for row in rows]


def _value(row: GroupRow) -> float:
    return row.estimate.value if row.estimate.value is not None else float("inf")
