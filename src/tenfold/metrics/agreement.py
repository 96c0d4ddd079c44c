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
interval lies too low: it covered 88 %. The mean of two shares (30 to 99 % each; of 60 and 3, 60 and 10, 20 and 20, 5
and 5, or 600 and 90 images): 93 to 100 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray, divide, one_weighting
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
    return within_kappa(ratings, weights)


def within_percent(ratings: IntArray, weights: FloatArray) -> FloatArray:
    """Share of the pairs of looks (N, 2 R; two columns a rater) in which a rater gave the same category again; (D,)."""
    first, second = ratings[:, ::2], ratings[:, 1::2]
    both = (first != NOT_RATED) & (second != NOT_RATED)
    same = (both & (first == second)).sum(axis=1)
    return divide(weights @ same.astype(np.float64), weights @ both.sum(axis=1).astype(np.float64))


def within_kappa(ratings: IntArray, weights: FloatArray) -> FloatArray:
    """Kappa of pairs of looks (N, 2 R), two columns a rater: chance agreement is each rater's own, then averaged; (D,).

    So raters who are steady by chance alone, one strict and one lax, get 0 together as each of them does. It is the
    mean of their Cohen's kappas, weighted by pairs times what chance leaves to agree on.
    """
    size = int(ratings.max(initial=0)) + 1
    agreed, by_chance, pairs = (np.zeros(len(weights)) for _ in range(3))
    for place in range(0, ratings.shape[1], 2):
        own = ratings[:, place : place + 2]
        both = (own != NOT_RATED).all(axis=1)
        cells = np.zeros((int(both.sum()), size * size))
        cells[np.arange(len(cells)), own[both, 0] * size + own[both, 1]] = 1.0
        joint = (weights[:, both] @ cells).reshape(-1, size, size)
        total = joint.sum(axis=(1, 2))
        chance = (joint.sum(axis=2) * joint.sum(axis=1)).sum(axis=1)
        agreed += np.trace(joint, axis1=1, axis2=2)
        by_chance += np.where(total > 0, chance / np.maximum(total, 1), 0.0)
        pairs += total
    return _kappa(divide(agreed, pairs), divide(by_chance, pairs))


def fleiss_kappa(ratings: IntArray, weights: FloatArray) -> FloatArray:
    """Fleiss' kappa of any raters on the images with two ratings or more; (D,)."""
    counts = _counts(ratings)
    rated = counts.sum(axis=1) >= 2
    counts, of_rated = counts[rated], weights[:, rated]
    shares = divide(of_rated @ (counts / counts.sum(axis=1, keepdims=True)), of_rated.sum(axis=1)[:, None])
    return _kappa(percent_agreement(ratings, weights), (shares**2).sum(axis=1))


def share_interval(
    metric: AgreementMetric, ratings: IntArray, generator: np.random.Generator, *,
    groups: IntArray | None = None, draws: int = 2000,
) -> Agreement:  # fmt: skip
    """A share in [0, 1] with its interval: the bootstrap's standard error over images, on the logit scale.

    groups: (N,), which images go together in every draw as they were made from one source; None: each alone.
    """
    found = _drawn(metric, ratings, generator, groups, draws)
    if not found.image_count:
        return _undefined(found, "no image has two ratings")
    return _share_interval(found)


def answered_share(
    right: IntArray, answered: IntArray, generator: np.random.Generator, *,
    groups: IntArray | None = None, draws: int = 2000,
) -> Agreement:  # fmt: skip
    """Share of answers that are right, with its interval over images: answers on one image go together.

    right, answered: (N,) answers of each image; groups: as in `share_interval`.
    """
    asked = answered > 0
    units = _units(groups, asked)
    count = int(units.max(initial=-1)) + 1
    of_unit = [np.bincount(units, values[asked], minlength=count) for values in (right, answered)]
    if not count:
        return _undefined(_Drawn(math.nan, np.zeros(0), 0, 0), "nobody answered")
    blocks = image_draws(count, generator, draws)
    sample = np.concatenate([divide(drawn @ of_unit[0], drawn @ of_unit[1]) for drawn in blocks])
    return _share_interval(_Drawn(float(right[asked].sum() / answered[asked].sum()), sample, int(asked.sum()), count))


def balanced_share(first: Agreement, second: Agreement) -> Agreement:
    """The mean of two shares on images of their own, its interval put together from theirs.

    Square-and-add (Newcombe 1998; MOVER of Zou and Donner 2008): each half brings the distance to its own limit, so
    that a half of few images keeps the interval wide even where its answers are all alike and no draw differs.
    """
    count = first.image_count + second.image_count
    value = (first.value + second.value) / 2
    if not all(math.isfinite(one.low) and math.isfinite(one.high) for one in (first, second)):
        reason = "nobody answered on images of one of the two kinds"
        return _undefined(_Drawn(value, np.zeros(0), count, count), reason)
    low = value - math.hypot(first.value - first.low, second.value - second.low) / 2
    high = value + math.hypot(first.high - first.value, second.high - second.value) / 2
    method = "the two shares' intervals, put together by square-and-add"
    return Agreement(value, max(0.0, low), min(1.0, high), count, method)


def kappa_interval(
    metric: AgreementMetric, ratings: IntArray, generator: np.random.Generator, *,
    groups: IntArray | None = None, draws: int = 2000,
) -> Agreement:  # fmt: skip
    """A kappa with its interval: the bootstrap's standard error over images, on Fisher's scale (atanh), t quantiles.

    groups: as in `share_interval`.
    """
    found = _drawn(metric, ratings, generator, groups, draws)
    value, units = found.value, found.unit_count
    if units < 2:
        return _undefined(found, f"fewer than two {found.units_name} have two ratings")
    if not math.isfinite(value):
        return _undefined(found, "only one category was ever given")
    defined = found.sample[np.isfinite(found.sample)]
    if len(defined) < _LEAST_DEFINED * len(found.sample):
        return _undefined(found, "one category is missing from too many draws")
    spread = float(defined.std(ddof=1)) * math.sqrt(units / (units - 1))
    if abs(value) >= 1 or spread < _ROUNDING:
        return _undefined(found, "too few disagreements for any draw to differ")
    half = float(stats.t.ppf(0.975, units - 1)) * spread / (1 - value * value)
    low, high = (math.tanh(math.atanh(value) + side * half) for side in (-1, 1))
    return Agreement(value, low, high, found.image_count, f"bootstrap over {found.units_name}, on Fisher's scale")


def image_draws(
    count: int, generator: np.random.Generator, draws: int = 2000, *, width: int = 0
) -> Iterator[FloatArray]:
    """How often each of `count` images is drawn: blocks of (some, count), in all `draws` or, of many images, fewer.

    width: how many values a draw becomes where that is more than `count` (images of drawn sources).
    """
    width = max(count, width)
    left = min(draws, max(_FEWEST_DRAWS, _MOST_CELLS // width))
    while left > 0:
        block = min(left, max(1, _BLOCK_CELLS // width))
        places = generator.integers(count, size=(block, count)) + np.arange(block)[:, None] * count
        drawn = np.bincount(places.ravel(), minlength=block * count)
        yield drawn.reshape(block, count).astype(np.float64)
        left -= block


@dataclass(frozen=True)
class _Drawn:
    """A figure, its bootstrap sample (draws,), the images it rests on, and the units that were drawn."""

    value: float
    sample: FloatArray
    image_count: int
    unit_count: int

    @property
    def units_name(self) -> str:
        return "images" if self.unit_count == self.image_count else "source images"


def _units(groups: IntArray | None, chosen: BoolArray) -> IntArray:
    """The unit, from 0 on, of each chosen image: its group, or itself."""
    if groups is None:
        return np.arange(int(chosen.sum()))
    return np.unique(groups[chosen], return_inverse=True)[1].astype(np.int64)


def _drawn(
    metric: AgreementMetric, ratings: IntArray, generator: np.random.Generator, groups: IntArray | None, draws: int
) -> _Drawn:
    """Over the images with two ratings or more."""
    chosen = (ratings != NOT_RATED).sum(axis=1) >= 2
    rated, units = ratings[chosen], _units(groups, chosen)
    if not len(rated):
        return _Drawn(math.nan, np.full(draws, math.nan), 0, 0)
    count = int(units.max()) + 1
    blocks = image_draws(count, generator, draws, width=len(rated))
    sample = np.concatenate([metric(rated, drawn[:, units]) for drawn in blocks])
    return _Drawn(float(metric(rated, one_weighting(len(rated)))[0]), sample, len(rated), count)


def _share_interval(found: _Drawn) -> Agreement:
    """On the logit scale, t quantiles; Wilson's at 0 and 1 and where no draw differs."""
    value, units = found.value, found.unit_count
    spread = float(found.sample.std(ddof=1)) * math.sqrt(units / max(units - 1, 1))
    if not 0 < value < 1 or spread < _ROUNDING:
        low, high = wilson_interval(min(max(value, 0.0), 1.0), units)
        note = f"Wilson interval of {units} {found.units_name}, as no draw differed"
        return Agreement(value, low, high, found.image_count, note)
    half = float(stats.t.ppf(0.975, units - 1)) * spread / (value * (1 - value))
    center = float(special.logit(value))
    low, high = (float(special.expit(center + side * half)) for side in (-1, 1))
    return Agreement(value, low, high, found.image_count, f"bootstrap over {found.units_name}, on the logit scale")


def _counts(ratings: IntArray) -> FloatArray:
    """(N, C): how many raters gave each category."""
    size = int(ratings.max(initial=0)) + 1
    return np.stack([(ratings == category).sum(axis=1) for category in range(size)], axis=1).astype(np.float64)


def _kappa(observed: FloatArray, expected: FloatArray) -> FloatArray:
    possible = np.where(expected < 1 - 1e-12, 1 - expected, 0.0)
    return divide(observed - expected, possible)


def _undefined(found: _Drawn, reason: str) -> Agreement:
    return Agreement(found.value, math.nan, math.nan, found.image_count, f"undefined: {reason}")
