"""The tally against targets, and how many images to draw for what is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tenfold.review.consensus import decide
from tenfold.review.coverage import NOT_TOLD, Coverage, Targets, tally
from tenfold.review.records import Item
from tenfold.review.severity import severities_seen
from tests.review_workspace import judgement, made_up_items

ITEMS = made_up_items(24)


def _coverage(targets: Targets, levels: tuple[str, ...] = (), *, rejected: int = 6, open_: int = 4) -> Coverage:
    """24 images: the first ones rejected, the last ones undecided, the others accepted."""
    given = [
        judgement(item.image_id, "reject" if n < rejected else "accept")
        for n, item in enumerate(ITEMS[: len(ITEMS) - open_])
    ]
    decided = decide(ITEMS, given, "any_reject")
    return tally(ITEMS, decided, targets, {}, levels)


def test_every_image_stands_in_one_cell() -> None:
    found = _coverage(Targets())
    assert (found.accepted, found.rejected, found.undecided) == (14, 6, 4)
    assert sum(row.accepted + row.rejected + row.undecided for row in found.rows) == 24
    assert {row.skin_type_group for row in found.rows} == {"I-II", "III-IV", "V-VI"}
    assert not found.goals


def test_what_to_draw_goes_by_the_accept_rate_and_counts_on_the_undecided() -> None:
    """30 wanted, 14 accepted of 20: the other 16 take about 23 images, 4 of which wait to be decided."""
    [goal] = _coverage(Targets(total=30)).goals
    assert (goal.missing, goal.undecided, goal.to_draw) == (16, 4, 19)
    assert goal.yield_rate.value == pytest.approx(0.7)
    assert goal.to_draw_low is not None and goal.to_draw_high is not None
    assert goal.to_draw_low < 19 < goal.to_draw_high


def test_the_range_holds_chance_as_well_as_what_is_not_known_of_the_rate() -> None:
    """8 of 10 accepted, 2 more wanted: the rate's interval (0.49 to 0.94) gives 3 to 5; chance can ask for more."""
    items = made_up_items(10)
    given = [judgement(item.image_id, "reject" if n < 2 else "accept") for n, item in enumerate(items)]
    [goal] = tally(items, decide(items, given, "any_reject"), Targets(total=10), {}).goals
    assert (goal.to_draw_low, goal.to_draw, goal.to_draw_high) == (2, 2, 6)


def test_reached_targets_ask_for_nothing() -> None:
    found = _coverage(Targets(total=14, per_class={"mole": 3}))
    assert [goal.to_draw for goal in found.goals] == [0, 0]


def test_the_most_wanting_comes_first_and_absent_levels_are_not_forgotten() -> None:
    """Nothing was asked to be moderate: how many to draw for it nobody knows."""
    found = _coverage(Targets(total=15, per_severity=10), ("mild", "moderate", "severe"))
    moderate = found.goals[0]
    assert moderate.value == "moderate"
    assert (moderate.accepted, moderate.missing, moderate.to_draw, moderate.why_unknown) == (0, 10, None, "none_asked")
    assert {goal.value for goal in found.goals} == {"mild", "moderate", "severe", "all"}
    nothing = _coverage(Targets(total=15), rejected=20).goals[0]
    assert (nothing.to_draw, nothing.why_unknown) == (None, "none_accepted")
    assert _coverage(Targets(total=15), open_=24).goals[0].why_unknown == "none_decided"


def test_what_was_asked_to_be_severe_and_looks_mild_makes_severe_ones_rare() -> None:
    """Of 12 asked to be severe all are accepted, but 9 of them as mild: 3 of 12 is the yield, not 3 of 3."""
    items = made_up_items(24)
    decided = decide(items, [judgement(item.image_id) for item in items], "any_reject")
    asked = [item for item in items if item.severity == "severe"]
    seen: dict[str, str | None] = {item.image_id: "mild" for item in asked[:9]}
    goals = tally(items, decided, Targets(per_severity=30), seen).goals
    severe = next(goal for goal in goals if goal.value == "severe")
    assert (severe.accepted, severe.missing, severe.yield_rate.n_images) == (3, 27, 12)
    assert severe.yield_rate.value == pytest.approx(0.25)
    assert severe.to_draw is not None and 80 < severe.to_draw < 120
    mild = next(goal for goal in goals if goal.value == "mild")
    assert (mild.accepted, mild.yield_rate.value) == (21, 1.0)


def test_severity_that_nobody_asked_for_comes_as_it_comes() -> None:
    """2 of 20 decided images are accepted as severe: the yield is of all that are decided."""
    items = [replace(item, severity=None) for item in made_up_items(24)]
    decided = decide(items, [judgement(item.image_id) for item in items[:20]], "any_reject")
    seen: dict[str, str | None] = {item.image_id: "severe" if n < 2 else "mild" for n, item in enumerate(items[:20])}
    goals = tally(items, decided, Targets(per_severity=5), seen).goals
    severe = next(goal for goal in goals if goal.value == "severe")
    assert (severe.accepted, severe.missing, severe.undecided, severe.yield_rate.value) == (2, 3, 4, 0.1)


def test_images_of_few_sources_tell_less_of_what_to_draw() -> None:
    def spread(items: list[Item]) -> int:
        given = [judgement(item.image_id, "reject" if n % 12 < 3 else "accept") for n, item in enumerate(items)]
        [goal] = tally(items, decide(items, given, "any_reject"), Targets(total=400), {}).goals
        assert goal.to_draw_low is not None and goal.to_draw_high is not None
        return goal.to_draw_high - goal.to_draw_low

    loose = made_up_items(120)
    alike = [replace(item, parent_id=f"parent-{n % 12}") for n, item in enumerate(loose)]
    assert spread(alike) > 1.5 * spread(loose)


def test_targets_are_of_all_sets_or_of_each() -> None:
    """SynthVision's five repetitions learn from a set each: 500 accepted in all of them together would be too few."""
    items = [replace(item, set=("first", "second")[n % 2]) for n, item in enumerate(made_up_items(40))]
    decided = decide(items, [judgement(item.image_id) for item in items], "any_reject")
    [together] = tally(items, decided, Targets(total=30), {}).goals
    assert (together.set, together.accepted, together.missing) == ("", 40, 0)
    each = tally(items, decided, Targets(total=30, scope="each_set"), {}).goals
    assert [(goal.set, goal.accepted, goal.missing) for goal in each] == [("first", 20, 10), ("second", 20, 10)]
    held = {"large": [item.image_id for item in items], "small": [item.image_id for item in items[:25]]}
    shared = tally(items, decided, Targets(total=30, scope="each_set"), {}, sets=held).goals
    assert [(goal.set, goal.accepted, goal.missing) for goal in shared] == [("small", 25, 5), ("large", 40, 0)]


def test_cannot_tell_is_no_level_and_silence_leaves_what_was_asked_for() -> None:
    items = made_up_items(3)
    given = [
        judgement(items[n].image_id, answers={"severity": word}) for n, word in enumerate(("cannot_tell", "severe"))
    ]
    seen = severities_seen(items, given)
    assert seen == {items[0].image_id: None, items[1].image_id: "severe"}
    rows = tally(items, decide(items, given, "any_reject"), Targets(), seen).rows
    assert sorted(row.severity for row in rows) == sorted([NOT_TOLD, "severe", str(items[2].severity)])


def test_severity_unknown_is_no_level() -> None:
    decided = decide(ITEMS, [], "any_reject")
    found = tally(ITEMS, decided, Targets(per_severity=1), dict.fromkeys((item.image_id for item in ITEMS), None))
    assert not found.goals and {row.severity for row in found.rows} == {NOT_TOLD}


def test_skin_types_are_counted_in_groups() -> None:
    found = _coverage(Targets(per_skin_type=8))
    assert {goal.value: goal.accepted for goal in found.goals} == {"I-II": 6, "III-IV": 4, "V-VI": 4}
