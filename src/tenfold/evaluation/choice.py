"""Which arm the primary comparison is about: the recipe's, or of its variants the best on validation images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from tenfold.evaluation.contents import Estimate
from tenfold.evaluation.design_contents import ValidationFigure, VariantChoice
from tenfold.evaluation.designs import DOSE_FIELDS, ArmDesigns, differing_fields
from tenfold.evaluation.predictions import ArmPredictions, StudyPredictions
from tenfold.metrics.arrays import FloatArray
from tenfold.metrics.catalog import METRICS, Metric


def candidate_arms(designs: ArmDesigns, given: str, training_size: int, also: Sequence[str] = ()) -> list[str]:
    """The given arm, its variants that differ in ratio and share only, and the arms `also` named; those that were run.

    Variants with other transforms or a wider budget are no candidates: their controls would be others.
    """
    own = designs.get((given, training_size))
    variants = [
        design.arm
        for (arm, size), design in sorted(designs.items())
        if own is not None
        and size == training_size
        and design.base_arm == given
        and arm != given
        and set(differing_fields(design, own)) <= set(DOSE_FIELDS)
    ]
    return [arm for arm in dict.fromkeys((given, *variants, *also)) if (arm, training_size) in designs]


def choose_on_validation(
    study: StudyPredictions, arms: Sequence[str], given: str, training_size: int, metric: str
) -> VariantChoice:
    """The arm with the best mean figure on its own validation images; the first of equals, the given one before others.

    Only seeds that all arms have are counted. Without any validation figure the given arm stays.
    """
    members = [study.arms[arm, training_size] for arm in arms]
    shared = sorted(set.intersection(*(set(member.seed_keys) for member in members))) if members else []
    figures = [_figure(member, shared, METRICS[metric]) for member in members]
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    known = [(sign * figure.estimate.value, figure.arm) for figure in figures if figure.estimate.value is not None]
    best = max((value for value, _ in known), default=None)
    chosen = next((arm for value, arm in known if value == best), given)
    return VariantChoice(given, chosen, training_size, metric, tuple(figures), _sentence(figures, given, chosen))


def _figure(member: ArmPredictions, seeds: Sequence[tuple[int, int]], metric: Metric) -> ValidationFigure:
    rows = [member.validations[int(place)] for place in member.of_seeds(seeds)]
    values = np.array([metric.point(row.truth, row.probs) if len(row.truth) else math.nan for row in rows])
    images = max((len(row.truth) for row in rows), default=0)
    patients = max((row.patient_count for row in rows), default=0)
    return ValidationFigure(member.arm, _mean_over_seeds(values, images, patients))


def _mean_over_seeds(values: FloatArray, images: int, patients: int) -> Estimate:
    """Mean and t interval over seeds, each with validation images of its own: at most so many images and patients."""
    count = len(values)
    if not count or not np.isfinite(values).all():
        return Estimate(None, None, None, images, patients, count, "undefined: a class has no validation image")
    mean = float(values.mean())
    if count == 1:
        return Estimate(mean, None, None, images, patients, 1, "one seed: no interval")
    half = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count))
    return Estimate(mean, mean - half, mean + half, images, patients, count, "validation images, t interval over seeds")


def _sentence(figures: Sequence[ValidationFigure], given: str, chosen: str) -> str:
    if len(figures) < 2:
        return f"{given} was the only arm to choose from."
    if all(figure.estimate.value is None for figure in figures):
        return f"{given} is compared as named: no figure on validation images could be had."
    return f"{chosen} was chosen among {len(figures)} arms by validation images alone; no test image was used."
