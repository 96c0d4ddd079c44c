"""Links and sessions: told once, kept as hashes, expiring, revocable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.review.records import Role
from tenfold.review.store import Store
from tests.review_store import Clock, decide, make_store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with make_store(tmp_path, 10, clock=clock) as made:
        yield made


def test_a_link_and_a_session_lead_to_their_reviewer(store: Store) -> None:
    ann, ben = store.invite("Ann"), store.invite("Ben", "lead", days=1)
    assert store.reviewer_by_token(ann.token) == ann.reviewer
    assert store.reviewer_by_session(store.begin_session(ben.reviewer.id)) == ben.reviewer
    assert (ben.reviewer.role, ben.reviewer.state) == ("lead", "active")
    assert [reviewer.name for reviewer in store.reviewers()] == ["Ann", "Ben"]


def test_secrets_are_not_in_the_file(store: Store) -> None:
    invitation = store.invite("Ann")
    session = store.begin_session(invitation.reviewer.id)
    store.close()
    content = store.path.read_bytes()
    assert invitation.token.encode() not in content and session.encode() not in content


@pytest.mark.parametrize("token", ["", "x", "\ud800", "' OR 1=1 --", "0" * 100_000])
def test_wrong_tokens_and_sessions_are_refused(store: Store, token: str) -> None:
    store.invite("Ann")
    with pytest.raises(DataError, match="this link is not known"):
        store.reviewer_by_token(token)
    with pytest.raises(DataError, match="this session is not known"):
        store.reviewer_by_session(token)
    store.end_session(token)
    with pytest.raises(DataError, match="no such reviewer"):
        store.begin_session(99)


def test_a_link_expires_and_its_sessions_with_it(store: Store, clock: Clock) -> None:
    invitation = store.invite("Ann", days=2)
    session = store.begin_session(invitation.reviewer.id, hours=1000)
    clock.jump(days=1.9)
    assert store.reviewer_by_session(session).name == "Ann"
    clock.jump(days=0.2)
    with pytest.raises(DataError, match="this link has expired on 2025-03-03"):
        store.reviewer_by_token(invitation.token)
    with pytest.raises(DataError, match="this link has expired"):
        store.reviewer_by_session(session)
    with pytest.raises(DataError, match="this link has expired"):
        store.begin_session(invitation.reviewer.id)
    assert [reviewer.state for reviewer in store.reviewers()] == ["expired"]


def test_a_session_ends_after_its_hours_or_when_told(store: Store, clock: Clock) -> None:
    ann = store.invite("Ann").reviewer
    short, long = store.begin_session(ann.id, hours=1), store.begin_session(ann.id, hours=20)
    clock.jump(hours=2)
    with pytest.raises(DataError, match="this session has ended"):
        store.reviewer_by_session(short)
    assert store.reviewer_by_session(long).name == "Ann"
    store.end_session(long)
    with pytest.raises(DataError, match="this session has ended"):
        store.reviewer_by_session(long)


def test_revoking_ends_link_and_sessions_and_keeps_decisions(store: Store) -> None:
    invitation = store.invite("Ann")
    ann = invitation.reviewer.id
    session = store.begin_session(ann)
    decide(store, ann, store.queue(ann, 0, 3))
    assert store.revoke("ann").state == "revoked"
    with pytest.raises(DataError, match="this link was revoked"):
        store.reviewer_by_token(invitation.token)
    with pytest.raises(DataError, match="this link was revoked"):
        store.reviewer_by_session(session)
    assert len(store.latest()) == 3
    with pytest.raises(DataError, match="nobody named 'Eve' was invited") as caught:
        store.revoke("Eve")
    assert caught.value.expected == "Ann"


def test_a_new_link_ends_the_old_one_and_brings_a_revoked_reviewer_back(store: Store) -> None:
    old = store.invite("Ann")
    session = store.begin_session(old.reviewer.id)
    decide(store, old.reviewer.id, store.queue(old.reviewer.id, 0, 2))
    store.revoke("Ann")
    new = store.invite(" ann ")
    assert (new.reviewer.id, new.reviewer.name, new.reviewer.state) == (old.reviewer.id, "Ann", "active")
    assert store.progress(new.reviewer.id).n_decided == 2
    session = store.begin_session(new.reviewer.id)
    assert store.invite("Ann").token != new.token
    with pytest.raises(DataError, match="this link is not known"):
        store.reviewer_by_token(new.token)
    for refused in (lambda: store.reviewer_by_token(old.token), lambda: store.reviewer_by_session(session)):
        with pytest.raises(DataError):
            refused()


def test_who_decided_blinded_does_not_become_unblinded(store: Store) -> None:
    ann = store.invite("Ann").reviewer
    assert store.invite("Ann", "lead").reviewer.role == "lead"  # nothing was decided yet
    store.invite("Ann", "reviewer")
    decide(store, ann.id, store.queue(ann.id, 0, 1))
    with pytest.raises(DataError, match="Ann has decided as reviewer and cannot become lead"):
        store.invite("Ann", "lead")
    assert store.invite("Ann").reviewer.role == "reviewer"


@pytest.mark.parametrize("role", ["lead", "adjudicator"])
def test_who_was_here_unblinded_becomes_no_reviewer(store: Store, role: Role) -> None:
    lena = store.invite("Lena", role).reviewer
    assert store.invite("Lena", "reviewer").reviewer.role == "reviewer"  # the link was never opened
    store.invite("Lena", role)
    store.begin_session(lena.id)
    with pytest.raises(DataError, match=f"has been here as {role}"):
        store.invite("Lena", "reviewer")


def test_the_order_of_opinions_names_nobody(store: Store, tmp_path: Path) -> None:
    """Whoever knows the names and a slot's id, but not the store's secret, cannot calculate it."""
    names, slots = ["Ann", "Bob"], [f"{number:032x}" for number in range(40)]
    with Store.open_or_create(tmp_path / "other.sqlite") as other:
        orders = [
            [sorted(names, key=lambda name: one.blind_place(slot, name)) for slot in slots] for one in (store, other)
        ]
    assert orders[0] != orders[1]
    assert {order[0] for order in orders[0]} == {"Ann", "Bob"}


@pytest.mark.parametrize(
    ("name", "days"), [("", 1), ("  ", 1), ("a\nb", 1), ("a" * 101, 1), ("Ann", 0), ("Ann", -1), ("Ann", float("nan"))]
)
def test_names_and_durations_that_are_none_are_refused(store: Store, name: str, days: float) -> None:
    with pytest.raises(DataError):
        store.invite(name, days=days)
    assert store.reviewers() == []
