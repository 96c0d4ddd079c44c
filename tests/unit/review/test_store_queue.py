"""Queues in the store: read in windows, blinded, planned anew when people come and go; disputes to adjudicators."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.review.records import Decision, QueueSettings
from tenfold.review.store import Store
from tests.review_store import SETTINGS, decide, invited, make_items, make_store, whole_queue


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path, 60) as made:
        yield made


def images(store: Store, reviewer: int) -> list[tuple[str, str]]:
    found = [store.find_slot(slot.opaque) for slot in whole_queue(store, reviewer)]
    return [(one.item.image_id, one.kind) for one in found]


def test_windows_join_into_one_queue_that_a_restart_leaves(store: Store) -> None:
    [ann] = invited(store, "Ann")
    whole = whole_queue(store, ann)
    assert [slot.position for slot in whole] == list(range(63))  # 60 images, 5 % of them again
    assert store.queue(ann, 0, 20) + store.queue(ann, 20, 43) == whole
    assert store.queue(ann, 60, 50) == whole[60:] and store.queue(ann, 63, 5) == []
    with Store.open(store.path) as again:
        assert whole_queue(again, ann) == whole


def test_slots_tell_nothing_and_another_workspace_has_others(store: Store, tmp_path: Path) -> None:
    [ann] = invited(store, "Ann")
    slots = whole_queue(store, ann)
    assert len({slot.opaque for slot in slots}) == 63 and {len(slot.opaque) for slot in slots} == {32}
    (tmp_path / "other").mkdir()
    with make_store(tmp_path / "other", 60) as other:
        [also] = invited(other, "Ann")
        assert images(other, also) == images(store, ann)  # the plan follows from the seed
        assert not {slot.opaque for slot in whole_queue(other, also)} & {slot.opaque for slot in slots}
    opaques = store.item_opaques()
    assert not set(opaques.values()) & {slot.opaque for slot in slots}
    assert all(store.item_by_opaque(opaque).image_id == image_id for image_id, opaque in opaques.items())
    for wrong in ("", "../x", slots[0].opaque):
        with pytest.raises(DataError, match="there is no such image"):
            store.item_by_opaque(wrong)


def test_items_come_back_as_they_were_given(store: Store) -> None:
    assert store.items() == make_items(60)
    assert store.fill(make_items(70), SETTINGS) == 10
    assert store.items() == make_items(70) and store.settings() == SETTINGS


def test_planning_the_same_again_moves_nothing(store: Store) -> None:
    [ann] = invited(store, "Ann")
    before = (store.progress(ann), whole_queue(store, ann))
    assert store.fill(make_items(60), SETTINGS) == 0
    store.invite("Lea", "lead")
    assert (store.progress(ann), whole_queue(store, ann)) == before
    store.fill(make_items(61), SETTINGS)
    assert store.progress(ann).plan_version == before[0].plan_version + 1


def test_the_order_of_inviting_is_without_meaning_before_anything_was_seen(store: Store, tmp_path: Path) -> None:
    ids = invited(store, "Ann", "Ben", "Cyd")
    (tmp_path / "other").mkdir()
    with make_store(tmp_path / "other", 60) as other:
        others = invited(other, "Cyd", "Ben", "Ann")[::-1]
        assert [images(store, one) for one in ids] == [images(other, one) for one in others]


def test_someone_who_joins_late_shares_what_nobody_saw(store: Store) -> None:
    [ann] = invited(store, "Ann")
    decide(store, ann, store.queue(ann, 0, 20))
    store.serve(ann, store.queue(ann, 30, 1)[0].opaque)  # in the grid, far ahead
    before = whole_queue(store, ann)
    version = store.progress(ann).plan_version
    [ben] = invited(store, "Ben")
    after = whole_queue(store, ann)
    assert store.progress(ann).plan_version > version
    assert [slot.opaque for slot in after[:20]] == [slot.opaque for slot in before[:20]]
    assert after[20].opaque == before[30].opaque  # what was seen stays
    assert {slot.opaque for slot in after} < {slot.opaque for slot in before}
    assert [slot.position for slot in after] == list(range(len(after)))
    both = [{image_id for image_id, kind in images(store, who) if kind == "first"} for who in (ann, ben)]
    assert len(both[0] | both[1]) == 60 and len(both[0] & both[1]) == 12
    assert store.progress(ann).next_position == 20 and store.progress(ann).n_decided == 20


def test_what_a_revoked_reviewer_left_open_goes_to_the_others(store: Store) -> None:
    ann, ben = invited(store, "Ann", "Ben")
    decide(store, ann, store.queue(ann, 0, 10))
    store.mark_served([(ann, slot.opaque) for slot in store.queue(ann, 10, 5)])
    decided = {store.find_slot(slot.opaque).item.image_id for slot in store.queue(ann, 0, 10)}
    store.revoke("Ann")
    bens = {image_id for image_id, _ in images(store, ben)}
    assert bens | decided == {item.image_id for item in make_items(60)}
    overlap = {image_id for image_id in bens & decided}
    assert len(overlap) < 10  # what she decided alone is not judged again
    assert len(whole_queue(store, ann)) == 15 and len(store.latest()) == 10


def test_an_adjudicator_gets_what_reviewers_differ_on_and_settles_it(store: Store) -> None:
    store.fill([], QueueSettings(11, overlap_fraction=1.0, repeat_fraction=0.1))
    ann, ben = invited(store, "Ann", "Ben")
    zoe = store.invite("Zoe", "adjudicator").reviewer.id
    assert store.progress(zoe).total == 0
    decide(store, ann, whole_queue(store, ann))
    places = {image: slot for image, slot in zip(images(store, ben), whole_queue(store, ben), strict=True)}
    differing = {f"{number:016x}" for number in (1, 2, 3, 4, 6)}
    real = f"{0:016x}"  # a real image gets no verdict: nobody needs to settle it
    for (image_id, kind), slot in places.items():
        # A repeat that differs is about the reviewer, not about the image.
        decide(store, ben, [slot], "reject" if kind == "repeat" or image_id in {*differing, real} else "accept")
    assert set(store.disputed()) == differing
    assert store.plan_adjudication() == 5 and store.plan_adjudication() == 0
    slots = store.queue(zoe, 0, 10, "adjudication")
    assert {store.find_slot(slot.opaque).item.image_id for slot in slots} == differing
    assert [slot.position for slot in slots] == [0, 1, 2, 3, 4] and store.queue(zoe, 0, 10) == []
    decide(store, zoe, slots[:2], "reject")
    progress = store.progress(zoe, "adjudication")
    assert (progress.total, progress.n_rejected, progress.n_open, progress.next_position) == (5, 2, 3, 2)
    assert len(store.disputed()) == 3
    settled = store.find_slot(slots[0].opaque).item.image_id
    assert [one.kind for one in store.latest(settled) if one.kind != "repeat"] == ["first", "first", "adjudication"]
    # An undo opens it again, in the same place.
    given = store.slot(zoe, slots[0].opaque).client_id
    store.add_decision(zoe, Decision("undo", slots[0].opaque, "none", undoes=given))
    assert len(store.disputed()) == 4 and store.plan_adjudication() == 0


def test_leads_adjudicate_where_nobody_else_does_and_a_successor_takes_over(store: Store) -> None:
    store.fill([], QueueSettings(11, overlap_fraction=1.0, repeat_fraction=0.0))
    ann, ben = invited(store, "Ann", "Ben")
    decide(store, ann, whole_queue(store, ann), "accept")
    decide(store, ben, whole_queue(store, ben)[:8], "reject")
    assert len(store.disputed()) == 8 and store.plan_adjudication() == 0  # there is nobody
    lead = store.invite("Lea", "lead").reviewer.id
    assert store.progress(lead, "adjudication").total == 8
    decide(store, lead, store.queue(lead, 0, 3, "adjudication"))
    yan = store.invite("Yan", "adjudicator").reviewer.id
    assert store.progress(yan, "adjudication").total == 5
    store.revoke("Yan")
    store.invite("Zoe", "adjudicator")
    assert [store.progress(who.id, "adjudication").total for who in store.reviewers()[-2:]] == [5, 5]


def test_an_adjudicator_who_only_looked_may_become_a_reviewer(store: Store) -> None:
    store.fill([], QueueSettings(11, overlap_fraction=1.0, repeat_fraction=0.0))
    ann, ben = invited(store, "Ann", "Ben")
    decide(store, ann, whole_queue(store, ann)[:4], "accept")
    decide(store, ben, whole_queue(store, ben), "reject")
    zoe = store.invite("Zoe", "adjudicator").reviewer.id
    store.serve(zoe, store.queue(zoe, 0, 1, "adjudication")[0].opaque)
    store.invite("Zoe", "reviewer")
    assert store.progress(zoe).total == 60
    yan = store.invite("Yan", "adjudicator").reviewer.id
    assert store.progress(yan, "adjudication").total == 4
