"""The review's figures against counts by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tenfold.core.plain import from_plain, to_plain
from tenfold.core.seeds import numpy_generator
from tenfold.metrics.proportions import wilson_interval
from tenfold.review.consensus import decide
from tenfold.review.effort import LONGEST_SECONDS, review_effort
from tenfold.review.records import Item, Judgement
from tenfold.review.shares import Figure
from tenfold.review.summary import ReaderPlace, Summary, summarize
from tests.review_workspace import judgement, made_up_items

SYNTHETIC, REAL = made_up_items(20), made_up_items(10, source="real")


def _summary(judgements: list[Judgement], items: list[Item] | None = None, **more: Any) -> Summary:
    items = items or [*SYNTHETIC, *REAL]
    places = [ReaderPlace(name, "reviewer", 30, 20, 0) for name in ("ann", "bob")]
    return summarize(items, decide(items, judgements, "any_reject"), judgements, places, seed=3, **more)


def _two_readers() -> list[Judgement]:
    """Ann rejects the first 5 synthetic images and 1 real one, Bob the first 3 and no real one."""
    given = []
    for name, rejected, real in (("ann", 5, 1), ("bob", 3, 0)):
        for items, count, word in ((SYNTHETIC, rejected, "generated"), (REAL, real, "real")):
            for number, item in enumerate(items):
                answers = {"origin": word if number % 2 else "generated", "condition": item.label, "accurate": True}
                verdict = "reject" if number < count else "accept"
                reasons = ("wrong_condition",) if number < 2 and verdict == "reject" else ()
                given.append(judgement(item.image_id, verdict, name, answers=answers, reasons=reasons, seconds=6.0))
    return given


def test_nothing_decided_is_no_error() -> None:
    found = _summary([])
    assert (found.undecided, found.accept_rate.value, found.effort.minutes) == (20, None, 0)
    assert found.detection.together.synthetic_told.value is None and found.agreement.fleiss_kappa.value is None
    json.dumps(to_plain(found), allow_nan=False)


def test_accept_rates_have_wilson_intervals() -> None:
    found = _summary(_two_readers())
    assert (found.accepted, found.rejected, found.n_real, found.disputed) == (15, 5, 10, 2)
    assert (found.accept_rate.low, found.accept_rate.high) == wilson_interval(0.75, 20)
    assert {row.value: (row.accepted, row.rejected) for row in found.by_label} == {"mole": (7, 3), "rash": (8, 2)}
    assert [reader.accept_rate.value for reader in found.readers] == [0.75, 0.85]
    assert [reader.real_accept_rate.value for reader in found.readers] == [0.9, 1.0]
    assert found.by_set[0].value == "drawn" and found.by_skin_type[0].value == "I-II"


def test_prompts_are_ranked_by_what_is_sure() -> None:
    """One of one accepted is no better than nine of ten."""
    items = [
        Item(f"{n:016x}", "p", "s", "mole", "synthetic", "drawn", "text2img", "many" if n < 10 else "once")
        for n in range(11)
    ]
    found = _summary(
        [judgement(item.image_id, "reject" if n == 0 else "accept") for n, item in enumerate(items)], items
    )
    assert [row.value for row in found.by_prompt] == ["many", "once"]


def test_reasons_count_images_not_words() -> None:
    """Both readers named the same reason for two images; three more were rejected without one."""
    found = _summary(_two_readers())
    assert [(row.reason, row.n_images) for row in found.reasons] == [("not told", 3), ("wrong_condition", 2)]
    assert found.reasons[1].share.value == 0.4


def test_who_can_tell_real_from_generated() -> None:
    """Every answer on synthetic images says generated; on real ones, every other answer says real."""
    found = _summary(_two_readers()).detection
    together = found.together
    assert (together.synthetic_told.value, together.real_told.value, together.balanced.value) == (1.0, 0.5, 0.75)
    assert together.real_told.low is not None and together.real_told.low < 0.5 < (together.real_told.high or 0)
    assert together.balanced.low is not None and 0.5 < together.balanced.low < 0.75
    assert together.real_told.n_images == 10
    assert [row.name for row in found.by_reviewer] == ["ann", "bob"]
    assert [row.name for row in found.by_label] == ["mole", "rash"]


def test_agreement_between_readers_is_on_synthetic_images() -> None:
    """18 of 20 alike. Ann rejects 5, Bob 3: expected (5 * 3 + 15 * 17) / 400 = 0.675, kappa 0.225 / 0.325."""
    found = _summary(_two_readers()).agreement
    [pair] = found.pairs
    assert pair.percent.value == pytest.approx(0.9) and pair.percent.n_images == 20
    assert pair.cohen_kappa.value == pytest.approx(0.225 / 0.325)
    assert pair.cohen_kappa.low is not None and pair.cohen_kappa.low < pair.cohen_kappa.value
    assert found.fleiss_kappa.value == pytest.approx((0.9 - (0.2**2 + 0.8**2)) / (1 - (0.2**2 + 0.8**2)))
    assert not found.within


def test_agreement_with_oneself_is_on_all_images_that_came_twice() -> None:
    twice = [*SYNTHETIC[:6], *REAL[:4]]
    again = [judgement(i.image_id, "reject" if n < 4 else "accept", kind="repeat") for n, i in enumerate(twice)]
    found = _summary([*_two_readers(), *again]).agreement
    [within] = found.within
    # Ann's first looks: 5 of the 6 synthetic ones rejected, and one real one; at the second look 4 rejected.
    assert (within.first, within.percent.n_images, within.percent.value) == ("ann", 10, pytest.approx(0.8))
    assert found.within_together.percent.value == within.percent.value


def test_the_price_counts_real_images_and_cuts_breaks() -> None:
    found = _summary(_two_readers()).effort
    assert found.minutes == 6.0  # 60 judgements of 6 seconds
    assert found.minutes_per_accepted.value == pytest.approx(6 / 15)
    assert found.minutes_per_accepted.low is not None
    items = made_up_items(2)
    slow = [judgement(items[0].image_id, seconds=90_000.0), judgement(items[1].image_id, seconds=None)]
    decided = list(zip(items, decide(items, slow, "any_reject"), strict=True))
    cut = review_effort(slow, slow, decided, numpy_generator(0))
    assert cut.minutes == LONGEST_SECONDS / 60 and (cut.n_capped, cut.n_untimed) == (1, 1)


def test_the_price_counts_what_was_changed_and_taken_back() -> None:
    """Every image is judged, taken back and judged anew: three entries, of which one stands, cost all their time."""
    record = []
    for item in SYNTHETIC:
        first = judgement(item.image_id, "reject", seconds=10.0)
        undo = judgement(item.image_id, "none", seconds=2.0, undoes=first.client_id)
        record += [first, undo, judgement(item.image_id, seconds=6.0)]
    standing = [one for one in record if one.verdict == "accept"]
    found = _summary(standing, record=record)
    assert found.effort.minutes == found.readers[0].minutes == 6.0  # 20 * (10 + 2 + 6) seconds
    assert found.effort.minutes_per_accepted.value == pytest.approx(6 / 20)
    assert found.effort.median_seconds == found.readers[0].median_seconds == 8.0, "taking back is no judgement"
    assert found.effort.images_per_hour == 200.0
    assert (found.accepted, found.effort.n_untimed) == (20, 0)


def test_images_of_few_sources_have_wider_intervals() -> None:
    """The 20 images are made from two, one accepted and recognized, one neither: that is little to go by."""
    alike = [replace(item, parent_id=f"parent-{n < 10}") for n, item in enumerate(SYNTHETIC)]
    given = [
        judgement(
            item.image_id, "reject" if n < 10 else "accept", name,
            answers={"origin": "real" if n < 10 else "generated", "condition": item.label}, reasons=("other",),
        )
        for name in ("ann", "bob")
        for n, item in enumerate(alike)
    ]  # fmt: skip
    loose, found = _summary(given), _summary(given, [*alike, *REAL])
    assert (loose.n_sources, found.n_sources, found.n_images) == (20, 2, 20)
    for narrow, wide in (
        (loose.accept_rate, found.accept_rate),
        (loose.by_strategy[0].share, found.by_strategy[0].share),
        (loose.readers[0].accept_rate, found.readers[0].accept_rate),
        (loose.detection.together.synthetic_told, found.detection.together.synthetic_told),
    ):
        assert narrow.value == wide.value == 0.5 and narrow.n_images == wide.n_images == 20
        assert _width(wide) > 1.6 * _width(narrow)
    assert "2 source images" in found.accept_rate.method


def _width(figure: Figure) -> float:
    assert figure.low is not None and figure.high is not None
    return figure.high - figure.low


def test_steadiness_together_is_each_reviewers_own() -> None:
    """Ann accepts all but one image in 10, Bob rejects all but one, at the second look another one: kappa -0.11."""
    given = []
    for name, most, other in (("ann", "accept", "reject"), ("bob", "reject", "accept")):
        for number, item in enumerate(SYNTHETIC):
            for kind, odd in (("first", 0), ("repeat", 1)):
                given.append(judgement(item.image_id, other if number % 10 == odd else most, name, kind))  # type: ignore[arg-type]
    found = _summary(given).agreement
    each = [one.cohen_kappa.value for one in found.within]
    assert each == [pytest.approx(-1 / 9), pytest.approx(-1 / 9)]
    assert found.within_together.cohen_kappa.value == pytest.approx(-1 / 9)
    assert found.within_together.percent.n_images == 20, "an image that came twice to both counts once"


def test_a_small_part_of_real_images_keeps_the_average_uncertain() -> None:
    """All 20 synthetic images and all 3 real ones are told: the 3 alone could be 44 %."""
    items = [*SYNTHETIC, *REAL[:3]]
    given = [
        judgement(item.image_id, answers={"origin": "real" if item.source == "real" else "generated"}) for item in items
    ]
    together = _summary(given, items).detection.together
    assert (together.balanced.value, together.synthetic_told.n_images, together.real_told.n_images) == (1.0, 20, 3)
    assert together.balanced.low is not None and together.balanced.low < 0.72


def test_an_image_that_sets_share_counts_in_each() -> None:
    held = {"large": [item.image_id for item in SYNTHETIC], "small": [item.image_id for item in SYNTHETIC[:8]]}
    found = _summary(_two_readers(), sets=held)
    assert [(row.value, row.accepted, row.rejected) for row in found.by_set] == [("large", 15, 5), ("small", 3, 5)]
    assert found.n_images == 20


def test_faulty_images_are_not_undecided() -> None:
    decided = decide(SYNTHETIC, [], "any_reject", {SYNTHETIC[0].image_id})
    found = summarize(SYNTHETIC, decided, [], [], seed=1)
    assert (found.undecided, found.faulty) == (19, 1)


def test_answers_and_faithfulness_are_counted_by_origin() -> None:
    found = _summary(_two_readers())
    assert found.answers["accurate"] == {"real": {"yes": 20}, "synthetic": {"yes": 40}}
    assert {label: share.value for label, share in found.shown_as_asked.items()} == {"mole": 1.0, "rash": 1.0}


def test_the_same_decisions_give_the_same_figures_and_they_survive_json() -> None:
    given = _two_readers()
    first = _summary(given)
    assert _summary(given) == first
    plain = json.loads(json.dumps(to_plain(first), allow_nan=False))
    assert to_plain(from_plain(Summary, plain)) == plain
