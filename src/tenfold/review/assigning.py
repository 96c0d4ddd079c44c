"""Queues brought to their plan in the database, a slice at a time, while reviewers go on judging."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from tenfold.review.counts import PLAN_VERSION, disputed, plan_version
from tenfold.review.queue import PlannedSlot, deal_disputed, opaque_id, plan_queue
from tenfold.review.records import QueueSettings

SLICE = 5000
"""Rows written in one transaction where nobody can see them yet."""

_NEW_SLOT = "INSERT INTO slot (opaque, reviewer_id, item_id, kind, position)"

_ADJUDICATED = """
    SELECT reviewer.name, item.plan_key FROM slot
    JOIN reviewer ON reviewer.id = slot.reviewer_id JOIN item ON item.id = slot.item_id
    WHERE slot.kind = 'adjudication'
"""

# Leads only where no adjudicator is invited.
_ADJUDICATORS = """
    SELECT id, name FROM reviewer WHERE revoked_at IS NULL AND role = CASE
        WHEN EXISTS (SELECT 1 FROM reviewer WHERE revoked_at IS NULL AND role = 'adjudicator') THEN 'adjudicator'
        ELSE 'lead' END
"""

NewSlot = tuple[str, int, int, str, int]
"""opaque, reviewer id, item id, kind, position."""


@dataclass(frozen=True)
class Change:
    """What leads from the present queues to the plan. `basis`: of which images, people and queues it was made.

    early: slots of people who have none yet, which may come before the others. gone: slot id and reviewer id of places
    that are not planned any more. moved: new position and slot id. ends: by reviewer id, the length of the queue.
    """

    basis: tuple[object, ...]
    early: tuple[NewSlot, ...]
    new: tuple[NewSlot, ...]
    gone: tuple[tuple[int, int], ...]
    moved: tuple[tuple[int, int], ...]
    ends: Mapping[int, int]

    @property
    def is_empty(self) -> bool:
        """Whether the queues are as planned."""
        return not (self.early or self.new or self.gone or self.moved)


def basis(connection: sqlite3.Connection, settings: QueueSettings) -> tuple[object, ...]:
    """What a plan depends on, but for what is shown meanwhile."""
    people = connection.execute("SELECT id, role, revoked_at IS NULL FROM reviewer ORDER BY id").fetchall()
    count = connection.execute("SELECT count(*), sum(id * is_current) FROM item").fetchone()
    return (settings, plan_version(connection), tuple(count), tuple(tuple(row) for row in people))


def draft(connection: sqlite3.Connection, settings: QueueSettings, secret: bytes) -> Change:
    """The change that the present images and reviewers ask for; what was seen stays where it is. Writes nothing."""
    rows = connection.execute("SELECT plan_key, id, is_current FROM item").fetchall()
    item_ids = {row["plan_key"]: row["id"] for row in rows}
    wanted = [row["plan_key"] for row in rows if row["is_current"]]
    reviewers = {
        row["name"]: row["id"]
        for row in connection.execute("SELECT name, id FROM reviewer WHERE role = 'reviewer' AND revoked_at IS NULL")
    }
    kept = {name: _seen(connection, reviewer_id) for name, reviewer_id in reviewers.items()}
    planned = plan_queue(wanted, list(reviewers), settings, kept, _decided_by_others(connection, reviewers.values()))
    early: list[NewSlot] = []
    new: list[NewSlot] = []
    gone = [(row["id"], row["reviewer_id"]) for row in connection.execute(
        "SELECT id, reviewer_id FROM slot WHERE kind <> 'adjudication' AND reviewer_id IN (SELECT id FROM reviewer "
        "WHERE role <> 'reviewer' OR revoked_at IS NOT NULL) AND id NOT IN (SELECT slot_id FROM served)"
    )]  # fmt: skip
    moved: list[tuple[int, int]] = []
    for name, slots in planned.items():
        reviewer_id = reviewers[name]
        present = _present(connection, reviewer_id)
        come = new if present else early
        for position, slot in enumerate(slots):
            item_id = item_ids[slot.image_id]
            number, before = present.pop((item_id, slot.kind), (None, position))
            if number is None:
                come.append((_opaque(secret, reviewer_id, slot), reviewer_id, item_id, slot.kind, position))
            elif before != position:
                moved.append((position, number))
        gone += [(number, reviewer_id) for number, _ in present.values()]
    # In the order of the opaque ids: the row numbers then tell nothing either.
    early.sort()
    new.sort()
    ends = {reviewers[name]: len(slots) for name, slots in planned.items()}
    return Change(basis(connection, settings), tuple(early), tuple(new), tuple(gone), tuple(moved), ends)


def slices(change: Change) -> Iterator[tuple[NewSlot, ...]]:
    """The early slots in parts for a transaction each."""
    rows = iter(change.early)
    while part := tuple(islice(rows, SLICE)):
        yield part


def add_slots(connection: sqlite3.Connection, slots: Sequence[NewSlot]) -> None:
    """Add slots; those that are there already stay."""
    connection.executemany(f"{_NEW_SLOT} VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", slots)


def apply(connection: sqlite3.Connection, change: Change) -> None:
    """Make the rest of a change, after its early slots. What was shown since it was drafted stays, at the end."""
    ends = dict(change.ends)
    served = {number for (number,) in connection.execute("SELECT slot_id FROM served")} if change.gone else set()
    shown = [one for one in change.gone if one[0] in served]
    connection.executemany("DELETE FROM slot WHERE id = ?", [one[:1] for one in change.gone if one[0] not in served])
    connection.executemany("UPDATE slot SET position = ? WHERE id = ?", change.moved)
    add_slots(connection, change.new)
    for number, reviewer_id in shown:
        if reviewer_id in ends:
            connection.execute("UPDATE slot SET position = ? WHERE id = ?", (ends[reviewer_id], number))
            ends[reviewer_id] += 1
    if not change.is_empty:
        connection.execute(
            "INSERT INTO meta (key, value) VALUES (?, '1') "
            "ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1",
            (PLAN_VERSION,),
        )


def plan_adjudication(connection: sqlite3.Connection, settings: QueueSettings, secret: bytes) -> int:
    """Give each disputed image that no active adjudicator has to one of them, or to a lead; the number given."""
    ends = dict(
        connection.execute("SELECT reviewer_id, count(*) FROM slot WHERE kind = 'adjudication' GROUP BY reviewer_id")
    )
    pairs = undealt(connection, settings)
    for image_id, reviewer_id in pairs:
        slot = PlannedSlot(image_id, "adjudication")
        connection.execute(
            f"{_NEW_SLOT} SELECT ?, ?, id, ?, ? FROM item WHERE plan_key = ?",
            (_opaque(secret, reviewer_id, slot), reviewer_id, slot.kind, ends.get(reviewer_id, 0), image_id),
        )
        ends[reviewer_id] = ends.get(reviewer_id, 0) + 1
    return len(pairs)


def undealt(connection: sqlite3.Connection, settings: QueueSettings) -> list[tuple[str, int]]:
    """Disputed images that no active adjudicator has yet, each with the reviewer id of the one who is to have it."""
    waiting = disputed(connection, "plan_key") if settings.has_adjudication else []
    if not waiting:
        return []
    adjudicators = {row["name"]: row["id"] for row in connection.execute(_ADJUDICATORS)}
    burden = dict.fromkeys(adjudicators, 0)
    given = set()
    for row in connection.execute(f"{_ADJUDICATED} AND reviewer.id IN (SELECT id FROM ({_ADJUDICATORS}))"):
        burden[row["name"]] += 1
        given.add(row["plan_key"])
    waiting = [image_id for image_id in waiting if image_id not in given]
    return [(image_id, adjudicators[name]) for image_id, name in deal_disputed(waiting, burden, settings.seed)]


def _present(connection: sqlite3.Connection, reviewer_id: int) -> dict[tuple[int, str], tuple[int | None, int]]:
    """By image and kind, a reviewer's slots: their ids and positions."""
    rows = connection.execute(
        "SELECT id, item_id, kind, position FROM slot WHERE reviewer_id = ? AND kind <> 'adjudication'", (reviewer_id,)
    )
    return {(item_id, kind): (number, position) for number, item_id, kind, position in rows}


def _seen(connection: sqlite3.Connection, reviewer_id: int) -> list[PlannedSlot]:
    rows = connection.execute(
        "SELECT item.plan_key, slot.kind FROM served JOIN slot ON slot.id = served.slot_id "
        "JOIN item ON item.id = slot.item_id WHERE slot.reviewer_id = ? AND slot.kind <> 'adjudication' "
        "ORDER BY slot.position",
        (reviewer_id,),
    )
    return [PlannedSlot(key, kind) for key, kind in rows]


def _decided_by_others(connection: sqlite3.Connection, active: Iterable[int]) -> set[str]:
    """Images that reviewers who have left decided."""
    rows = connection.execute(
        "SELECT item.plan_key, slot.reviewer_id FROM standing JOIN slot ON slot.id = standing.slot_id "
        "JOIN item ON item.id = slot.item_id WHERE slot.kind = 'first'"
    )
    present = set(active)
    return {key for key, reviewer_id in rows if reviewer_id not in present}


def _opaque(secret: bytes, reviewer_id: int, slot: PlannedSlot) -> str:
    return opaque_id(secret, "slot", str(reviewer_id), slot.image_id, slot.kind)
