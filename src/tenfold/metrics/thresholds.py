"""Decision thresholds: fitted on validation images, and sensitivity at a fixed specificity as a figure of its own.

A case is called positive when its score reaches the threshold. A threshold must never be fitted on the images that it
is then judged by: fit it on validation rows, and judge it by the `...AtThreshold` kernels on test rows.
`SensitivityAtSpecificity` needs no threshold: it reads the ROC curve of the judged images themselves, and so says how
well they *could* be told apart there, not what a threshold set beforehand would do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray, divide

_CHUNK_ELEMENTS = 4_000_000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Threshold:
    """A threshold with the rates it has on the images it was fitted on: `n_positive` cases and `n_negative` others.

    `value` lies midway between the lowest score that it calls positive and the next below.
    """

    value: float
    sensitivity: float
    specificity: float
    n_positive: int
    n_negative: int
    method: str


def threshold_at_specificity(is_positive: BoolArray, scores: FloatArray, specificity: float) -> Threshold:
    """The threshold with the most sensitivity among those of this specificity or more.

    is_positive, scores: (N,) of validation images. Raises ValueError where a side is empty or a score is not finite.
    """
    cuts = _Cuts(is_positive, scores)
    allowed = np.flatnonzero(cuts.specificity >= specificity - _ROUNDING)
    return cuts.at(int(allowed[-1]), f"specificity of {specificity:g} or more")


def threshold_at_sensitivity(is_positive: BoolArray, scores: FloatArray, sensitivity: float) -> Threshold:
    """The threshold with the most specificity among those of this sensitivity or more; as above."""
    cuts = _Cuts(is_positive, scores)
    allowed = np.flatnonzero(cuts.sensitivity >= sensitivity - _ROUNDING)
    return cuts.at(int(allowed[0]), f"sensitivity of {sensitivity:g} or more")


def youden_threshold(is_positive: BoolArray, scores: FloatArray) -> Threshold:
    """The threshold with the largest sensitivity + specificity - 1 (Youden 1950); of equals the highest one."""
    cuts = _Cuts(is_positive, scores)
    return cuts.at(int(np.argmax(cuts.sensitivity + cuts.specificity - 1)), "the largest Youden index")


class _Cuts:
    """All thresholds from the highest (nothing positive) down, with their rates (U + 1,)."""

    def __init__(self, is_positive: BoolArray, scores: FloatArray) -> None:
        self.n_positive, self.n_negative = int(is_positive.sum()), int((~is_positive).sum())
        if not (self.n_positive and self.n_negative):
            raise ValueError(
                f"a threshold needs cases and others, there are {self.n_positive} cases and {self.n_negative} others"
            )
        if not np.isfinite(scores).all():
            raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are not finite")
        values = np.unique(scores)[::-1]
        places = len(values) - 1 - np.searchsorted(values[::-1], scores)
        found, called = (np.bincount(places[side], minlength=len(values)) for side in (is_positive, ~is_positive))
        self.sensitivity = np.concatenate([[0.0], np.cumsum(found) / self.n_positive])
        self.specificity = np.concatenate([[1.0], 1 - np.cumsum(called) / self.n_negative])
        following = np.append(values[1:], values[-1])
        self.values = np.concatenate([[np.nextafter(values[0], np.inf)], (values + following) / 2])

    def at(self, place: int, method: str) -> Threshold:
        rates = float(self.sensitivity[place]), float(self.specificity[place])
        return Threshold(float(self.values[place]), *rates, self.n_positive, self.n_negative, method)


@dataclass(frozen=True)
class SensitivityAtSpecificity:
    """Weighted kernel (D, C): of each class against the rest, the most sensitivity that any threshold on these images
    has at this specificity or more (no interpolation). NaN where a weighting leaves a side empty."""

    specificity: float = 0.9

    def __call__(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
        columns = [self._of_class(labels == c, probs[:, c], weights) for c in range(probs.shape[1])]
        return np.stack(columns, axis=1)

    def _of_class(self, is_positive: BoolArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
        negatives, positives = (
            side[np.argsort(-scores[side], kind="stable")]
            for side in (np.flatnonzero(~is_positive), np.flatnonzero(is_positive))
        )
        # Of each number of negatives that may be called: the positives above the first one that may not.
        above = np.append(np.searchsorted(-scores[positives], -scores[negatives], side="left"), len(positives))
        result = np.empty(len(weights))
        step = max(1, _CHUNK_ELEMENTS // max(1, len(scores)))
        for start in range(0, len(weights), step):
            of_image = weights[start : start + step].T
            called = np.cumsum(of_image[negatives], axis=0)
            found = np.cumsum(np.concatenate([np.zeros((1, of_image.shape[1])), of_image[positives]]), axis=0)
            total = called[-1] if len(called) else np.zeros(of_image.shape[1])
            allowed = (called <= (1 - self.specificity) * total + _ROUNDING).sum(axis=0)
            best = found[above[allowed], np.arange(found.shape[1])]
            result[start : start + step] = np.where(total > 0, divide(best, found[-1]), np.nan)
        return result


@dataclass(frozen=True)
class SensitivityAtThreshold:
    """Weighted kernel (D, C): of the images of a class, the share whose probability of it reaches its threshold."""

    thresholds: tuple[float, ...]

    def __call__(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
        counts = _ThresholdCounts(self.thresholds, labels, probs, weights)
        return divide(counts.true_positive, counts.positive)


@dataclass(frozen=True)
class SpecificityAtThreshold:
    """Weighted kernel (D, C): of the images of other classes, the share whose probability stays below."""

    thresholds: tuple[float, ...]

    def __call__(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
        counts = _ThresholdCounts(self.thresholds, labels, probs, weights)
        return divide(counts.negative - counts.false_positive, counts.negative)


@dataclass(frozen=True)
class PpvAtThreshold:
    """Weighted kernel (D, C): of the images whose probability reaches the threshold, the share that is the class."""

    thresholds: tuple[float, ...]

    def __call__(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
        counts = _ThresholdCounts(self.thresholds, labels, probs, weights)
        return divide(counts.true_positive, counts.true_positive + counts.false_positive)


@dataclass(frozen=True)
class NpvAtThreshold:
    """Weighted kernel (D, C): of the images whose probability stays below, the share that is another class."""

    thresholds: tuple[float, ...]

    def __call__(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
        counts = _ThresholdCounts(self.thresholds, labels, probs, weights)
        cleared = counts.negative - counts.false_positive
        return divide(cleared, cleared + counts.positive - counts.true_positive)


class _ThresholdCounts:
    """Weighted counts (D, C) of one class against the rest, each class called at its own threshold."""

    def __init__(self, thresholds: tuple[float, ...], labels: IntArray, probs: FloatArray, weights: FloatArray) -> None:
        called = probs >= np.array(thresholds)
        is_class = labels[:, None] == np.arange(probs.shape[1])
        self.positive: FloatArray = weights @ is_class.astype(np.float64)
        self.negative: FloatArray = weights @ (~is_class).astype(np.float64)
        self.true_positive: FloatArray = weights @ (called & is_class).astype(np.float64)
        self.false_positive: FloatArray = weights @ (called & ~is_class).astype(np.float64)
