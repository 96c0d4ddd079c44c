"""How far each reviewer is and what is disputed: counts that triggers keep, read at once or made anew."""

from __future__ import annotations

import sqlite3

from tenfold.review.records import Progress, Queue

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


def disputed(connection: sqlite3.Connection) -> list[str]:
    """Images that wait for an adjudicator's word: first judgements differ, and no adjudicator's stands."""
    rows = connection.execute(
        "SELECT image_id FROM item WHERE id IN (SELECT item_id FROM opinion "
        "WHERE accepted > 0 AND rejected > 0 AND words = 0) ORDER BY image_id"
    )
    return [row["image_id"] for row in rows]


def agree(connection: sqlite3.Connection) -> bool:
    """Whether the counts' sums are those of the rows that they follow from."""
    return bool(connection.execute(_SUMS).fetchone()[0])


def rebuild(connection: sqlite3.Connection) -> None:
    """Make all that follows from slots, faults and decisions anew."""
    for statement in _REBUILD:
        connection.execute(statement)
