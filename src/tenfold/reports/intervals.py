"""Where the bars of a forest plot lie: one scale for all rows, positions in percent of the width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.evaluation.contents import Estimate

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST_STEPS = 5


@dataclass(frozen=True)
class Bar:
    """Positions in percent of the width; `left` and `width` are None without an interval."""

    at: float
    left: float | None
    width: float | None


@dataclass(frozen=True)
class Scale:
    """A scale that holds zero and all intervals, from `low` to `high`, with round `ticks`."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def position(self, value: float) -> float:
        """Percent of the width from the left, within 0 to 100.

        >>> Scale(-0.1, 0.1, (0.0,)).position(0.0)
        50.0
        """
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    def bar(self, estimate: Estimate) -> Bar | None:
        """The estimate's place, None when it has no value."""
        if estimate.value is None:
            return None
        if estimate.low is None or estimate.high is None:
            return Bar(self.position(estimate.value), None, None)
        left = self.position(estimate.low)
        return Bar(self.position(estimate.value), left, round(self.position(estimate.high) - left, 2))


def difference_scale(estimates: Sequence[Estimate]) -> Scale:
    """The scale of a forest plot of differences."""
    bounds = [bound for e in estimates for bound in (e.value, e.low, e.high) if bound is not None]
    low, high = min([0.0, *bounds]), max([0.0, *bounds])
    if high == low:
        low, high = -0.01, 0.01
    margin = 0.06 * (high - low)
    low, high = low - margin, high + margin
    step = _round_step((high - low) / _MOST_STEPS)
    first, last = math.ceil(low / step), math.floor(high / step)
    return Scale(low, high, tuple(round(number * step, 10) for number in range(first, last + 1)))


def _round_step(least: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(least))
    return next(factor * magnitude for factor in _STEPS if factor * magnitude >= least * (1 - 1e-9))
