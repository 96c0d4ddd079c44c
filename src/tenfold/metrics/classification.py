"""Classification metrics of decided labels: accuracy, sensitivity and their kin, weighted, per class.

The decision is always the class of the largest probability (the first of equals). Shapes as in `metrics.arrays`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tenfold.metrics.arrays import FloatArray, IntArray, divide


def decided(probs: FloatArray) -> IntArray:
    """The class (N,) of the largest probability of (N, C)."""
    return np.asarray(np.argmax(probs, axis=1), dtype=np.int64)


def confusion_matrix(labels: IntArray, predicted: IntArray, class_count: int) -> IntArray:
    """Counts (C, C), true class by row, predicted by column."""
    cells = np.bincount(labels * class_count + predicted, minlength=class_count * class_count)
    return cells.reshape(class_count, class_count).astype(np.int64)


def confusion_matrices(labels: IntArray, predicted: IntArray, class_count: int, weights: FloatArray) -> FloatArray:
    """Weighted counts (D, C, C), true class by row, predicted by column."""
    cell_of_image = np.zeros((len(labels), class_count * class_count))
    cell_of_image[np.arange(len(labels)), labels * class_count + predicted] = 1.0
    return (weights @ cell_of_image).reshape(len(weights), class_count, class_count)


def accuracy(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Share of images decided rightly, (D,)."""
    return divide(weights @ (decided(probs) == labels).astype(np.float64), weights.sum(axis=1))


@dataclass(frozen=True)
class TopK:
    """Weighted kernel (D,): the share of images whose class is among the k of largest probability (first of equals)."""

    k: int

    def __call__(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
        best = np.argsort(-probs, axis=1, kind="stable")[:, : self.k]
        return divide(weights @ (best == labels[:, None]).any(axis=1).astype(np.float64), weights.sum(axis=1))


def sensitivity_per_class(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Of the images of a class, the share called it (recall), (D, C)."""
    counts = _Counts(labels, probs, weights)
    return divide(counts.true_positive, counts.true_positive + counts.false_negative)


def specificity_per_class(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Of the images of other classes, the share not called it, (D, C)."""
    counts = _Counts(labels, probs, weights)
    return divide(counts.true_negative, counts.true_negative + counts.false_positive)


def ppv_per_class(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Of the images called a class, the share that is it (precision), (D, C)."""
    counts = _Counts(labels, probs, weights)
    return divide(counts.true_positive, counts.true_positive + counts.false_positive)


def npv_per_class(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Of the images not called a class, the share that is not it, (D, C)."""
    counts = _Counts(labels, probs, weights)
    return divide(counts.true_negative, counts.true_negative + counts.false_negative)


def f1_per_class(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Harmonic mean of sensitivity and PPV, (D, C); NaN only where a class is neither there nor called."""
    counts = _Counts(labels, probs, weights)
    return divide(2 * counts.true_positive, 2 * counts.true_positive + counts.false_positive + counts.false_negative)


class _Counts:
    """True and false positives and negatives, (D, C) each, one class against the rest."""

    def __init__(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> None:
        matrices = confusion_matrices(labels, decided(probs), probs.shape[1], weights)
        self.true_positive: FloatArray = np.diagonal(matrices, axis1=1, axis2=2)
        self.false_negative: FloatArray = matrices.sum(axis=2) - self.true_positive
        self.false_positive: FloatArray = matrices.sum(axis=1) - self.true_positive
        total = matrices.sum(axis=(1, 2))[:, None]
        self.true_negative: FloatArray = total - self.true_positive - self.false_negative - self.false_positive
