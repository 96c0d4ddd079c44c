"""Results by skin type, severity, site and sex: for whom does it work, and where are there too few to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tenfold.evaluation.comparison import Primary
from tenfold.evaluation.contents import Estimate, SubgroupRow
from tenfold.evaluation.predictions import StudyPredictions
from tenfold.evaluation.scoring import ArmKey, Scorer, minimum_detectable
from tenfold.metrics.arrays import BoolArray

MOST_VALUES = 12
MADE_ATTRIBUTES = ("age_band", "source")
AGE_BANDS = ((0, 40, "under 40"), (40, 60, "40 to 59"), (60, 200, "60 and over"))
SOURCE_COLUMNS = ("attr.source", "attr.dataset", "attr.collection", "attr.hospital", "attr.institution", "attr.center")
"""What upstream tables call the place an image comes from; the manifest's own `source` tells real from synthetic."""
SECOND_METRIC = "balanced_accuracy"


@dataclass(frozen=True)
class Limits:
    """A subgroup is ranked that has at least `fewest` patients and could show a difference of `detectable`."""

    detectable: float
    fewest: int


def subgroup_masks(
    study: StudyPredictions, manifest: pd.DataFrame, attributes: Sequence[str]
) -> tuple[list[tuple[str, str, BoolArray]], list[str]]:
    """(attribute, value, mask (N,)) of every subgroup, and notes on what was left out.

    manifest: real images with the attributes as columns, by image_id; `age_band` is made of `age`, `source` is where
    the image comes from. Estimated skin types are no subgroups. An attribute with one value is left out; of one with
    many the 12 largest are kept.
    """
    rows = manifest.drop_duplicates("image_id").set_index("image_id").reindex(list(study.image_ids))
    masks: list[tuple[str, str, BoolArray]] = []
    notes: list[str] = []
    for attribute in attributes:
        values = _values(rows, attribute)
        if values is None:
            if attribute not in MADE_ATTRIBUTES:
                notes.append(f"No results by {attribute}: the manifest has no such column.")
            continue
        if attribute.startswith("skin_type") and "skin_type_source" in rows.columns:
            values = values.where((rows["skin_type_source"] != "estimated").fillna(True))
        counts = values.value_counts()
        if len(counts) < 2:
            continue
        if len(counts) > MOST_VALUES:
            notes.append(f"Of {len(counts)} values of {attribute} the {MOST_VALUES} most frequent are shown.")
        unknown = int(values.isna().sum())
        if unknown:
            notes.append(f"{unknown} of {len(values)} test images have no {attribute} and are in none of its rows.")
        kept = counts.index[:MOST_VALUES]
        for value in sorted(kept, key=_by_age if attribute == "age_band" else _natural):
            masks.append((attribute, str(value), np.asarray((values == value).fillna(False), dtype=np.bool_)))
    return masks, notes


def _values(rows: pd.DataFrame, attribute: str) -> pd.Series[Any] | None:
    """The attribute of each row; None where the manifest does not have it."""
    if attribute == "source":
        column = next((name for name in SOURCE_COLUMNS if name in rows.columns), None)
        return None if column is None else rows[column]
    if attribute == "age_band":
        return age_bands(rows["age"]) if "age" in rows.columns else None
    return rows[attribute] if attribute in rows.columns else None


def age_bands(ages: pd.Series[Any]) -> pd.Series[Any]:
    """The name of each age's band, null where the age is not known."""
    years = pd.to_numeric(ages, errors="coerce").astype("Float64")
    bands = pd.Series(pd.NA, index=ages.index, dtype="string")
    for low, high, name in AGE_BANDS:
        bands = bands.mask(((years >= low) & (years < high)).fillna(False), name)
    return bands


def subgroup_rows(
    study: StudyPredictions,
    masks: Sequence[tuple[str, str, BoolArray]],
    primary: Primary,
    *,
    best_control: str,
    draws: int,
    seed: int,
    limits: Limits,
) -> list[SubgroupRow]:
    """The primary arm and its controls in every subgroup, by the primary metric and balanced accuracy.

    The arm's rows hold its difference to `best_control`. Patients are drawn anew within each subgroup; one below
    the limits is underpowered.
    """
    arms = [primary.arm, *(control for control in primary.controls if (control, primary.training_size) in study.arms)]
    metrics = list(dict.fromkeys((primary.metric, SECOND_METRIC)))
    rows = []
    for attribute, value, mask in masks:
        scorer = Scorer(study, draws=draws, seed=seed, name=f"{attribute}={value}", mask=mask)
        is_small = scorer.patient_draws.patient_count < limits.fewest
        absent = tuple(label for index, label in enumerate(study.labels) if not (scorer.truth == index).any())
        for metric in metrics:
            control = (best_control, primary.training_size)
            difference, interval = scorer.difference(primary.key, control, metric)
            visible = minimum_detectable(interval)
            for arm in arms:
                is_primary = arm == primary.arm
                row = SubgroupRow(
                    attribute=attribute,
                    value=value,
                    arm=arm,
                    training_size=primary.training_size,
                    metric=metric,
                    estimate=_estimate(scorer, (arm, primary.training_size), metric, absent),
                    control=best_control if is_primary else None,
                    difference=difference if is_primary else None,
                    minimum_detectable_difference=visible,
                    is_underpowered=is_small or visible is None or visible > limits.detectable,
                    is_worst=False,
                    absent_labels=absent,
                )
                rows.append(row)
    return _mark_worst(rows)


def _estimate(scorer: Scorer, key: ArmKey, metric: str, absent: Sequence[str]) -> Estimate:
    """The figure, with a note of the classes that have no image here (their AUROC or sensitivity does not exist)."""
    estimate = scorer.estimate(key, metric)
    if not absent:
        return estimate
    return replace(estimate, method=f"{estimate.method}; no image of {', '.join(absent)} here")


def _mark_worst(rows: Sequence[SubgroupRow]) -> list[SubgroupRow]:
    """Flag the lowest value of each attribute, arm and metric among its well-powered rows, when there are two.

    Figures of other classes are not ranked beside those of all.
    """
    ranked: dict[tuple[str, str, str], list[SubgroupRow]] = {}
    for row in rows:
        if not row.is_underpowered and not row.absent_labels and row.estimate.value is not None:
            ranked.setdefault((row.attribute, row.arm, row.metric), []).append(row)
    worst = {id(min(group, key=_value)) for group in ranked.values() if len(group) > 1}
    return [replace(row, is_worst=True) if id(row) in worst else row for row in rows]


def _value(row: SubgroupRow) -> float:
    return row.estimate.value if row.estimate.value is not None else float("inf")


def _by_age(band: Any) -> int:
    return [name for _, _, name in AGE_BANDS].index(str(band))


def _natural(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then texts by letter."""
    return (0, float(value), "") if isinstance(value, int | float | np.number) else (1, 0.0, str(value))
