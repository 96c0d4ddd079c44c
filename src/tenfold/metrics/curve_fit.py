"""Learning curves: a monotone fit, and how many more real images a figure is worth on it, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import stats

from tenfold.metrics.arrays import FloatArray


@dataclass(frozen=True)
class BoundedFigure:
    """A figure read off a curve, with its interval.

    `reason` says why it is not estimable ("" when it is). A figure beyond the curve is given as the curve's end, with
    a bound of ">= " or "<= " ("" inside the curve).
    """

    value: float | None
    low: float | None
    high: float | None
    bounds: tuple[str, str, str]
    reason: str

    @classmethod
    def not_estimable(cls, reason: str) -> Self:
        """No figure, and why."""
        return cls(None, None, None, ("", "", ""), reason)

    @property
    def text(self) -> str:
        """What a report prints: `12 (2 to >= 56)`, `>= 56 (20 to >= 56)` or `not estimable: ...`."""
        if self.value is None or self.low is None or self.high is None:
            return f"not estimable: {self.reason}"
        numbers = zip(self.bounds, (self.value, self.low, self.high), strict=True)
        value, low, high = (f"{bound}{self.number_text(number)}" for bound, number in numbers)
        return f"{value} ({low} to {high})"

    def number_text(self, number: float) -> str:
        """A number as the text gives it."""
        return str(round(number))


class EquivalentImages(BoundedFigure):
    """More real images a class that would have bought the same figure; negative when it is worse than the control."""


def monotone_fit(values: FloatArray) -> FloatArray:
    """The non-decreasing curve nearest to values (..., S) in least squares, along the last axis.

    max over i <= s of min over j >= s of mean(values[i..j]) (Robertson 1988), all curves at once.
    """
    size = values.shape[-1]
    sums = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    start, stop = np.arange(size)[:, None], np.arange(size)[None, :]
    lengths = np.where(stop >= start, stop - start + 1, 1)
    means = (sums[..., None, 1:] - sums[..., :-1, None]) / lengths
    fitted = np.empty(values.shape)
    for place in range(size):
        fitted[..., place] = means[..., : place + 1, place:].min(axis=-1).max(axis=-1)
    return fitted


def size_at(sizes: FloatArray, curve: FloatArray, target: float) -> tuple[float, str]:
    """The training size at which a non-decreasing curve (S,) reaches `target`, linear in log size; the smallest such
    size where the curve is flat. Beyond the curve its nearest end, with the bound ">= " or "<= " (else "")."""
    if target > curve[-1]:
        return float(sizes[-1]), ">= "
    if target < curve[0]:
        return float(sizes[0]), "<= "
    place = int(np.argmax(curve >= target))
    if place == 0:
        return float(sizes[0]), ""
    part = (target - curve[place - 1]) / (curve[place] - curve[place - 1])
    logs = np.log(sizes)
    return float(np.exp(logs[place - 1] + part * (logs[place] - logs[place - 1]))), ""


def equivalent_images(
    sizes: Sequence[int],
    points: FloatArray,
    covariance: FloatArray,
    degrees_of_freedom: float,
    *,
    training_size: int,
    generator: np.random.Generator,
    draws: int = 2000,
) -> EquivalentImages:
    """How many more real images a class buy an arm's figure on the control's curve, with a 95 % interval.

    points: (S + 1,), the control's figures at `sizes` (ascending) and then the arm's at `training_size`; covariance:
    (S + 1, S + 1) of these means. The interval's ends are percentiles of the same reading on draws from a
    multivariate t of this covariance. Not estimable with fewer than two sizes, or when the control's curve does not
    rise for certain from its first to its last size (95 %).
    """
    if len(sizes) < 2:
        return EquivalentImages.not_estimable("the control has fewer than two training sizes")
    if not (np.isfinite(points).all() and np.isfinite(covariance).all()):
        return EquivalentImages.not_estimable("a figure of the curve is undefined")
    contrast = np.zeros(len(points))
    contrast[0], contrast[len(sizes) - 1] = -1.0, 1.0
    rise = float(contrast @ points)
    se = math.sqrt(max(0.0, float(contrast @ covariance @ contrast)))
    if rise - float(stats.t.ppf(0.975, degrees_of_freedom)) * se <= 0:
        return EquivalentImages.not_estimable("the control's curve is flat within its error")
    numbers = np.asarray(sizes, dtype=np.float64)
    value, bound = size_at(numbers, monotone_fit(points[:-1]), float(points[-1]))
    drawn = points + multivariate_t(covariance, degrees_of_freedom, draws, generator)
    curves = monotone_fit(drawn[:, :-1])
    low, high = percentile_reading(
        [size_at(numbers, curve, target) for curve, target in zip(curves, drawn[:, -1], strict=True)]
    )
    return EquivalentImages(
        value=value - training_size,
        low=low[0] - training_size,
        high=high[0] - training_size,
        bounds=(bound, low[1], high[1]),
        reason="",
    )


def percentile_reading(found: list[tuple[float, str]]) -> tuple[tuple[float, str], tuple[float, str]]:
    """The 2.5th and 97.5th percentile of readings with their bounds; one beyond a curve sorts behind (or before) one
    that meets its end."""
    rank = {"<= ": -1, "": 0, ">= ": 1}
    ordered = sorted(found, key=lambda at: (at[0], rank[at[1]]))
    return ordered[int(0.025 * len(found))], ordered[math.ceil(0.975 * len(found)) - 1]


def multivariate_t(
    covariance: FloatArray, degrees_of_freedom: float, draws: int, generator: np.random.Generator
) -> FloatArray:
    """Draws (draws, M) centered at 0; negative eigenvalues of an estimated covariance count as 0."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = generator.standard_normal((draws, len(covariance))) @ root.T
    scale = np.sqrt(degrees_of_freedom / generator.chisquare(degrees_of_freedom, draws))
    return np.asarray(normal * scale[:, None], dtype=np.float64)
