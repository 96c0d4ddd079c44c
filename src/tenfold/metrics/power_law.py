"""A power law through a learning curve, error = floor + scale * n^-exponent, with intervals or "not identified"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tenfold.metrics.arrays import FloatArray
from tenfold.metrics.bands import Band
from tenfold.metrics.curve_fit import multivariate_t

EXPONENTS = (0.03, 3.0)
"""The range that is searched; a fit whose interval reaches an end of it is not identified."""

_STEPS = 301
_CHUNK_ROWS = 500


@dataclass(frozen=True)
class Parameter:
    """A fitted figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PowerLaw:
    """error = floor + scale * n^-exponent of n real images a class, floor and scale at least 0.

    `reason` says why the parameters are not identified ("" when they are; None of them is then given).
    `is_floor_fixed`: the floor was taken as 0, as the sizes do not tell it. `p_misfit` is the probability of residuals
    as large if the law holds (parametric bootstrap), None when no degree of freedom is left. `band` holds the fitted
    curve at the sizes asked for; beyond the sizes that were run it is an extrapolation of the law.
    """

    floor: Parameter | None
    scale: Parameter | None
    exponent: Parameter | None
    is_floor_fixed: bool
    p_misfit: float | None
    band: Band | None
    reason: str

    @classmethod
    def not_identified(cls, reason: str) -> PowerLaw:
        """No law, and why."""
        return cls(None, None, None, False, None, None, reason)

    @property
    def text(self) -> str:
        """What a report prints, such as `error = 0.05 (0.01 to 0.08) + 0.61 (...) n^-0.42 (...)`."""
        if self.floor is None or self.scale is None or self.exponent is None:
            return f"not identified: {self.reason}"
        scale, exponent = (_parameter_text(parameter) for parameter in (self.scale, self.exponent))
        floor = "0 (taken as such)" if self.is_floor_fixed else _parameter_text(self.floor)
        return f"error = {floor} + {scale} n^-{exponent}"


def fit_power_law(
    sizes: Sequence[int],
    errors: FloatArray,
    covariance: FloatArray,
    degrees_of_freedom: float,
    *,
    generator: np.random.Generator,
    grid: Sequence[float] = (),
    draws: int = 2000,
) -> PowerLaw:
    """Fit the law to errors (S,) at `sizes` (ascending; 1 - AUROC, 1 - accuracy, ...), with 95 % intervals.

    Least squares weighted by the variances on the diagonal of `covariance` (S, S); the intervals are percentiles of
    fits to draws from a multivariate t of the whole covariance, so that they know what sizes share. With a free floor
    four sizes are needed; where an end of the search range lies in the exponent's interval, or the law misfits
    (p < 0.05), a law with floor 0 is tried under the same two conditions. Not identified where neither passes, with
    fewer than three sizes, or where the error does not fall for certain.
    """
    if len(sizes) < 3:
        return PowerLaw.not_identified("fewer than three training sizes were run")
    if not (np.isfinite(errors).all() and np.isfinite(covariance).all()):
        return PowerLaw.not_identified("a figure of the curve is undefined")
    contrast = np.zeros(len(errors))
    contrast[0], contrast[-1] = 1.0, -1.0
    se = math.sqrt(max(0.0, float(contrast @ covariance @ contrast)))
    if contrast @ errors - float(stats.t.ppf(0.975, degrees_of_freedom)) * se <= 0:
        return PowerLaw.not_identified("the error does not fall for certain from the first to the last size")
    noise = multivariate_t(covariance, degrees_of_freedom, draws, generator)
    data = _Data(np.asarray(sizes, dtype=np.float64), errors, noise, _weights(covariance))
    reason = "three training sizes cannot tell a floor"
    if len(sizes) > 3:
        free = _Fit(data, most_floor=math.inf)
        if not free.reason:
            return free.law(grid)
        reason = free.reason
    fixed = _Fit(data, most_floor=0.0)
    if fixed.reason:
        return PowerLaw.not_identified(f"{reason}; without a floor {fixed.reason}")
    return fixed.law(grid)


@dataclass(frozen=True)
class _Data:
    """Sizes and errors (S,), noise (R, S) around them, and the weights (S,) of the squares."""

    sizes: FloatArray
    errors: FloatArray
    noise: FloatArray
    weights: FloatArray


class _Fit:
    """The law fitted to the errors, to draws around them, and to draws around the fitted curve."""

    def __init__(self, data: _Data, most_floor: float) -> None:
        self.data, self.most_floor = data, most_floor
        self.value = self._parameters(data.errors[None])[0]
        self.drawn = self._parameters(data.errors + data.noise)
        low, high = np.percentile(self.drawn[:, 2], [2.5, 97.5])
        self.reason = ""
        if low <= EXPONENTS[0] * 1.01 or high >= EXPONENTS[1] / 1.01:
            self.reason = f"the exponent may lie anywhere from {low:.2f} to {high:.2f}"
        self.p_misfit = self._misfit()
        if self.p_misfit is not None and self.p_misfit < 0.05:
            self.reason = f"a power law misfits (p = {self.p_misfit:.3f})"

    def law(self, grid: Sequence[float]) -> PowerLaw:
        low, high = np.percentile(self.drawn, [2.5, 97.5], axis=0)
        floor, scale, exponent = (
            Parameter(float(value), float(least), float(most))
            for value, least, most in zip(self.value, low, high, strict=True)
        )
        is_fixed = self.most_floor == 0
        return PowerLaw(floor, scale, exponent, is_fixed, self.p_misfit, self._band(grid), "")

    def _band(self, grid: Sequence[float]) -> Band | None:
        if len(grid) == 0:
            return None
        numbers = np.asarray(grid, dtype=np.float64)
        low, high = np.percentile(_curve(self.drawn, numbers), [2.5, 97.5], axis=0)
        method = "percentiles of power laws fitted to draws from a multivariate t"
        return Band(numbers, _curve(self.value[None], numbers)[0], low, high, method)

    def _misfit(self) -> float | None:
        if len(self.data.sizes) <= (2 if self.most_floor == 0 else 3):
            return None
        expected = _curve(self.value[None], self.data.sizes)
        simulated = expected + self.data.noise
        of_draws = self._squares(simulated, self._parameters(simulated))
        observed = self._squares(self.data.errors[None], self.value[None])[0]
        return float((1 + (of_draws >= observed * (1 - 1e-9)).sum()) / (1 + len(of_draws)))

    def _squares(self, errors: FloatArray, parameters: FloatArray) -> FloatArray:
        return np.asarray(((errors - _curve(parameters, self.data.sizes)) ** 2) @ self.data.weights, dtype=np.float64)

    def _parameters(self, errors: FloatArray) -> FloatArray:
        """Floor, scale and exponent (R, 3) of errors (R, S): for each exponent the others are a linear fit."""
        return np.concatenate(
            [self._chunk(errors[start : start + _CHUNK_ROWS]) for start in range(0, len(errors), _CHUNK_ROWS)]
        )

    def _chunk(self, errors: FloatArray) -> FloatArray:
        logs = np.linspace(np.log(EXPONENTS[0]), np.log(EXPONENTS[1]), _STEPS)
        squares = self._linear(errors, np.exp(logs)[None])[2]
        best = np.clip(squares.argmin(axis=1), 1, _STEPS - 2)
        rows = np.arange(len(errors))
        # The vertex of the parabola through the best exponent and its neighbors, in the logarithm.
        below, at, above = (squares[rows, best + step] for step in (-1, 0, 1))
        bend = below - 2 * at + above
        shift = np.where(bend > 0, 0.5 * (below - above) / np.where(bend > 0, bend, 1.0), 0.0)
        exponents = np.exp(logs[best] + np.clip(shift, -1, 1) * (logs[1] - logs[0]))
        floor, scale, _ = self._linear(errors, exponents[:, None])
        return np.stack([floor[:, 0], scale[:, 0], exponents], axis=1)

    def _linear(self, errors: FloatArray, exponents: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Floor, scale and sum of squares (R, C) of errors (R, S) at exponents (1, C) or (R, 1), both at least 0."""
        sizes, weights = self.data.sizes, self.data.weights
        powers = sizes ** -exponents[..., None]
        total = weights.sum()
        mean_power = (powers @ weights) / total
        mean_error = (errors @ weights)[:, None] / total
        centered = powers - mean_power[..., None]
        slope = ((errors - mean_error)[:, None, :] * centered) @ weights / (centered**2 @ weights)
        floor = mean_error - slope * mean_power
        through_zero = (errors[:, None, :] * powers) @ weights / (powers**2 @ weights)
        outside = (floor < 0) | (floor > self.most_floor)
        scale = np.maximum(np.where(outside, through_zero, slope), 0.0)
        floor = np.where(outside, 0.0, np.where(slope < 0, mean_error, floor))
        residual = errors[:, None, :] - floor[..., None] - scale[..., None] * powers
        return floor, scale, residual**2 @ weights


def _curve(parameters: FloatArray, sizes: FloatArray) -> FloatArray:
    """The errors (R, G) of laws (R, 3) at sizes (G,)."""
    floor, scale, exponent = (parameters[:, place, None] for place in range(3))
    return np.asarray(floor + scale * sizes**-exponent, dtype=np.float64)


def _weights(covariance: FloatArray) -> FloatArray:
    """One over the variances, none of which counts as less than a millionth of the largest."""
    variances = np.diagonal(covariance)
    if not variances.max() > 0:
        return np.ones(len(variances))
    weights: FloatArray = 1 / np.maximum(variances, variances.max() * 1e-6)
    return weights


def _parameter_text(parameter: Parameter) -> str:
    return f"{parameter.value:.3g} ({parameter.low:.3g} to {parameter.high:.3g})"
