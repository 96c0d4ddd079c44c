"""Calibration: Brier score, log loss, calibration error, reliability by bin, and temperature; as `metrics.arrays`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from tenfold.metrics.arrays import FloatArray, IntArray, divide

BIN_COUNT = 10
_LEAST_PROBABILITY = 1e-12
_LOG_TEMPERATURES = (-6.0, 6.0)


def brier_score(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean squared distance between the probabilities and the truth, summed over classes: 0 best, 2 worst, (D,).

    Brier 1950; with two classes it is twice the figure that some libraries print.
    """
    truth = np.eye(probs.shape[1])[labels]
    return divide(weights @ ((probs - truth) ** 2).sum(axis=1), weights.sum(axis=1))


def log_loss(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean negative log probability of the true class, (D,), in nats; probabilities are cut at 1e-12."""
    of_truth = np.clip(probs[np.arange(len(labels)), labels], _LEAST_PROBABILITY, 1.0)
    return divide(weights @ -np.log(of_truth), weights.sum(axis=1))


def expected_calibration_error(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean gap between confidence and accuracy over ten equal-width bins of the top probability, (D,).

    Guo 2017, eq. 3. It is biased upward in small samples, and more so in bootstrap draws, so that its
    interval covers far less than it says (docs/statistics.md).
    """
    return _mean_gap(reliability(labels, probs, weights))


def brier_per_class(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean squared distance of each class's probability from whether it is that class: 0 best, 1 worst, (D, C)."""
    truth = np.eye(probs.shape[1])[labels]
    return divide(weights @ (probs - truth) ** 2, weights.sum(axis=1)[:, None])


def log_loss_per_class(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Log loss of each class against the rest, (D, C), in nats; probabilities are cut at 1e-12."""
    truth = np.eye(probs.shape[1], dtype=np.bool_)[labels]
    of_truth = np.clip(np.where(truth, probs, 1 - probs), _LEAST_PROBABILITY, 1.0)
    return divide(weights @ -np.log(of_truth), weights.sum(axis=1)[:, None])


def calibration_error_per_class(labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean gap between a class's probability and its frequency over ten equal-width bins, (D, C)."""
    gaps = [_mean_gap(reliability(labels, probs, weights, class_index=c)) for c in range(probs.shape[1])]
    return np.stack(gaps, axis=1)


@dataclass(frozen=True)
class Reliability:
    """By bin, (D, B) each: mean `predicted` probability, `observed` frequency (both NaN in an empty bin), and the
    `share` of images in the bin."""

    predicted: FloatArray
    observed: FloatArray
    share: FloatArray


def reliability(
    labels: IntArray, probs: FloatArray, weights: FloatArray, bins: int = BIN_COUNT, class_index: int | None = None
) -> Reliability:
    """Predicted against observed over `bins` equal-width bins of the probability, (0, 0.1], (0.1, 0.2], ...

    Of the top probability and whether its class is right, or, with `class_index`, of that class's probability and
    whether the image is of that class. A probability of 0 falls into the first bin.
    """
    if class_index is None:
        predicted, event = probs.max(axis=1), np.argmax(probs, axis=1) == labels
    else:
        predicted, event = probs[:, class_index], labels == class_index
    place = np.clip(np.ceil(predicted * bins).astype(np.int64) - 1, 0, bins - 1)
    in_bin = np.eye(bins)[place]
    count = weights @ in_bin
    return Reliability(
        predicted=divide(weights @ (in_bin * predicted[:, None]), count),
        observed=divide(weights @ (in_bin * event[:, None]), count),
        share=divide(count, weights.sum(axis=1)[:, None]),
    )


def fit_temperature(logits: FloatArray, labels: IntArray) -> float:
    """The temperature T that makes softmax(logits / T) the likeliest of validation labels (Guo 2017).

    logits: (N, C), or log probabilities, which do as well (minus infinity counts as a probability of 1e-12); labels:
    (N,). T above 1 tones overconfidence down; it never exceeds exp(6), which is met when the logits tell nothing.
    Where every image is decided rightly no T is likeliest (the smaller the better), and 1 is returned: the validation
    images cannot say how sure to be. Raises ValueError without an image, or with a logit of NaN or plus infinity.
    """
    if len(labels) == 0:
        raise ValueError("a temperature needs at least one validation image")
    if np.isnan(logits).any() or np.isposinf(logits).any():
        raise ValueError("the logits hold NaN or infinity")
    rows, highest = np.arange(len(labels)), logits.max(axis=1, keepdims=True)
    finite = np.where(np.isneginf(logits), highest + np.log(_LEAST_PROBABILITY), logits)
    if (finite[rows, labels] >= highest[:, 0]).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = finite * np.exp(-log_temperature)
        return float((special.logsumexp(scaled, axis=1) - scaled[rows, labels]).mean())

    # The loss is convex in 1 / T, so it has one minimum in log T as well.
    found = optimize.minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def tempered(logits: FloatArray, temperature: float) -> FloatArray:
    """Probabilities softmax(logits / temperature) (N, C)."""
    return np.asarray(special.softmax(logits / temperature, axis=1), dtype=np.float64)


def _mean_gap(bins: Reliability) -> FloatArray:
    """Gap between predicted and observed, weighted by the bins' shares, (D,); NaN without any image."""
    gaps = np.where(bins.share > 0, np.abs(bins.observed - bins.predicted) * bins.share, 0.0).sum(axis=1)
    return np.where(np.isnan(bins.share).any(axis=1), np.nan, gaps)
