"""Ranking metrics: AUROC, average precision and ROC curves, one class against the rest, weighted.

With patients' multiplicities as weights a whole bootstrap is one cumulative sum over sorted scores: no resampling of
arrays, no loop over draws. It runs along the draws of each image, so it is fastest when those lie side by side in
memory (`numpy.asfortranarray`). Ties count one half (Mann-Whitney).
"""

from __future__ import annotations

import numpy as np

from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray, divide, one_weighting

_CHUNK_ELEMENTS = 4_000_000
_ROUNDING = 1e-12


def auroc(is_positive: BoolArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve for each weighting.

    is_positive: (N,); scores: (N,), higher means positive; weights: (D, N), not negative. Returns (D,), NaN where a
    weighting leaves no positive or no negative.
    """
    negatives, positives = np.flatnonzero(~is_positive), np.flatnonzero(is_positive)
    negatives = negatives[np.argsort(scores[negatives], kind="stable")]
    first = np.searchsorted(scores[negatives], scores[positives], side="left")
    last = np.searchsorted(scores[negatives], scores[positives], side="right")
    result = np.empty(len(weights))
    for draws in _chunks(len(weights), len(scores)):
        of_image = weights[draws].T
        below = np.zeros((len(negatives) + 1, of_image.shape[1]))
        np.cumsum(of_image[negatives], axis=0, out=below[1:])
        # Of each positive: the negatives below it, and half of those tied with it.
        beaten = below[first] + below[last]
        found = of_image[positives]
        won = 0.5 * np.einsum("pd,pd->d", found, beaten)
        result[draws] = divide(won, found.sum(axis=0) * below[-1])
    return result


def average_precision(is_positive: BoolArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Area under the precision-recall curve as a step function (scikit-learn's definition); shapes as in `auroc`."""
    order = np.argsort(-scores, kind="stable")
    ranked, positive = -scores[order], is_positive[order]
    last_of_tie = np.searchsorted(ranked, ranked[positive], side="right") - 1
    result = np.empty(len(weights))
    for draws in _chunks(len(weights), len(scores)):
        of_image = weights[draws].T[order]
        called = np.cumsum(of_image, axis=0)[last_of_tie]
        positives = of_image[positive]
        found = np.cumsum(positives, axis=0)[np.searchsorted(np.flatnonzero(positive), last_of_tie, side="right") - 1]
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        result[draws] = divide(np.einsum("pd,pd->d", positives, precision), positives.sum(axis=0))
    return result


def auroc_per_class(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """One-vs-rest AUROC (D, C) of probabilities (N, C)."""
    return np.stack([auroc(labels == c, probs[:, c], weights) for c in range(probs.shape[1])], axis=1)


def average_precision_per_class(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """One-vs-rest average precision (D, C) of probabilities (N, C)."""
    return np.stack([average_precision(labels == c, probs[:, c], weights) for c in range(probs.shape[1])], axis=1)


def roc_on_grid(is_positive: BoolArray, scores: FloatArray, grid: FloatArray) -> FloatArray:
    """True positive rate (G,) at the false positive rates `grid` (G,), linear between the curve's points.

    At a vertical step the upper value is taken. NaN throughout when a side is empty.
    """
    curve: FloatArray = roc_curves(is_positive, scores, one_weighting(len(scores)), grid)[0]
    return curve


def roc_curves(is_positive: BoolArray, scores: FloatArray, weights: FloatArray, grid: FloatArray) -> FloatArray:
    """`roc_on_grid` of each weighting: weights (D, N) to (D, G)."""
    order, last_of_tie = _ranking(scores)
    positive = is_positive[order]
    result = np.full((len(weights), len(grid)), np.nan)
    for draws in _chunks(len(weights), len(scores)):
        ranked = weights[draws][:, order]
        false, true = (_shares(ranked, side, last_of_tie) for side in (~positive, positive))
        for row, (fpr, tpr) in enumerate(zip(false, true, strict=True), start=draws.start):
            if np.isfinite(fpr[-1]) and np.isfinite(tpr[-1]):
                last = np.searchsorted(fpr, grid + _ROUNDING, side="right") - 1
                following = np.minimum(last + 1, len(fpr) - 1)
                width = fpr[following] - fpr[last]
                part = np.where(width > 0, (grid - fpr[last]) / np.where(width > 0, width, 1.0), 0.0)
                result[row] = tpr[last] + np.clip(part, 0, 1) * (tpr[following] - tpr[last])
    return result


def precision_curves(is_positive: BoolArray, scores: FloatArray, weights: FloatArray, grid: FloatArray) -> FloatArray:
    """Precision at the recalls `grid` (G,) of each weighting: weights (D, N) to (D, G).

    It is the precision of the highest threshold that reaches the recall (the step function whose area is the average
    precision); at a recall of 0 that of the highest threshold that finds anything. NaN without a positive.
    """
    order, last_of_tie = _ranking(scores)
    positive, at_least = is_positive[order], np.maximum(grid, 2 * _ROUNDING) - _ROUNDING
    result = np.full((len(weights), len(grid)), np.nan)
    for draws in _chunks(len(weights), len(scores)):
        ranked = weights[draws][:, order]
        called = np.cumsum(ranked, axis=1)[:, last_of_tie]
        found = np.cumsum(np.where(positive, ranked, 0.0), axis=1)[:, last_of_tie]
        precision = divide(found, called)
        for row in np.flatnonzero(found[:, -1] > 0):
            place = np.searchsorted(found[row] / found[row, -1], at_least)
            result[draws.start + row] = precision[row, place]
    return result


def _shares(ranked: FloatArray, side: BoolArray, last_of_tie: IntArray) -> FloatArray:
    """Share of one side's weight at each threshold from the highest down, 0 first, (D, U + 1); NaN without any."""
    count = np.cumsum(np.where(side, ranked, 0.0), axis=1)[:, last_of_tie]
    return np.concatenate([np.zeros((len(ranked), 1)), divide(count, count[:, -1:])], axis=1)


def _ranking(scores: FloatArray) -> tuple[IntArray, IntArray]:
    """Images (N,) from the highest score down, and the places (U,) at which a run of equal scores ends."""
    order = np.argsort(-scores, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)


def _chunks(draw_count: int, image_count: int) -> list[slice]:
    """Slices over draws, so that a temporary array keeps a bounded size."""
    size = max(1, _CHUNK_ELEMENTS // max(1, image_count))
    return [slice(start, min(start + size, draw_count)) for start in range(0, draw_count, size)]
