"""Estimates of one model from draws of any figure: shares and errors, with their counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tenfold.evaluation.estimate import Estimate
from tenfold.evaluation.given_predictions import GivenModel, GivenPredictions
from tenfold.evaluation.scoring import Scorer, finite, within
from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray, WeightedMetric
from tenfold.metrics.bootstrap import Draws, Interval, crossed_error_interval, crossed_share_interval


@dataclass(frozen=True)
class Judge:
    """The test set with its patient draws, and what every estimate on it needs."""

    given: GivenPredictions
    scorer: Scorer

    @property
    def truth(self) -> IntArray:
        return self.given.truth

    @property
    def weights(self) -> FloatArray:
        """(1 + D, N): the test set as it is, then each draw."""
        return self.scorer.patient_draws.weights

    def patients_of(self, mask: BoolArray) -> int:
        """Number of patients among the images of a mask (N,)."""
        return len(np.unique(self.given.patients[mask]))

    def draws(self, kernel: WeightedMetric | Sequence[WeightedMetric], probs: FloatArray) -> FloatArray:
        """Scores (K, 1 + D, ...) of runs' probabilities (K, N, C); `kernel` for all runs, or one for each."""
        kernels = [kernel] * len(probs) if callable(kernel) else list(kernel)
        return np.stack([one(self.truth, run, self.weights) for one, run in zip(kernels, probs, strict=True)])

    def share(self, scores: FloatArray, boundary: BoolArray) -> Estimate:
        """Of scores (K, 1 + D) in [0, 1]; `boundary` (N,) are the images that a share at 0 or 1 rests on."""
        draws = self.scorer.patient_draws
        count = self.patients_of(boundary)
        interval = crossed_share_interval(Draws.of_scores(scores), draws, boundary_count=count)
        return self.estimate(interval, len(scores))

    def error(self, scores: FloatArray, metric: str) -> Estimate:
        """Of scores (K, 1 + D) of an error, which is never below 0."""
        interval = within(crossed_error_interval(Draws.of_scores(scores), self.scorer.patient_draws), metric)
        return self.estimate(interval, len(scores))

    def estimate(self, interval: Interval, runs: int) -> Estimate:
        return Estimate(
            finite(interval.value), finite(interval.low), finite(interval.high), len(self.truth),
            self.scorer.patient_draws.patient_count, runs, interval.method,
        )  # fmt: skip


def probs_of(model: GivenModel) -> FloatArray:
    """The runs' probabilities (K, N, C)."""
    return np.stack([run.test.probs for run in model.runs])


def run_pairs(model: GivenModel, other: GivenModel) -> list[tuple[int, int]]:
    """Positions of runs that belong together: of one seed; without any, a single run beside each, else in order.

    Runs of different seeds are independent, so that any pairing of them gives a valid interval.
    """
    places = {run.seed: place for place, run in enumerate(other.runs)}
    pairs = [(place, places[run.seed]) for place, run in enumerate(model.runs) if run.seed in places]
    if pairs:
        return pairs
    if len(other.runs) == 1 or len(model.runs) == 1:
        count = max(len(model.runs), len(other.runs))
        return [(min(k, len(model.runs) - 1), min(k, len(other.runs) - 1)) for k in range(count)]
    return [(k, k) for k in range(min(len(model.runs), len(other.runs)))]


def half_width(estimate: Estimate) -> float | None:
    """Half the interval's width, None without an interval."""
    if estimate.low is None or estimate.high is None:
        return None
    return (estimate.high - estimate.low) / 2


def median(values: Sequence[float]) -> float | None:
    """The median of the finite values, None without any."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else None
