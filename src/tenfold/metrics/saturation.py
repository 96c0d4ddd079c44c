"""The saturation point of a ratio curve: the smallest ratio of synthetic to real images with most of the gain."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from tenfold.metrics.arrays import FloatArray
from tenfold.metrics.curve_fit import BoundedFigure

FRACTION = 0.9
_GRID_POINTS = 2000


class SaturationPoint(BoundedFigure):
    """A ratio (synthetic images a real one), bounded by ">= " where the gain still rises at the largest ratio."""

    def number_text(self, number: float) -> str:
        return str(round(number)) if number >= 10 else f"{number:.1f}"


def saturation_point(
    ratios: Sequence[float],
    gains: FloatArray,
    covariance: FloatArray,
    degrees_of_freedom: float,
    *,
    fraction: float = FRACTION,
) -> SaturationPoint:
    """The smallest ratio at which the gain over the control reaches `fraction` of that at the largest ratio.

    gains: (S,), positive is better, at `ratios` (ascending, above 0), linear in log(1 + ratio) between them; a ratio
    of 0 has gain 0. covariance: (S, S) of the gains. The 95 % interval holds the ratios r at which g(r) - fraction
    g(largest) can be 0 (Fieller 1954, two one-sided t tests): it starts where the fraction may have been reached and
    ends where it surely has been. Past the last ratio but one the plateau has not been seen, so such a figure is given
    as ">= " the largest. Where the gain falls for certain past a peak, the curve ends at that peak,
    which has then been seen. Not estimable
    with fewer than two ratios, or when the gain at the end of the curve is not above 0 for certain.
    """
    if len(ratios) < 2:
        return SaturationPoint.not_estimable("fewer than two ratios were run")
    if not (np.isfinite(gains).all() and np.isfinite(covariance).all()):
        return SaturationPoint.not_estimable("a gain is undefined")
    sure = float(stats.t.ppf(0.975, degrees_of_freedom))
    end = _end(gains, covariance, sure)
    if gains[end] <= sure * math.sqrt(max(0.0, float(covariance[end, end]))):
        return SaturationPoint.not_estimable("no certain gain over the control at the largest ratio")
    scale = np.log1p(np.concatenate([[0.0], np.asarray(ratios, dtype=np.float64)[: end + 1]]))
    grid = np.union1d(np.linspace(0.0, scale[-1], _GRID_POINTS), scale)[1:]
    # Row by row the weights of the gains in g(r) - fraction g(end).
    contrasts = np.stack([np.interp(grid, scale, gain) for gain in np.eye(end + 2)[1:]], axis=1)
    contrasts[:, -1] -= fraction
    distance = contrasts @ gains[: end + 1]
    variance = np.einsum("gi,ij,gj->g", contrasts, covariance[: end + 1, : end + 1], contrasts)
    margin = sure * np.sqrt(np.maximum(variance, 0.0))
    low, value, high = (
        float(grid[int(np.argmax(curve >= 0))]) for curve in (distance + margin, distance, distance - margin)
    )
    is_cut = end < len(ratios) - 1
    last_seen, largest = float(scale[-1 if is_cut else -2]), math.expm1(float(scale[-1]))
    (value, value_bound), (high, high_bound) = (
        (math.expm1(at), "") if at <= last_seen else (largest, ">= ") for at in (value, high)
    )
    return SaturationPoint(value, math.expm1(low), high, (value_bound, "", high_bound), "")


def _end(gains: FloatArray, covariance: FloatArray, sure: float) -> int:
    """The largest ratio's place, or that of the peak when the gain falls from there for certain."""
    peak, last = int(np.argmax(gains)), len(gains) - 1
    variance = covariance[peak, peak] + covariance[last, last] - 2 * covariance[peak, last]
    is_fall = gains[peak] - gains[last] > sure * math.sqrt(max(0.0, float(variance)))
    return peak if is_fall else last
