"""ROC, precision-recall and reliability curves with pointwise bands: patients drawn, crossed with the seeds.

A band is made of the interval of `metrics.bootstrap` at each point of a grid; it holds for one point at a time, not
for the whole curve at once. The curve is the mean over seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray, mean_of_defined, one_weighting
from tenfold.metrics.bootstrap import Draws, Interval, PatientDraws, crossed_share_interval
from tenfold.metrics.calibration import BIN_COUNT, reliability
from tenfold.metrics.ranking import precision_curves, roc_curves

GRID: FloatArray = np.linspace(0.0, 1.0, 101)

_Curves = Callable[[BoolArray, FloatArray, FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Band:
    """A curve with its pointwise interval, (G,) each; NaN where it is undefined."""

    grid: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray
    method: str


@dataclass(frozen=True)
class ReliabilityBand:
    """Observed frequency by bin, at the bins' centers as grid; `predicted` (B,) is the bins' mean probability and
    `share` (B,) the share of images in them, both means over seeds."""

    band: Band
    predicted: FloatArray
    share: FloatArray


def roc_band(
    is_positive: BoolArray,
    scores_of_seed: FloatArray,
    patients: IntArray,
    patient_draws: PatientDraws,
    *,
    grid: FloatArray = GRID,
    level: float = 0.95,
) -> Band:
    """True positive rate at the false positive rates `grid` (G,). is_positive, patients: (N,); scores: (K, N)."""
    band = _curve_band(roc_curves, is_positive, scores_of_seed, patients, patient_draws, (grid, level))
    # Every ROC curve ends in (1, 1), whatever the sample.
    end = grid >= 1
    return Band(
        grid, band.value, np.where(end, band.value, band.low), np.where(end, band.value, band.high), band.method
    )


def pr_band(
    is_positive: BoolArray,
    scores_of_seed: FloatArray,
    patients: IntArray,
    patient_draws: PatientDraws,
    *,
    grid: FloatArray = GRID,
    level: float = 0.95,
) -> Band:
    """Precision at the recalls `grid` (G,); as `roc_band`. It depends on how frequent the class is in the test set."""
    return _curve_band(precision_curves, is_positive, scores_of_seed, patients, patient_draws, (grid, level))


def reliability_band(
    labels: IntArray,
    probs_of_seed: FloatArray,
    patients: IntArray,
    patient_draws: PatientDraws,
    *,
    bins: int = BIN_COUNT,
    class_index: int | None = None,
    level: float = 0.95,
) -> ReliabilityBand:
    """Observed frequency in each bin of the predicted probability (see `calibration.reliability`).

    labels, patients: (N,); probs: (K, N, C). A bin that no image of some seed falls into rests on the other seeds; it
    has no interval where it is empty in more than a tenth of the draws.
    """
    one = one_weighting(len(labels))
    plain = [reliability(labels, probs, one, bins, class_index) for probs in probs_of_seed]
    drawn = np.stack(
        [reliability(labels, probs, patient_draws.weights, bins, class_index).observed for probs in probs_of_seed]
    )
    intervals = []
    for place in range(bins):
        seeds = np.flatnonzero(np.isfinite(drawn[:, 0, place]))
        if len(seeds) == 0:
            intervals.append(Interval.undefined("no image in the bin"))
            continue
        count = min(_patients_in_bin(probs_of_seed[seed], patients, place, bins, class_index) for seed in seeds)
        draws = Draws.of_scores(drawn[seeds, :, place])
        intervals.append(crossed_share_interval(draws, patient_draws, boundary_count=count, level=level))
    centers = (np.arange(bins) + 0.5) / bins
    return ReliabilityBand(
        band=_as_band(centers, intervals),
        predicted=mean_of_defined(np.stack([seed.predicted[0] for seed in plain]), axis=0),
        share=np.mean([seed.share[0] for seed in plain], axis=0),
    )


def _curve_band(
    curves: _Curves,
    is_positive: BoolArray,
    scores_of_seed: FloatArray,
    patients: IntArray,
    patient_draws: PatientDraws,
    grid_and_level: tuple[FloatArray, float],
) -> Band:
    grid, level = grid_and_level
    drawn = np.stack([curves(is_positive, scores, patient_draws.weights, grid) for scores in scores_of_seed])
    count = len(np.unique(patients[is_positive]))
    return _as_band(
        grid,
        [
            crossed_share_interval(Draws.of_scores(drawn[..., place]), patient_draws, boundary_count=count, level=level)
            for place in range(len(grid))
        ],
    )


def _as_band(grid: FloatArray, intervals: list[Interval]) -> Band:
    value, low, high = (
        np.array([getattr(interval, name) for interval in intervals]) for name in ("value", "low", "high")
    )
    defined = [
        interval.method for interval in intervals if np.isfinite(interval.low) and "Wilson" not in interval.method
    ]
    method = defined[0] if defined else intervals[0].method
    return Band(grid, value, low, high, f"pointwise {method}")


def _patients_in_bin(probs: FloatArray, patients: IntArray, place: int, bins: int, class_index: int | None) -> int:
    predicted = probs.max(axis=1) if class_index is None else probs[:, class_index]
    inside = np.clip(np.ceil(predicted * bins).astype(np.int64) - 1, 0, bins - 1) == place
    return len(np.unique(patients[inside]))
