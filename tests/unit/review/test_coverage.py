"""The tally against targets, and how many images to draw for what is missing."""

from __future__ import annotations

import pytest

from tenfold.review.consensus import decide
from tenfold.review.coverage import NOT_TOLD, Coverage, Targets, tally
from tests.review_workspace import judgement, made_up_items

ITEMS = made_up_items(24)


def _coverage(targets: Targets, levels: tuple[str, ...] = (), *, rejected: int = 6, open_: int = 4) -> Coverage:
    """24 images: the first ones rejected, the last ones undecided, the others accepted."""
    given = [
        judgement(item.image_id, "reject" if n < rejected else "accept")
        for n, item in enumerate(ITEMS[: len(ITEMS) - open_])
    ]
    decided = decide(ITEMS, given, "any_reject")
    return tally(ITEMS, decided, targets, {item.image_id: item.severity for item in ITEMS}, levels)


def test_every_image_stands_in_one_cell() -> None:
    found = _coverage(Targets())
    assert (found.accepted, found.rejected, found.undecided) == (14, 6, 4)
    assert sum(row.accepted + row.rejected + row.undecided for row in found.rows) == 24
    assert {row.skin_type_group for row in found.rows} == {"I-II", "III-IV", "V-VI"}
    assert not found.goals and not found.advice


def test_what_to_draw_goes_by_the_accept_rate_and_counts_on_the_undecided() -> None:
    """30 wanted, 14 accepted at 14 of 20: 16 missing take 16 / 0.7 = 22.9 images, 4 of which wait to be decided."""
    [goal] = _coverage(Targets(total=30)).goals
    assert (goal.missing, goal.to_draw) == (16, 19)
    assert goal.accept_rate.value == pytest.approx(0.7)
    assert goal.to_draw_low is not None and goal.to_draw_high is not None
    assert goal.to_draw_low < 19 < goal.to_draw_high


def test_reached_targets_ask_for_nothing() -> None:
    found = _coverage(Targets(total=14, per_class={"mole": 3}))
    assert [goal.to_draw for goal in found.goals] == [0, 0] and not found.advice


def test_the_most_wanting_comes_first_and_absent_levels_are_not_forgotten() -> None:
    found = _coverage(Targets(total=15, per_severity=10), ("mild", "moderate", "severe"))
    moderate = found.goals[0]
    assert moderate.value == "moderate"
    assert (moderate.accepted, moderate.missing, moderate.to_draw) == (0, 10, None)
    assert "nobody can say" in found.advice[0]
    assert {goal.value for goal in found.goals} == {"mild", "moderate", "severe", "all"}


def test_severity_unknown_is_no_level() -> None:
    decided = decide(ITEMS, [], "any_reject")
    found = tally(ITEMS, decided, Targets(per_severity=1), {})
    assert not found.goals and {row.severity for row in found.rows} == {NOT_TOLD}


def test_skin_types_are_counted_in_groups() -> None:
    found = _coverage(Targets(per_skin_type=8))
    assert {goal.value: goal.accepted for goal in found.goals} == {"I-II": 6, "III-IV": 4, "V-VI": 4}
