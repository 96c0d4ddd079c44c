"""Decisions in the database: appended after checks, and read back with what stands after undo."""

from __future__ import annotations

import json
import math
import sqlite3
from datetime import datetime
from typing import Any

from tenfold.core.errors import DataError
from tenfold.review.records import Decision, Judgement, Saved
from tenfold.review.times import read_time, time_text

_LONGEST_SECONDS = 86_400.0
_LONGEST_CLIENT_TIME = 40

_JUDGEMENT = """
    SELECT decision.id AS number, decision.client_id, reviewer.name AS reviewer, reviewer.role, item.image_id,
        slot.kind, slot.position, decision.verdict, decision.reasons, decision.answers, decision.comment,
        decision.seconds, decision.client_time, decision.server_time, decision.undoes, item.sha256
    FROM {source}
    JOIN reviewer ON reviewer.id = slot.reviewer_id
"""
_ALL = "decision JOIN slot ON slot.id = decision.slot_id JOIN item ON item.id = slot.item_id"
_STANDING = (
    "standing JOIN decision ON decision.id = standing.decision_id JOIN slot ON slot.id = standing.slot_id "
    "JOIN item ON item.id = slot.item_id"
)
# CROSS: in this order. Otherwise SQLite walks through all that stands to meet the image's.
_OF_IMAGE = (
    "item CROSS JOIN slot ON slot.item_id = item.id CROSS JOIN standing ON standing.slot_id = slot.id "
    "CROSS JOIN decision ON decision.id = standing.decision_id"
)


def add(connection: sqlite3.Connection, reviewer_id: int, decision: Decision, now: datetime) -> Saved:
    """Append one within the caller's transaction; a repeated send of the same content changes nothing.

    Raises:
        DataError: the decision cannot be kept, whatever is done later.
    """
    reasons, answers = _as_text(decision)
    known = connection.execute(
        "SELECT decision.*, slot.opaque, slot.reviewer_id FROM decision JOIN slot ON slot.id = decision.slot_id "
        "WHERE client_id = ?",
        (decision.client_id,),
    ).fetchone()
    content = (decision.opaque, decision.verdict, reasons, answers, decision.comment, decision.undoes)
    if known is not None:
        fields = ("opaque", "verdict", "reasons", "answers", "comment", "undoes")
        if known["reviewer_id"] != reviewer_id or tuple(known[field] for field in fields) != content:
            raise DataError(
                "another decision was saved under this client_id",
                where=f"client_id {decision.client_id}",
                expected="a client_id of its own for every decision",
            )
        return Saved(decision.client_id, False, read_time(known["server_time"]), "none")
    slot = connection.execute(
        "SELECT slot.id, served.at, coalesce(standing.verdict, 'none') AS was FROM slot "
        "LEFT JOIN served ON served.slot_id = slot.id LEFT JOIN standing ON standing.slot_id = slot.id "
        "WHERE slot.opaque = ? AND slot.reviewer_id = ?",
        (decision.opaque, reviewer_id),
    ).fetchone()
    if slot is None or slot["at"] is None:
        raise DataError(
            "this image is not in your queue" if slot is None else "this image was not shown to you",
            where=f"slot {decision.opaque}",
            expected="a decision about an image that was shown",
            todo="Load the queue again.",
        )
    if decision.undoes is not None:
        _check_undo(connection, decision.undoes, slot["id"])
    connection.execute(
        "INSERT INTO decision (client_id, slot_id, verdict, reasons, answers, comment, undoes, seconds, client_time, "
        "server_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (decision.client_id, slot["id"], *content[1:], _seconds(decision), _client_time(decision), time_text(now)),
    )
    return Saved(decision.client_id, True, read_time(time_text(now)), slot["was"])


def all_decisions(connection: sqlite3.Connection) -> list[Judgement]:
    """Every decision, undone ones and undos too, in the order of arrival."""
    return _read(connection, _JUDGEMENT.format(source=_ALL) + " ORDER BY decision.id")


def standing_decisions(connection: sqlite3.Connection, image_id: str | None = None) -> list[Judgement]:
    """The decision that stands for each slot, in the order of arrival; of one image, or of all, as they are now."""
    if image_id is None:
        return _read(connection, _JUDGEMENT.format(source=_STANDING) + " WHERE item.is_current ORDER BY decision.id")
    text = _JUDGEMENT.format(source=_OF_IMAGE) + " WHERE item.image_id = ? AND item.is_current ORDER BY decision.id"
    return _read(connection, text, image_id)


def decided_since(connection: sqlite3.Connection, number: int) -> tuple[int, set[str]]:
    """The last decision's number, and the images of those after `number`."""
    rows = connection.execute(
        "SELECT decision.id, item.image_id FROM decision JOIN slot ON slot.id = decision.slot_id "
        "JOIN item ON item.id = slot.item_id WHERE decision.id > ?",
        (number,),
    ).fetchall()
    return max((row["id"] for row in rows), default=number), {row["image_id"] for row in rows}


def _as_text(decision: Decision) -> tuple[str, str]:
    """Reasons and answers as JSON, equal for equal content. DataError for what cannot be kept as text or JSON."""
    where = f"client_id {decision.client_id!r}"
    try:
        reasons = json.dumps(list(decision.reasons), ensure_ascii=False, allow_nan=False)
        answers = json.dumps(dict(decision.answers), ensure_ascii=False, allow_nan=False, sort_keys=True)
        given = (
            decision.client_id,
            decision.opaque,
            decision.comment,
            decision.client_time or "",
            decision.undoes or "",
        )
        for text in (reasons, answers, *given):
            text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"the decision cannot be stored: {error}", where=where, expected="plain text and JSON"
        ) from error
    if not decision.client_id or decision.verdict not in ("accept", "reject", "none"):
        raise DataError(
            f"the decision has the client_id {decision.client_id!r} and the verdict {decision.verdict!r}",
            where=where,
            expected="a client_id, and accept, reject or none",
        )
    if decision.undoes is not None and decision.verdict != "none":
        raise DataError("a decision that undoes another gives a verdict too", where=where, expected="the verdict none")
    return reasons, answers


def _check_undo(connection: sqlite3.Connection, undoes: str, slot_id: int) -> None:
    target = connection.execute(
        "SELECT given.undoes, later.id AS undone FROM decision AS given "
        "LEFT JOIN decision AS later ON later.undoes = given.client_id WHERE given.client_id = ? AND given.slot_id = ?",
        (undoes, slot_id),
    ).fetchone()
    if target is None:
        what = "there is no such decision about this image to take back"
    elif target["undoes"] is not None:
        what = "what was taken back cannot be taken back again: decide anew"
    elif target["undone"] is not None:
        what = "this decision was taken back already"
    else:
        return
    raise DataError(
        what, where=f"client_id {undoes}", expected="an own decision about the same image that still counts"
    )


def _seconds(decision: Decision) -> float | None:
    """None for a time that cannot be: a clock jumped, or a tablet slept."""
    seconds = decision.seconds
    return seconds if seconds is not None and math.isfinite(seconds) and 0 <= seconds <= _LONGEST_SECONDS else None


def _client_time(decision: Decision) -> str | None:
    return decision.client_time if decision.client_time and len(decision.client_time) <= _LONGEST_CLIENT_TIME else None


def _read(connection: sqlite3.Connection, text: str, *values: Any) -> list[Judgement]:
    return [_judgement(row) for row in connection.execute(text, values)]


def _judgement(row: sqlite3.Row) -> Judgement:
    fields = dict(row)
    fields["reasons"] = tuple(json.loads(row["reasons"]))
    fields["answers"] = json.loads(row["answers"])
    fields["server_time"] = read_time(row["server_time"])
    return Judgement(**fields)
