"""Counts kept by triggers: after any sequence of events they are what follows from slots, faults and decisions."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.review import counts
from tenfold.review.records import Decision, Judgement, Progress, Queue, QueueSettings, Slot, Verdict
from tenfold.review.store import Store
from tests.review_store import invited, make_items, make_store, whole_queue

_EVERYONE = QueueSettings(seed=4, overlap_fraction=0.6, repeat_fraction=0.2)


def _whole(store: Store, reviewer_id: int, queue: Queue) -> list[Slot]:
    return store.queue(reviewer_id, 0, 10_000, queue)


def _followed(store: Store, reviewer_id: int, queue: Queue) -> Progress:
    """A reviewer's progress, counted place by place from the decisions that stand."""
    verdicts = _standing(store)
    said = [verdicts.get(slot.opaque, "none") for slot in _whole(store, reviewer_id, queue)]
    faulty = [slot.is_faulty for slot in _whole(store, reviewer_id, queue)]
    is_open = [one == "none" and not bad for one, bad in zip(said, faulty, strict=True)]
    return Progress(
        total=len(said), n_accepted=said.count("accept"), n_rejected=said.count("reject"),
        n_faulty=sum(one == "none" and bad for one, bad in zip(said, faulty, strict=True)),
        next_position=is_open.index(True) if any(is_open) else None,
        plan_version=store.progress(reviewer_id, queue).plan_version,
    )  # fmt: skip


def _standing(store: Store) -> dict[str, Verdict]:
    """By slot, the last verdict that was not taken back: from all decisions, as a reader of the table would."""
    slots = _rows(store, "SELECT decision.client_id, slot.opaque FROM decision JOIN slot ON slot.id = slot_id")
    opaque = {row["client_id"]: row["opaque"] for row in slots}
    made = store.decisions()
    undone = {one.undoes for one in made}
    return {opaque[one.client_id]: one.verdict for one in made if one.verdict != "none" and one.client_id not in undone}


def _rows(store: Store, text: str) -> list[dict[str, Any]]:
    with store._database.reading() as connection:
        return [dict(row) for row in connection.execute(text)]


def _disputed(judgements: list[Judgement]) -> list[str]:
    by_image: dict[str, set[str]] = {}
    words = {one.image_id for one in judgements if one.kind == "adjudication"}
    for one in judgements:
        if one.kind == "first":
            by_image.setdefault(one.image_id, set()).add(one.verdict)
    differing = (key for key, said in by_image.items() if len(said) > 1 and key not in words)
    return sorted(key for key in differing if int(key, 16) % 5)  # real images are nobody's to settle


def _check(store: Store) -> None:
    for person in store.reviewers():
        for queue in ("queue", "adjudication"):
            if person.state != "revoked":
                assert store.progress(person.id, queue) == _followed(store, person.id, queue)
    assert store.disputed() == _disputed(store.latest())
    by_image = {image_id: store.latest(image_id) for image_id in {one.image_id for one in store.latest()}}
    assert sorted(one.number for said in by_image.values() for one in said) == [one.number for one in store.latest()]
    with store._database.reading() as connection:
        assert counts.agree(connection)


def _derived(store: Store) -> list[list[dict[str, Any]]]:
    return [
        _rows(store, "SELECT * FROM standing ORDER BY slot_id"),
        _rows(store, "SELECT * FROM tally WHERE total > 0 ORDER BY 1, 2"),
        _rows(store, "SELECT * FROM opinion WHERE accepted + rejected + words > 0 ORDER BY item_id"),
        _rows(store, "SELECT id, is_open FROM slot ORDER BY id"),
    ]


class _Chance:
    """Events drawn at random; each is tried, and may be refused."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.random = np.random.default_rng(seed)
        self.people = invited(store, "ann", "ben")
        self.people.append(store.invite("cem", "adjudicator").reviewer.id)
        self.sent: list[tuple[int, Decision]] = []

    def happen(self) -> None:
        event = self.random.choice(["decide", "undo", "remark", "again", "fault", "plan", "invite", "more", "revoke",
                                    "heal", "anew"],
                                   p=[0.48, 0.14, 0.06, 0.06, 0.04, 0.1, 0.02, 0.02, 0.02, 0.03, 0.03])  # fmt: skip
        getattr(self, f"_{event}")()

    def _decide(self) -> None:
        who = int(self.random.choice(self.people))
        slots = [*_whole(self.store, who, "queue"), *_whole(self.store, who, "adjudication")]
        for number in self.random.integers(0, max(1, len(slots)), size=3).tolist() if slots else ():
            self.store.mark_served([(who, slots[number].opaque)])
            verdict: Verdict = "accept" if self.random.random() < 0.6 else "reject"
            self._send(who, Decision(f"client-{len(self.sent)}", slots[number].opaque, verdict))

    def _undo(self) -> None:
        if self.sent:
            who, one = self.sent[int(self.random.integers(len(self.sent)))]
            self._send(who, Decision(f"client-{len(self.sent)}", one.opaque, "none", undoes=one.client_id))

    def _remark(self) -> None:
        if self.sent:
            who, one = self.sent[int(self.random.integers(len(self.sent)))]
            self._send(who, Decision(f"client-{len(self.sent)}", one.opaque, "none", comment="blurred"))

    def _again(self) -> None:
        if self.sent:
            self._send(*self.sent[int(self.random.integers(len(self.sent)))], is_new=False)

    def _fault(self) -> None:
        self.store.report_fault(f"{int(self.random.integers(40)):016x}", "gone")

    def _heal(self) -> None:
        faults = self.store.faults()
        self.store.end_faults([one.image_id for one in faults[: int(self.random.integers(1, 4))]])

    def _anew(self) -> None:
        number = int(self.random.integers(40))
        [item] = make_items(1, number)
        bytes_now = f"{int(self.random.integers(2)) * 1000 + number:064x}"  # as before, or others
        self.store.fill([replace(item, sha256=bytes_now)], _EVERYONE)

    def _plan(self) -> None:
        self.store.plan_adjudication()

    def _invite(self) -> None:
        self.people.append(self.store.invite(f"guest {len(self.people)}").reviewer.id)

    def _more(self) -> None:
        start = int(self.random.integers(40, 60))
        self.store.fill(make_items(3, start), _EVERYONE)

    def _revoke(self) -> None:
        self.store.revoke(str(self.random.choice(["ben", "cem"])))

    def _send(self, who: int, one: Decision, *, is_new: bool = True) -> None:
        try:
            self.store.add_decision(who, one)
        except DataError:
            return
        if is_new:
            self.sent.append((who, one))


@pytest.mark.parametrize("seed", range(6))
def test_counts_follow_from_the_decisions_after_any_events(tmp_path: Path, seed: int) -> None:
    with make_store(tmp_path, 40, _EVERYONE) as store:
        chance = _Chance(store, seed)
        for number in range(150):
            chance.happen()
            if number % 25 == 24:
                _check(store)
        assert chance.sent
        kept = _derived(store)
        with store._database.writing() as connection:
            counts.rebuild(connection)
        assert _derived(store) == kept, "made anew, they are the same"


def test_two_tabs_and_two_programs_at_once_are_counted_once(tmp_path: Path) -> None:
    with make_store(tmp_path, 60, _EVERYONE) as store:
        ann, ben = invited(store, "ann", "ben")
        slots = {who: whole_queue(store, who) for who in (ann, ben)}
        store.mark_served([(who, slot.opaque) for who, own in slots.items() for slot in own])

        def tab(who: int, name: str, verdict: Verdict) -> None:
            with Store.open(store.path) as own:
                for slot in slots[who]:
                    own.add_decision(who, Decision(f"{name}-{slot.opaque}", slot.opaque, verdict))
                    own.add_decision(who, Decision(f"{name}-{slot.opaque}", slot.opaque, verdict))

        people = [(ann, "one", "accept"), (ann, "two", "reject"), (ben, "one-ben", "reject")]
        threads = [threading.Thread(target=tab, args=one) for one in people]
        for thread in threads:
            thread.start()
        for number in range(5):
            store.report_fault(f"{number:016x}", "gone")
        for thread in threads:
            thread.join()
        _check(store)
        assert store.progress(ann).n_decided == len(slots[ann])


def test_counts_that_were_tampered_with_are_made_anew(tmp_path: Path) -> None:
    with make_store(tmp_path, 40, _EVERYONE) as store:
        (ann,) = invited(store, "ann")
        slots = whole_queue(store, ann)[:9]
        store.mark_served([(ann, slot.opaque) for slot in slots])
        store.add_decisions([(ann, Decision(f"client-{slot.opaque}", slot.opaque, "accept")) for slot in slots])
        kept = _derived(store)
        with store._database.writing() as connection:
            connection.execute("UPDATE tally SET accepted = accepted + 1")
            connection.execute("UPDATE slot SET is_open = 1")
    with Store.open(store.path) as again:
        assert _derived(again) == kept
        assert again.progress(ann).n_accepted == 9


def test_a_plan_that_was_broken_off_is_made_when_the_store_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_store(tmp_path, 40, _EVERYONE) as store:
        invited(store, "ann")
        monkeypatch.setattr(Store, "_plan", lambda _self: None)
        ben = store.invite("ben").reviewer.id
        assert store.progress(ben).total == 0
        monkeypatch.undo()
    with Store.open(store.path) as again:
        assert again.progress(ben).total > 0
        _check(again)


def test_what_is_shown_while_queues_are_planned_stays_with_its_reviewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenfold.review import assigning

    settings = QueueSettings(seed=4, overlap_fraction=0.0, repeat_fraction=0.0)
    with make_store(tmp_path, 40, settings) as store:
        (ann,) = invited(store, "ann")
        before = whole_queue(store, ann)
        draft = assigning.draft

        def slow(*given: Any) -> assigning.Change:
            change = draft(*given)
            store.mark_served([(ann, slot.opaque) for slot in before])
            return change

        monkeypatch.setattr(assigning, "draft", slow)
        ben = store.invite("ben").reviewer.id
        after = whole_queue(store, ann)
        assert {slot.opaque for slot in after} == {slot.opaque for slot in before}, "nothing shown is taken away"
        assert [slot.position for slot in after] == list(range(40))
        assert store.progress(ben).total == 20
        _check(store)
