"""The verdict's rule, word by word."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tenfold.evaluation.contents import Comparison, Estimate, Verdict
from tenfold.evaluation.verdict import decide


def compared(control: str, low: float | None, high: float | None, *, seeds: int = 5) -> Comparison:
    value = None if low is None or high is None else (low + high) / 2
    estimate = Estimate(value, low, high, 120, 60, seeds, "undefined: too few patients" if low is None else "made up")
    return Comparison("hybrid", control, 8, "macro_auroc", estimate, 0.5, 0.5, True, "primary", 0.04)


def verdict(rows: Sequence[Comparison], obstacles: Sequence[str] = (), controls: Sequence[str] = ("a", "b")) -> Verdict:
    return decide("macro_auroc", "hybrid", 8, controls, comparisons=rows, obstacles=obstacles)


def test_helps_needs_a_gain_over_each_control() -> None:
    found = verdict([compared("a", 0.01, 0.05), compared("b", 0.001, 0.02)])
    assert (found.word, found.unproven_against, found.harmful_against) == ("helps", (), ())
    assert found.sentence == (
        "hybrid is better than every control: +3.0 points (95 % CI +1.0 to +5.0) against a; "
        "+1.1 points (95 % CI +0.1 to +2.0) against b."
    )


def test_a_gain_over_one_control_alone_is_no_evidence() -> None:
    found = verdict([compared("a", 0.01, 0.05), compared("b", -0.01, 0.02)])
    assert (found.word, found.unproven_against) == ("no_evidence", ("b",))
    assert "A difference of 4.0 points could have been seen with 80 % power." in found.sentence


def test_harms_when_below_any_control() -> None:
    found = verdict([compared("a", 0.01, 0.05), compared("b", -0.05, -0.01)])
    assert (found.word, found.harmful_against) == ("harms", ("b",))
    assert "worse than b: -3.0 points (95 % CI -5.0 to -1.0)" in found.sentence


@pytest.mark.parametrize("low, high", [(0.0, 0.1), (-0.1, 0.0), (0.0, 0.0)])
def test_an_interval_that_touches_zero_proves_nothing(low: float, high: float) -> None:
    assert verdict([compared("a", low, high)], controls=("a",)).word == "no_evidence"


@pytest.mark.parametrize(
    "rows, obstacles, reason",
    [
        ([compared("a", 0.01, 0.05)], [], "the control b were not both run"),
        ([compared("a", 0.01, 0.05), compared("b", 0.01, 0.05, seeds=2)], [], "Only 2 seeds were run against b"),
        ([compared("a", 0.01, 0.05), compared("b", None, None)], [], "interval against b is undefined"),
        ([compared("a", 0.01, 0.05), compared("b", 0.01, 0.05)], ["They differ."], "They differ."),
    ],
)
def test_not_testable_says_why(rows: list[Comparison], obstacles: list[str], reason: str) -> None:
    found = verdict(rows, obstacles)
    assert found.word == "not_testable" and reason in found.sentence


def test_secondary_comparisons_do_not_decide() -> None:
    secondary = compared("a", -0.5, -0.4)
    secondary = Comparison(**{**vars(secondary), "is_primary": False, "family": "other metrics"})
    assert verdict([compared("a", 0.01, 0.05), secondary], controls=("a",)).word == "helps"
