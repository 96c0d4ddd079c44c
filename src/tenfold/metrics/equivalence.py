"""Non-inferiority and equivalence against a stated margin: two one-sided t tests (Schuirmann 1987)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy import stats

Word = Literal["equivalent", "non_inferior", "inferior", "inconclusive"]


@dataclass(frozen=True)
class Equivalence:
    """What the interval says of the margin. `p_non_inferior` tests "worse by the margin or more"; `p_equivalent` is the
    larger of the two one-sided p-values; both NaN when the difference is undefined."""

    word: Word
    p_non_inferior: float
    p_equivalent: float
    margin: float


def equivalence(
    difference: float, standard_error: float, degrees_of_freedom: float, margin: float, *, alpha: float = 0.025
) -> Equivalence:
    """Compare a difference, signed so that positive is better, with a margin that was stated before the run.

    `alpha` is one-sided, so 0.025 fits the 95 % interval that stands beside it: "equivalent" when that interval lies
    within -margin and margin, "non_inferior" when it lies above -margin, "inferior" when it lies wholly below -margin,
    else "inconclusive". `degrees_of_freedom` may be infinite. Raises ValueError when the margin is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"a margin above 0 is needed, not {margin}")
    if not (math.isfinite(difference) and math.isfinite(standard_error) and degrees_of_freedom > 0):
        return Equivalence("inconclusive", math.nan, math.nan, margin)
    not_worse = _p_above(difference + margin, standard_error, degrees_of_freedom)
    not_better = _p_above(margin - difference, standard_error, degrees_of_freedom)
    is_worse = _p_above(-margin - difference, standard_error, degrees_of_freedom)
    word: Word = "inconclusive"
    if max(not_worse, not_better) < alpha:
        word = "equivalent"
    elif not_worse < alpha:
        word = "non_inferior"
    elif is_worse < alpha:
        word = "inferior"
    return Equivalence(word, not_worse, max(not_worse, not_better), margin)


def _p_above(distance: float, standard_error: float, degrees_of_freedom: float) -> float:
    """One-sided p-value that a distance is above 0."""
    if standard_error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stats.t.sf(distance / standard_error, degrees_of_freedom))
