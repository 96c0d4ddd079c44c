"""Non-inferiority and equivalence against statsmodels' two one-sided tests, and the words at the margin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from tenfold.metrics.equivalence import equivalence


@pytest.mark.parametrize("shift", [-0.4, 0.0, 0.25])
def test_p_values_equal_statsmodels(shift: float) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(shift, 1, 40), rng.normal(0, 1, 40)
    gaps = a - b
    p_value, lower, _ = ttost_paired(a, b, -0.5, 0.5)
    found = equivalence(float(gaps.mean()), float(gaps.std(ddof=1) / np.sqrt(40)), 39, 0.5)
    assert (found.p_equivalent, found.p_non_inferior) == pytest.approx((p_value, lower[1]))


@pytest.mark.parametrize(
    ("difference", "word"),
    [(0.0, "equivalent"), (0.03, "non_inferior"), (-0.03, "inconclusive"), (-0.08, "inferior"), (0.2, "non_inferior")],
)
def test_words_follow_the_95_percent_interval(difference: float, word: str) -> None:
    # half width 0.0196: the interval of 0.03 ends just below 0.05
    se = 0.0115
    found = equivalence(difference, se, math.inf, 0.05)
    low, high = difference - 1.959964 * se, difference + 1.959964 * se
    assert found.word == word
    assert (found.word in ("equivalent", "non_inferior")) == (low > -0.05)
    assert (found.word == "equivalent") == (low > -0.05 and high < 0.05)
    assert (found.word == "inferior") == (high < -0.05)


def test_undefined_differences_are_inconclusive_and_margins_positive() -> None:
    assert equivalence(math.nan, 0.1, 5, 0.05).word == "inconclusive"
    assert math.isnan(equivalence(0.0, math.nan, 5, 0.05).p_equivalent)
    assert equivalence(0.0, 0.0, 5, 0.05).word == "equivalent"
    with pytest.raises(ValueError, match="margin above 0"):
        equivalence(0.0, 0.1, 5, 0.0)
