"""How far each reviewer is and what is disputed: counts that triggers keep, read at once or made anew."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import Literal

from tenfold.review.records import Progress, Queue, Reviewer, Share

PLAN_VERSION = "plan_version"
"""Of `meta`: grows whenever queues were planned anew."""

_PROGRESS = f"""
    SELECT total, accepted, rejected, faulty,
        (SELECT position FROM slot WHERE reviewer_id = :reviewer AND (kind = 'adjudication') = :adjudication AND is_open
            ORDER BY position LIMIT 1) AS next_position,
        (SELECT value FROM meta WHERE key = '{PLAN_VERSION}') AS plan_version
    FROM tally WHERE reviewer_id = :reviewer AND is_adjudication = :adjudication
"""

# A sum for each derived table beside the rows it follows from: an index each, no search.
_SUMS = """
    SELECT (SELECT coalesce(sum(total), 0) FROM tally) = (SELECT count(*) FROM slot)
        AND (SELECT coalesce(sum(accepted + rejected), 0) FROM tally) = (SELECT count(*) FROM standing)
        AND (SELECT count(*) FROM slot WHERE is_open)
            = (SELECT coalesce(sum(total - accepted - rejected - faulty), 0) FROM tally)
"""

# The trigger of `standing` counts what is put there: `tally` and `opinion` then follow by themselves.
_REBUILD = (
    "DELETE FROM standing",
    "DELETE FROM tally",
    "DELETE FROM opinion",
    "UPDATE slot SET is_open = NOT EXISTS (SELECT 1 FROM fault WHERE fault.item_id = slot.item_id)",
    "INSERT INTO tally SELECT reviewer_id, kind = 'adjudication', count(*), 0, 0, sum(NOT is_open) "
    "FROM slot GROUP BY 1, 2",
    "INSERT INTO standing (slot_id, verdict, decision_id) "
    "SELECT given.slot_id, given.verdict, given.id FROM decision AS given WHERE given.id = ("
    "SELECT max(own.id) FROM decision AS own WHERE own.slot_id = given.slot_id AND own.verdict <> 'none' "
    "AND NOT EXISTS (SELECT 1 FROM decision AS later WHERE later.undoes = own.client_id))",
)


def progress(connection: sqlite3.Connection, reviewer_id: int, queue: Queue) -> Progress:
    """How far a reviewer is: one row, and the first open slot of an index."""
    which = {"reviewer": reviewer_id, "adjudication": int(queue == "adjudication")}
    row = connection.execute(_PROGRESS, which).fetchone()
    if row is None:
        return Progress(0, 0, 0, 0, None, plan_version(connection))
    return Progress(
        total=row["total"],
        n_accepted=row["accepted"],
        n_rejected=row["rejected"],
        n_faulty=row["faulty"],
        next_position=row["next_position"],
        plan_version=int(row["plan_version"] or 0),
    )


def plan_version(connection: sqlite3.Connection) -> int:
    """How often queues were planned."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (PLAN_VERSION,)).fetchone()
    return int(row["value"]) if row else 0


def disputed(connection: sqlite3.Connection, name: Literal["image_id", "plan_key"] = "image_id") -> list[str]:
    """Synthetic images that wait for an adjudicator's word: first judgements differ, and no adjudicator's stands."""
    rows = connection.execute(
        f"SELECT {name} AS name FROM item WHERE is_current AND source = 'synthetic' AND id IN (SELECT item_id "
        "FROM opinion WHERE accepted > 0 AND rejected > 0 AND words = 0) ORDER BY 1"
    )
    return [row["name"] for row in rows]


def rejected_before(connection: sqlite3.Connection) -> set[str]:
    """Images of which somebody rejected what was drawn before."""
    rows = connection.execute(
        "SELECT image_id FROM item JOIN opinion ON opinion.item_id = item.id WHERE NOT is_current AND rejected > 0"
    )
    return {row["image_id"] for row in rows}


def shares(
    connection: sqlite3.Connection, people: Iterable[Reviewer], image_ids: Collection[str] | None
) -> list[Share]:
    """What each person has of these images, None: of all; adjudication apart."""
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for row in connection.execute(
        "SELECT slot.reviewer_id, item.image_id, slot.is_open, standing.slot_id IS NOT NULL AS is_decided FROM slot "
        "JOIN item ON item.id = slot.item_id LEFT JOIN standing ON standing.slot_id = slot.id "
        "WHERE slot.kind <> 'adjudication' AND item.is_current"
    ):
        if image_ids is None or row["image_id"] in image_ids:
            state = "decided" if row["is_decided"] else "open" if row["is_open"] else "faulty"
            found[row["reviewer_id"]][state] += 1
    left = dict(connection.execute("SELECT id, open_when_revoked FROM reviewer").fetchall())
    return [
        Share(one, own.total(), own["decided"], own["faulty"], own["open"], taken_away=left[one.id] or 0)
        for one in people
        for own in (found[one.id],)
    ]


def agree(connection: sqlite3.Connection) -> bool:
    """Whether the counts' sums are those of the rows that they follow from."""
    return bool(connection.execute(_SUMS).fetchone()[0])


def rebuild(connection: sqlite3.Connection) -> None:
    """Make all that follows from slots, faults and decisions anew."""
    for statement in _REBUILD:
        connection.execute(statement)
