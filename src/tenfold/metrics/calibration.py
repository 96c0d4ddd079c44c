"""Calibration: Brier score, log loss and expected calibration error, weighted; shapes as in `metrics.arrays`."""

from __future__ import annotations

import numpy as np

from tenfold.metrics.arrays import FloatArray, IntArray, divide

BIN_COUNT = 10


def brier_score(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean squared distance between the probabilities and the truth, summed over classes: 0 best, 2 worst, (D,).

    Brier 1950; with two classes it is twice the figure that some libraries print.
    """
    truth = np.eye(probs.shape[1])[labels]
    return divide(weights @ ((probs - truth) ** 2).sum(axis=1), weights.sum(axis=1))


def log_loss(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean negative log probability of the true class, (D,), in nats; probabilities are cut at 1e-12."""
    of_truth = np.clip(probs[np.arange(len(labels)), labels], 1e-12, 1.0)
    return divide(weights @ -np.log(of_truth), weights.sum(axis=1))


def expected_calibration_error(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean gap between confidence and accuracy over ten equal-width bins of the top probability, (D,).

    Guo 2017, eq. 3. It is biased upward in small samples, and more so in bootstrap draws.
    """
    confidence = probs.max(axis=1)
    is_right = (np.argmax(probs, axis=1) == labels).astype(np.float64)
    bins = np.clip(np.ceil(confidence * BIN_COUNT).astype(np.int64) - 1, 0, BIN_COUNT - 1)
    in_bin = np.eye(BIN_COUNT)[bins]
    gap = np.abs(weights @ (in_bin * (is_right - confidence)[:, None])).sum(axis=1)
    return divide(gap, weights.sum(axis=1))
