"""Predictive values at a stated prevalence: what PPV and NPV would be where the condition is as rare as it really is.

A test set drawn by class says nothing of prevalence, so its own PPV is no forecast. Bayes: PPV = Se p / (Se p +
(1 - Sp) (1 - p)), NPV = Sp (1 - p) / (Sp (1 - p) + (1 - Se) p), one class against the rest. It holds where the cases
and the others look as they do in this test set: prevalence alone is changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from tenfold.metrics.arrays import FloatArray, IntArray, divide
from tenfold.metrics.bootstrap import Interval
from tenfold.metrics.classification import sensitivity_per_class, specificity_per_class


def ppv_at_prevalence(sensitivity: FloatArray, specificity: FloatArray, prevalence: FloatArray | float) -> FloatArray:
    """PPV of arrays that broadcast; NaN where nothing would be called positive."""
    found = np.asarray(sensitivity * prevalence, dtype=np.float64)
    return divide(found, np.asarray(found + (1 - specificity) * (1 - np.asarray(prevalence))))


def npv_at_prevalence(sensitivity: FloatArray, specificity: FloatArray, prevalence: FloatArray | float) -> FloatArray:
    """NPV of arrays that broadcast; NaN where everything would be called positive."""
    cleared = np.asarray(specificity * (1 - np.asarray(prevalence)), dtype=np.float64)
    return divide(cleared, np.asarray(cleared + (1 - sensitivity) * prevalence))


@dataclass(frozen=True)
class PpvAtPrevalence:
    """Weighted kernel (D, C) of the PPV of each class against the rest at its stated prevalence (C of them)."""

    prevalences: tuple[float, ...]

    def __post_init__(self) -> None:
        _check(self.prevalences)

    def __call__(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
        rates = sensitivity_per_class(labels, probs, weights), specificity_per_class(labels, probs, weights)
        return ppv_at_prevalence(*rates, np.array(self.prevalences))


@dataclass(frozen=True)
class NpvAtPrevalence:
    """Weighted kernel (D, C) of the NPV of each class against the rest at its stated prevalence (C of them)."""

    prevalences: tuple[float, ...]

    def __post_init__(self) -> None:
        _check(self.prevalences)

    def __call__(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
        rates = sensitivity_per_class(labels, probs, weights), specificity_per_class(labels, probs, weights)
        return npv_at_prevalence(*rates, np.array(self.prevalences))


def ppv_interval(
    true_positives: int, positives: int, true_negatives: int, negatives: int, prevalence: float, *, level: float = 0.95
) -> Interval:
    """PPV at a prevalence with its logit interval (Mercaldo 2007), from counts of independent patients.

    Where one of the four cells is empty, half a z squared is added to each first (their adjusted interval); the value
    stays the plain one, NaN where nothing is called positive. There is no p-value.
    """
    _check((prevalence,))
    z = float(stats.norm.ppf(0.5 + level / 2))
    cells = (true_positives, positives - true_positives, true_negatives, negatives - true_negatives)
    plain = _rates(true_positives, positives, true_negatives, negatives, 0.0)
    rates = plain if min(cells) > 0 else _rates(true_positives, positives, true_negatives, negatives, z * z / 2)
    if plain is None or rates is None:
        return Interval.undefined("no case, or no other")
    value = float(ppv_at_prevalence(np.array(plain[0]), np.array(plain[1]), prevalence))
    sensitivity, specificity, cases, others = rates
    center = special.logit(prevalence) + math.log(sensitivity / (1 - specificity))
    variance = (1 - sensitivity) / (sensitivity * cases) + specificity / ((1 - specificity) * others)
    return _logit_interval(value, center, math.sqrt(variance), z)


def npv_interval(
    true_positives: int, positives: int, true_negatives: int, negatives: int, prevalence: float, *, level: float = 0.95
) -> Interval:
    """NPV at a prevalence with its logit interval (Mercaldo 2007); as `ppv_interval`, with the sides exchanged."""
    return ppv_interval(true_negatives, negatives, true_positives, positives, 1 - prevalence, level=level)


def _rates(found: int, positives: int, cleared: int, negatives: int, pad: float) -> tuple[float, ...] | None:
    """Sensitivity, specificity and the counts they rest on, with `pad` added to both cells of each side."""
    if positives <= 0 or negatives <= 0:
        return None
    cases, others = positives + 2 * pad, negatives + 2 * pad
    return (found + pad) / cases, (cleared + pad) / others, cases, others


def _logit_interval(value: float, center: float, se: float, z: float) -> Interval:
    low, high = (float(special.expit(center + side * z * se)) for side in (-1, 1))
    of_value = se * value * (1 - value) if math.isfinite(value) else math.nan
    return Interval(value, low, high, of_value, math.inf, math.nan, "logit interval of Mercaldo at a stated prevalence")


def _check(prevalences: tuple[float, ...]) -> None:
    if not all(0 < prevalence < 1 for prevalence in prevalences):
        raise ValueError(f"a prevalence lies between 0 and 1, not {prevalences}")
