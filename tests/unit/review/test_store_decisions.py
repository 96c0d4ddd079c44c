"""Decisions in the store: appended, never changed, taken back by another, harmless when sent twice."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.review.records import Decision, Slot
from tenfold.review.store import Store
from tests.review_store import Clock, decide, invited, make_store, whole_queue


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with make_store(tmp_path, clock=clock) as made:
        yield made


@pytest.fixture
def ann(store: Store) -> int:
    return invited(store, "Ann")[0]


@pytest.fixture
def slot(store: Store, ann: int) -> Slot:
    """Ann's first image, which she was shown."""
    first = store.queue(ann, 0, 1)[0]
    store.serve(ann, first.opaque)
    return first


def test_a_decision_stands_with_all_that_was_said(store: Store, ann: int, slot: Slot, clock: Clock) -> None:
    given = Decision(
        "c1", slot.opaque, "reject", ("blur", "other"), {"realism": 2, "accurate": False}, "Größe?", 3.25, "10:00"
    )
    saved = store.add_decision(ann, given)
    assert (saved.is_new, saved.was, saved.server_time) == (True, "none", clock.now)
    [judgement] = store.latest()
    assert judgement.reviewer == "Ann" and judgement.kind == "first" and judgement.server_time == clock.now
    for field in ("client_id", "verdict", "reasons", "answers", "comment", "seconds", "client_time"):
        assert getattr(judgement, field) == getattr(given, field)
    shown = store.slot(ann, slot.opaque)
    assert (shown.verdict, shown.client_id, shown.comment) == ("reject", "c1", "Größe?")
    assert store.progress(ann).n_rejected == 1


def test_the_same_send_again_changes_nothing(store: Store, ann: int, slot: Slot, clock: Clock) -> None:
    given = Decision("c1", slot.opaque, "accept", answers={"a": 1, "b": 2})
    first = store.add_decision(ann, given)
    clock.jump(minutes=1)
    again = store.add_decision(ann, replace(given, answers={"b": 2, "a": 1}, seconds=9.0))
    assert not again.is_new and again.server_time == first.server_time
    assert len(store.decisions()) == 1


def test_a_client_id_never_stands_for_two_decisions(store: Store, slot: Slot, ann: int) -> None:
    store.add_decision(ann, Decision("c1", slot.opaque, "accept"))
    with pytest.raises(DataError, match="another decision was saved under this client_id"):
        store.add_decision(ann, Decision("c1", slot.opaque, "reject"))
    [ben] = invited(store, "Ben")
    other = store.queue(ben, 0, 1)[0]
    store.serve(ben, other.opaque)
    with pytest.raises(DataError, match="another decision"):
        store.add_decision(ben, Decision("c1", other.opaque, "accept"))
    assert [judgement.verdict for judgement in store.decisions()] == ["accept"]


def test_undo_brings_back_what_stood_before(store: Store, ann: int, slot: Slot) -> None:
    store.add_decision(ann, Decision("c1", slot.opaque, "accept"))
    assert store.add_decision(ann, Decision("c2", slot.opaque, "reject")).was == "accept"
    assert store.add_decision(ann, Decision("c3", slot.opaque, "none", undoes="c2")).was == "reject"
    assert [judgement.client_id for judgement in store.latest()] == ["c1"]
    store.add_decision(ann, Decision("c4", slot.opaque, "none", undoes="c1"))
    assert store.latest() == [] and store.slot(ann, slot.opaque).verdict == "none"
    assert store.progress(ann).n_decided == 0
    store.add_decision(ann, Decision("c5", slot.opaque, "reject"))
    assert [judgement.verdict for judgement in store.latest()] == ["reject"]
    assert [judgement.undoes for judgement in store.decisions()] == [None, None, "c2", "c1", None]


def test_words_without_a_verdict_leave_the_verdict(store: Store, ann: int, slot: Slot) -> None:
    store.add_decision(ann, Decision("c1", slot.opaque, "accept"))
    store.add_decision(ann, Decision("c2", slot.opaque, "none", comment="later"))
    assert store.slot(ann, slot.opaque).verdict == "accept"
    assert [judgement.comment for judgement in store.decisions()] == ["", "later"]


def test_undo_takes_back_one_own_decision_about_the_same_image_once(store: Store, ann: int, slot: Slot) -> None:
    second = store.queue(ann, 1, 1)[0]
    store.serve(ann, second.opaque)
    store.add_decision(ann, Decision("c1", slot.opaque, "accept"))
    with pytest.raises(DataError, match="no such decision about this image"):
        store.add_decision(ann, Decision("u1", second.opaque, "none", undoes="c1"))
    store.add_decision(ann, Decision("u2", slot.opaque, "none", undoes="c1"))
    with pytest.raises(DataError, match="taken back already"):
        store.add_decision(ann, Decision("u3", slot.opaque, "none", undoes="c1"))
    with pytest.raises(DataError, match="cannot be taken back again"):
        store.add_decision(ann, Decision("u4", slot.opaque, "none", undoes="u2"))
    with pytest.raises(DataError, match="gives a verdict too"):
        store.add_decision(ann, Decision("u5", slot.opaque, "accept", undoes="c1"))


def test_an_image_that_was_not_shown_cannot_be_decided(store: Store, ann: int) -> None:
    first = store.queue(ann, 0, 1)[0]
    with pytest.raises(DataError, match="was not shown to you"):
        store.add_decision(ann, Decision("c1", first.opaque, "accept"))
    [ben] = invited(store, "Ben")
    with pytest.raises(DataError, match="not in your queue"):
        store.serve(ben, first.opaque)
    store.serve(ann, first.opaque)
    for stranger, opaque in ((ben, first.opaque), (ann, "0" * 32), (ann, "../../etc/passwd")):
        with pytest.raises(DataError, match="not in your queue"):
            store.add_decision(stranger, Decision("c1", opaque, "accept"))
    assert store.decisions() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"answers": {"realism": math.nan}},
        {"answers": {"realism": object()}},
        {"comment": "\ud800"},
        {"reasons": ("\udfff",)},
        {"client_id": ""},
        {"verdict": "maybe"},
    ],
)
def test_what_cannot_be_stored_holds_up_nobody_else(
    store: Store, ann: int, slot: Slot, wrong: dict[str, object]
) -> None:
    bad = replace(Decision("c1", slot.opaque, "accept"), **wrong)  # type: ignore[arg-type]
    results = store.add_decisions([(ann, bad), (ann, Decision("c2", slot.opaque, "accept"))])
    assert isinstance(results[0], DataError)
    assert [judgement.client_id for judgement in store.decisions()] == ["c2"]


def test_a_batch_of_several_reviewers_keeps_its_order(store: Store, ann: int) -> None:
    [ben] = invited(store, "Ben")
    pairs = [(who, store.queue(who, 0, 1)[0].opaque) for who in (ann, ben)]
    store.mark_served(pairs)
    store.add_decisions(
        [(who, Decision(f"c{who}-{turn}", opaque, "accept")) for turn in (0, 1) for who, opaque in pairs]
    )
    assert [judgement.reviewer for judgement in store.decisions()] == ["Ann", "Ben", "Ann", "Ben"]
    assert [judgement.number for judgement in store.decisions()] == [1, 2, 3, 4]


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf, 1e9])
def test_a_time_that_cannot_be_is_unknown_and_loses_no_judgement(
    store: Store, ann: int, slot: Slot, seconds: float
) -> None:
    store.add_decision(ann, Decision("c1", slot.opaque, "accept", seconds=seconds, client_time="9" * 500))
    [judgement] = store.latest()
    assert judgement.seconds is None and judgement.client_time is None and judgement.verdict == "accept"


def test_a_clock_that_jumps_back_does_not_turn_the_order(store: Store, ann: int, slot: Slot, clock: Clock) -> None:
    store.add_decision(ann, Decision("c1", slot.opaque, "accept", client_time="2031-01-01T00:00:00Z"))
    clock.jump(days=-400)
    store.add_decision(ann, Decision("c2", slot.opaque, "reject", client_time="1999-01-01T00:00:00Z"))
    assert [judgement.client_id for judgement in store.latest()] == ["c2"]
    assert [judgement.client_id for judgement in store.decisions()] == ["c1", "c2"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decision SET verdict = 'reject'",
        "DELETE FROM decision",
        "INSERT OR REPLACE INTO decision SELECT id, client_id, slot_id, 'reject', reasons, answers, comment, seconds, "
        "client_time, server_time, undoes FROM decision",
        "REPLACE INTO decision (client_id, slot_id, verdict, reasons, answers, comment, server_time) "
        "SELECT client_id, slot_id, 'reject', '[]', '{}', '', '' FROM decision",
        "INSERT INTO decision (client_id, slot_id, verdict, reasons, answers, comment, server_time) "
        "SELECT client_id, slot_id, 'reject', '[]', '{}', '', '' FROM decision WHERE true "
        "ON CONFLICT (client_id) DO UPDATE SET verdict = 'reject'",
        "UPDATE served SET at = ''",
        "DELETE FROM served",
        "UPDATE slot SET item_id = 1 + item_id % 2",
        "UPDATE item SET sha256 = ''",
    ],
)
def test_the_file_itself_forbids_changes(store: Store, ann: int, slot: Slot, statement: str) -> None:
    """By any program: a connection without any of the store's settings."""
    store.add_decision(ann, Decision("c1", slot.opaque, "accept"))
    before = store.decisions()
    with sqlite3.connect(store.path) as connection, pytest.raises(sqlite3.IntegrityError, match="never"):
        connection.execute(statement)
    connection.close()
    assert store.decisions() == before


def test_threads_write_at_once_and_nothing_is_lost(store: Store, ann: int) -> None:
    slots = whole_queue(store, ann)
    faults: list[Exception] = []

    def work(part: list[Slot]) -> None:
        try:
            decide(store, ann, part)
            store.progress(ann)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(slots[number::6],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert store.progress(ann).n_decided == len(slots) == len({judgement.client_id for judgement in store.decisions()})


def test_faulty_images_are_told_and_passed_over(store: Store, ann: int, slot: Slot) -> None:
    image_id = store.find_slot(slot.opaque).item.image_id
    store.report_fault(image_id, "the file is gone")
    store.report_fault(image_id, "again")
    assert [(fault.image_id, fault.what) for fault in store.faults()] == [(image_id, "the file is gone")]
    progress = store.progress(ann)
    # A repeat of the image is faulty too.
    assert progress.n_faulty >= 1 and progress.next_position == 1
    assert progress.n_open == progress.total - progress.n_faulty
    assert store.slot(ann, slot.opaque).is_faulty
