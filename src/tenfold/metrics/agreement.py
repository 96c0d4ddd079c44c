"""Agreement of raters on the same images: percent, Cohen's and Fleiss' kappa, with bootstrap intervals over images.

Ratings are whole numbers (N, R): the category that rater r gave image n, from 0 on; -1 where there is none. Weights are
(D, N) as everywhere in `metrics`: a row of ones is the plain figure, a row of bootstrap multiplicities one draw.

Kappa is (observed - expected) / (1 - expected) agreement. Cohen (1960) takes the expected agreement from the two
raters' own shares of each category; Fleiss (1971) from the shares over all raters, here each image's own mean share, so
that images may have different numbers of ratings (with equal numbers it is the published formula). Both are undefined
where one category is all that was ever given.

Measured coverage of the 95 % intervals (300 simulated reviews each; 2 and 3 raters, kappa 0.38 to 0.73, two categories,
one of them on 50 to 90 % of the images): kappa 93 to 98 % at 60 and 130 images, 92 to 98 % at 30; percent agreement 94
to 99 %. Percentiles of the same bootstrap covered 90 to 97 %. At 30 images, a rare category and 3 raters kappa's
interval lies too low: it covered 88 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from tenfold.metrics.arrays import FloatArray, IntArray, divide, one_weighting
from tenfold.metrics.proportions import wilson_interval

NOT_RATED = -1
AgreementMetric = Callable[[IntArray, FloatArray], FloatArray]
"""(ratings (N, R), weights (D, N)) -> (D,); NaN where a weighting leaves it undefined."""
_LEAST_DEFINED = 0.9
_ROUNDING = 1e-12
_FEWEST_DRAWS = 200
_MOST_CELLS = 4_000_000
_BLOCK_CELLS = 2_000_000
"""Draws times images, in all and at once: time and memory of a hundred thousand images."""


@dataclass(frozen=True)
class Agreement:
    """A figure with its 95 % interval (NaN where undefined, and `method` says why); `image_count` images have it."""

    value: float
    low: float
    high: float
    image_count: int
    method: str


def percent_agreement(ratings: IntArray, weights: FloatArray) -> FloatArray:
    """Share of pairs of raters that gave the same category, the mean over images with two ratings or more; (D,)."""
    counts = _counts(ratings)
    total = counts.sum(axis=1)
    rated = total >= 2
    own = np.where(rated, (counts * (counts - 1)).sum(axis=1) / np.maximum(total * (total - 1), 1), 0.0)
    return divide(weights @ own, weights @ rated.astype(np.float64))


def cohen_kappa(ratings: IntArray, weights: FloatArray) -> FloatArray:
    """Cohen's kappa of two raters (N, 2) on the images that both rated; (D,)."""
    both = ratings[(ratings != NOT_RATED).all(axis=1)]
    of_both = weights[:, (ratings != NOT_RATED).all(axis=1)]
    size = int(ratings.max(initial=0)) + 1
    cells = np.zeros((len(both), size * size))
    cells[np.arange(len(both)), both[:, 0] * size + both[:, 1]] = 1.0
    joint = (of_both @ cells).reshape(-1, size, size)
    total = joint.sum(axis=(1, 2))
    observed = divide(np.trace(joint, axis1=1, axis2=2), total)
    expected = divide((joint.sum(axis=2) * joint.sum(axis=1)).sum(axis=1), total**2)
    return _kappa(observed, expected)


def fleiss_kappa(ratings: IntArray, weights: FloatArray) -> FloatArray:
    """Fleiss' kappa of any raters on the images with two ratings or more; (D,)."""
    counts = _counts(ratings)
    rated = counts.sum(axis=1) >= 2
    counts, of_rated = counts[rated], weights[:, rated]
    shares = divide(of_rated @ (counts / counts.sum(axis=1, keepdims=True)), of_rated.sum(axis=1)[:, None])
    return _kappa(percent_agreement(ratings, weights), (shares**2).sum(axis=1))


def share_interval(
    metric: AgreementMetric, ratings: IntArray, generator: np.random.Generator, *, draws: int = 2000
) -> Agreement:
    """A share in [0, 1] with its interval: the bootstrap's standard error over images, on the logit scale."""
    value, sample, count = _drawn(metric, ratings, generator, draws)
    if not count:
        return _undefined(value, count, "no image has two ratings")
    return _share_interval(value, sample, count)


def answered_share(
    right: IntArray, answered: IntArray, generator: np.random.Generator, *, draws: int = 2000
) -> Agreement:
    """Share of answers that are right, with its interval over images: answers on one image go together.

    right, answered: (N,) answers of each image.
    """
    asked = answered > 0
    right, answered = right[asked], answered[asked]
    count = len(answered)
    if not count:
        return _undefined(math.nan, 0, "nobody answered")
    sample = _drawn_shares(right, answered, generator, draws)
    return _share_interval(float(right.sum() / answered.sum()), sample, count)


def balanced_share(
    first: tuple[IntArray, IntArray], second: tuple[IntArray, IntArray], generator: np.random.Generator,
    *, draws: int = 2000,
) -> Agreement:  # fmt: skip
    """The mean of two shares of right answers, (right, answered) each on images of its own, with its interval."""
    parts = [(right[answered > 0], answered[answered > 0]) for right, answered in (first, second)]
    count = sum(len(answered) for _, answered in parts)
    if not all(len(answered) for _, answered in parts):
        return _undefined(math.nan, count, "nobody answered on images of one of the two kinds")
    values = [float(right.sum() / answered.sum()) for right, answered in parts]
    samples = [_drawn_shares(right, answered, generator, draws) for right, answered in parts]
    length = min(len(sample) for sample in samples)
    return _share_interval(sum(values) / 2, (samples[0][:length] + samples[1][:length]) / 2, count)


def kappa_interval(
    metric: AgreementMetric, ratings: IntArray, generator: np.random.Generator, *, draws: int = 2000
) -> Agreement:
    """A kappa with its interval: the bootstrap's standard error over images, on Fisher's scale (atanh), t quantiles."""
    value, sample, count = _drawn(metric, ratings, generator, draws)
    if count < 2:
        return _undefined(value, count, "fewer than two images have two ratings")
    if not math.isfinite(value):
        return _undefined(value, count, "only one category was ever given")
    defined = sample[np.isfinite(sample)]
    if len(defined) < _LEAST_DEFINED * len(sample):
        return _undefined(value, count, "one category is missing from too many draws")
    spread = float(defined.std(ddof=1)) * math.sqrt(count / (count - 1))
    if abs(value) >= 1 or spread < _ROUNDING:
        return _undefined(value, count, "too few disagreements for any draw to differ")
    half = float(stats.t.ppf(0.975, count - 1)) * spread / (1 - value * value)
    low, high = (math.tanh(math.atanh(value) + side * half) for side in (-1, 1))
    return Agreement(value, low, high, count, "bootstrap over images, on Fisher's scale")


def image_draws(count: int, generator: np.random.Generator, draws: int = 2000) -> Iterator[FloatArray]:
    """How often each of `count` images is drawn: blocks of (some, count), in all `draws` or, of many images, fewer."""
    left = min(draws, max(_FEWEST_DRAWS, _MOST_CELLS // count))
    while left > 0:
        block = min(left, max(1, _BLOCK_CELLS // count))
        places = generator.integers(count, size=(block, count)) + np.arange(block)[:, None] * count
        drawn = np.bincount(places.ravel(), minlength=block * count)
        yield drawn.reshape(block, count).astype(np.float64)
        left -= block


def _drawn_shares(right: IntArray, answered: IntArray, generator: np.random.Generator, draws: int) -> FloatArray:
    blocks = image_draws(len(answered), generator, draws)
    return np.concatenate([divide(drawn @ right, drawn @ answered) for drawn in blocks])


def _drawn(
    metric: AgreementMetric, ratings: IntArray, generator: np.random.Generator, draws: int
) -> tuple[float, FloatArray, int]:
    """The figure, its bootstrap sample (draws,) over the images with two ratings or more, and their number."""
    rated = ratings[(ratings != NOT_RATED).sum(axis=1) >= 2]
    count = len(rated)
    if not count:
        return math.nan, np.full(draws, math.nan), 0
    sample = np.concatenate([metric(rated, drawn) for drawn in image_draws(count, generator, draws)])
    return float(metric(rated, one_weighting(count))[0]), sample, count


def _share_interval(value: float, sample: FloatArray, count: int) -> Agreement:
    """On the logit scale, t quantiles; Wilson's at 0 and 1 and where no draw differs."""
    spread = float(sample.std(ddof=1)) * math.sqrt(count / max(count - 1, 1))
    if not 0 < value < 1 or spread < _ROUNDING:
        low, high = wilson_interval(min(max(value, 0.0), 1.0), count)
        return Agreement(value, low, high, count, f"Wilson interval of {count} images, as no draw differed")
    half = float(stats.t.ppf(0.975, count - 1)) * spread / (value * (1 - value))
    center = float(special.logit(value))
    low, high = (float(special.expit(center + side * half)) for side in (-1, 1))
    return Agreement(value, low, high, count, "bootstrap over images, on the logit scale")


def _counts(ratings: IntArray) -> FloatArray:
    """(N, C): how many raters gave each category."""
    size = int(ratings.max(initial=0)) + 1
    return np.stack([(ratings == category).sum(axis=1) for category in range(size)], axis=1).astype(np.float64)


def _kappa(observed: FloatArray, expected: FloatArray) -> FloatArray:
    possible = np.where(expected < 1 - 1e-12, 1 - expected, 0.0)
    return divide(observed - expected, possible)


def _undefined(value: float, count: int, reason: str) -> Agreement:
    return Agreement(value, math.nan, math.nan, count, f"undefined: {reason}")
