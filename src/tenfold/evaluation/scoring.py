"""Scores of every arm on the same drawn patients, kept so that each is computed once, and estimates made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.evaluation.contents import Estimate
from tenfold.evaluation.predictions import ArmKey, SeedKey, StudyPredictions
from tenfold.metrics.arrays import BoolArray, FloatArray, WeightedMetric
from tenfold.metrics.bootstrap import (
    Draws,
    Interval,
    PatientDraws,
    crossed_error_interval,
    crossed_interval,
    crossed_share_interval,
    draw_metric,
    draw_patients,
)
from tenfold.metrics.catalog import Metric, catalog
from tenfold.metrics.power import detectable_difference

__all__ = ["ArmKey", "Scorer", "finite", "minimum_detectable", "within"]

LARGEST_ERRORS = {"expected_calibration_error": 1.0, "brier_score": 2.0}
"""What no figure of all classes together can exceed; a single class's cannot exceed 1."""


class Scorer:
    """Scores arms of a study on the test images of `mask` (all by default), over one set of patient draws.

    `name` keys the draws, so that a subgroup's do not depend on which others were scored before.
    """

    def __init__(
        self, study: StudyPredictions, *, draws: int, seed: int, name: str = "all", mask: BoolArray | None = None
    ) -> None:
        self.study = study
        self.mask = np.ones(len(study.truth), dtype=np.bool_) if mask is None else mask
        self.truth = study.truth[self.mask]
        self.patients = study.patients[self.mask]
        self.metrics: dict[str, Metric] = catalog(study.labels)
        generator = numpy_generator(derive_seed(seed, "evaluation", "patients", name))
        self.patient_draws: PatientDraws = draw_patients(self.patients, self.truth, draws, generator)
        self._scores: dict[tuple[ArmKey, WeightedMetric], FloatArray] = {}

    def scores(self, key: ArmKey, metric: str) -> Draws:
        """One figure of every seed of an arm, on the test set and on each draw."""
        kernel = self.metrics[metric].kernel
        if (key, kernel) not in self._scores:
            probs = self.study.arms[key].probs[:, self.mask]
            self._scores[key, kernel] = draw_metric(kernel, self.truth, probs, self.patient_draws)
        return Draws.of_scores(self.metrics[metric].reduced(self._scores[key, kernel]))

    def scores_of_seeds(self, key: ArmKey, metric: str, seed_keys: Sequence[SeedKey]) -> Draws:
        """The same, of these seeds in their order."""
        rows = self.study.arms[key].of_seeds(seed_keys)
        scores = self.scores(key, metric)
        return Draws(scores.points[rows], scores.draws[rows])

    def common_seeds(self, keys: Sequence[ArmKey]) -> list[SeedKey]:
        """The seeds that all of these arms have, sorted."""
        shared = set.intersection(*(set(self.study.arms[key].seed_keys) for key in keys))
        return sorted(shared)

    def estimate(self, key: ArmKey, metric: str) -> Estimate:
        """One figure of an arm with its interval."""
        figure = self.scores(key, metric)
        if self.metrics[metric].is_share:
            interval = crossed_share_interval(figure, self.patient_draws, boundary_count=self._boundary_count(metric))
        else:
            interval = within(crossed_error_interval(figure, self.patient_draws), metric)
        return self._as_estimate(interval, len(figure.points))

    def difference(self, key: ArmKey, control: ArmKey, metric: str) -> tuple[Estimate, Interval]:
        """Arm minus control over the seeds that both have, paired by patient and by seed.

        Raises ValueError when they have no seed in common.
        """
        seeds = self.common_seeds([key, control])
        if not seeds:
            raise ValueError(f"{key} and {control} have no seed in common")
        figure = self.scores_of_seeds(key, metric, seeds).minus(self.scores_of_seeds(control, metric, seeds))
        interval = crossed_interval(figure, self.patient_draws)
        shown = interval
        if self.metrics[metric].is_share:  # no difference of two shares lies beyond 1
            shown = replace(interval, low=max(interval.low, -1.0), high=min(interval.high, 1.0))
        return self._as_estimate(shown, len(seeds)), interval

    def _as_estimate(self, interval: Interval, seed_count: int) -> Estimate:
        return Estimate(
            value=finite(interval.value),
            low=finite(interval.low),
            high=finite(interval.high),
            n_images=len(self.truth),
            n_patients=self.patient_draws.patient_count,
            n_seeds=seed_count,
            method=interval.method,
        )

    def _boundary_count(self, metric: str) -> int:
        """Patients on which a share at 0 or 1 rests: of the class for its figures (of all others for its specificity),
        of the smallest class for averages over classes, all for accuracy and its kin."""
        of_class = [len(np.unique(self.patients[self.truth == c])) for c in range(len(self.study.labels))]
        everyone = self.patient_draws.patient_count
        kind, _, label = metric.partition(".")
        if label:
            own = of_class[self.study.labels.index(label)]
            return everyone - own if kind == "specificity" else own
        return min((count for count in of_class if count), default=0) if self.metrics[metric].is_per_class else everyone


def within(interval: Interval, metric: str) -> Interval:
    """The interval of an error without what the error cannot be, which few seeds would let it hold."""
    name, _, label = metric.partition(".")
    if name not in LARGEST_ERRORS or not math.isfinite(interval.high):
        return interval
    return replace(interval, high=min(interval.high, 1.0 if label else LARGEST_ERRORS[name]))


def minimum_detectable(interval: Interval) -> float | None:
    """The difference that an interval of this width excludes 0 for with 80 % power; None when it is undefined."""
    if not math.isfinite(interval.standard_error) or interval.standard_error == 0:
        return None
    return detectable_difference(interval.standard_error, interval.degrees_of_freedom)


def finite(value: float) -> float | None:
    """The number, or None for a NaN or an infinity."""
    return float(value) if math.isfinite(value) else None
