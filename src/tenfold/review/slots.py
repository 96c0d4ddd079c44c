"""Images and queues in the database: added, read in windows, looked up, and noted as shown."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime

from tenfold.core.errors import DataError
from tenfold.review.queue import opaque_id
from tenfold.review.records import ImageFault, Item, Queue, ServedImage, Slot
from tenfold.review.times import read_time, time_text

ANEW = "drawn anew with other bytes since it was put before the reviewers"
_ITEM_FIELDS = tuple(Item.__dataclass_fields__)
_ITEM_COLUMNS = ", ".join(f'item."{field}"' for field in _ITEM_FIELDS)

_SLOT = """
    SELECT slot.opaque, slot.position, slot.kind, coalesce(standing.verdict, 'none') AS verdict, decision.client_id,
        coalesce(decision.reasons, '[]') AS reasons, coalesce(decision.answers, '{}') AS answers,
        coalesce(decision.comment, '') AS comment, fault.item_id IS NOT NULL AS is_faulty, item.label
    FROM slot
    JOIN item ON item.id = slot.item_id
    LEFT JOIN standing ON standing.slot_id = slot.id
    LEFT JOIN decision ON decision.id = standing.decision_id
    LEFT JOIN fault ON fault.item_id = slot.item_id
"""

_IN_QUEUE = "slot.reviewer_id = :reviewer AND (slot.kind = 'adjudication') = :adjudication"


def add_items(connection: sqlite3.Connection, items: Iterable[Item], secret: bytes, now: datetime) -> int:
    """Add the images that are not there yet; the number added. One with other bytes takes the place of the former."""
    marks = ", ".join("?" for _ in range(len(_ITEM_FIELDS) + 2))
    columns = ", ".join(f'"{field}"' for field in _ITEM_FIELDS)
    added = 0
    for item in items:
        row = connection.execute(
            "SELECT id, sha256 FROM item WHERE image_id = ? AND is_current", (item.image_id,)
        ).fetchone()
        if row is not None and row["sha256"] == item.sha256:
            continue
        key = item.image_id if row is None else f"{item.image_id}:{item.sha256}"
        if row is not None:
            connection.execute("UPDATE item SET is_current = 0 WHERE id = ?", (row["id"],))
            _begin_fault(connection, row["id"], ANEW, now)
        known = connection.execute(
            "SELECT id FROM item WHERE image_id = ? AND sha256 = ?", (item.image_id, item.sha256)
        ).fetchone()
        if known is not None:  # drawn as it was before: what was said of it counts again
            connection.execute("UPDATE item SET is_current = 1 WHERE id = ?", (known["id"],))
            end_fault(connection, item.image_id, now)
        else:
            values = (getattr(item, field) for field in _ITEM_FIELDS)
            connection.execute(
                f"INSERT INTO item (opaque, plan_key, {columns}) VALUES ({marks})",
                (opaque_id(secret, "item", key), key, *values),
            )
        added += 1
    return added


def report_fault(connection: sqlite3.Connection, image_id: str, sha256: str, what: str, now: datetime) -> None:
    """Note that an image could not be shown; the first word stays. `sha256`: of which bytes; "": of those of now."""
    row = connection.execute(
        "SELECT id FROM item WHERE image_id = ? AND (sha256 = ? OR (? = '' AND is_current))", (image_id, sha256, sha256)
    ).fetchone()
    if row is not None:
        _begin_fault(connection, row["id"], what, now)


def faults(connection: sqlite3.Connection) -> list[ImageFault]:
    """The images of now that cannot be shown, by image id."""
    rows = connection.execute(
        "SELECT image_id, what, at FROM fault JOIN item ON item.id = fault.item_id WHERE is_current ORDER BY image_id"
    )
    return [ImageFault(row["image_id"], row["what"], read_time(row["at"])) for row in rows]


def end_fault(connection: sqlite3.Connection, image_id: str, now: datetime) -> None:
    """The image of now can be shown again; that it could not be stays on record."""
    of_now = "item_id = (SELECT id FROM item WHERE image_id = ? AND is_current)"
    connection.execute(
        f"INSERT INTO fault_over (item_id, what, at, over_at) SELECT item_id, what, at, ? FROM fault WHERE {of_now}",
        (time_text(now), image_id),
    )
    connection.execute(f"DELETE FROM fault WHERE {of_now}", (image_id,))


def _begin_fault(connection: sqlite3.Connection, item_id: int, what: str, now: datetime) -> None:
    connection.execute(
        "INSERT INTO fault (item_id, what, at) VALUES (?, ?, ?) ON CONFLICT (item_id) DO NOTHING",
        (item_id, what, time_text(now)),
    )


def window(connection: sqlite3.Connection, reviewer_id: int, queue: Queue, start: int, count: int) -> list[Slot]:
    """The slots at positions start to start + count - 1, as far as there are any."""
    rows = connection.execute(
        f"{_SLOT} WHERE {_IN_QUEUE} AND slot.position >= :start AND slot.position < :end ORDER BY slot.position",
        {**_which(reviewer_id, queue), "start": start, "end": start + count},
    )
    return [_slot(row) for row in rows]


def own_slot(connection: sqlite3.Connection, reviewer_id: int, opaque: str) -> Slot:
    """Raises DataError when the slot is not this reviewer's."""
    row = connection.execute(
        f"{_SLOT} WHERE slot.opaque = ? AND slot.reviewer_id = ?", (opaque, reviewer_id)
    ).fetchone()
    if row is None:
        raise unknown_slot(opaque)
    return _slot(row)


def behind(connection: sqlite3.Connection, opaque: str) -> ServedImage:
    """What stands behind anyone's slot. Raises DataError when there is no such slot."""
    row = connection.execute(
        f"SELECT slot.reviewer_id, slot.kind, slot.position, {_ITEM_COLUMNS}, fault.item_id IS NOT NULL AS is_faulty, "
        "served.slot_id IS NOT NULL AS is_served FROM slot JOIN item ON item.id = slot.item_id "
        "LEFT JOIN served ON served.slot_id = slot.id LEFT JOIN fault ON fault.item_id = item.id WHERE slot.opaque = ?",
        (opaque,),
    ).fetchone()
    if row is None:
        raise unknown_slot(opaque)
    return ServedImage(
        row["reviewer_id"], row["kind"], _item(row), bool(row["is_served"]), bool(row["is_faulty"]), row["position"]
    )


def following(connection: sqlite3.Connection, reviewer_id: int, queue: Queue, position: int, count: int) -> list[Item]:
    """The images at the next places from a position on."""
    rows = connection.execute(
        f"SELECT {_ITEM_COLUMNS} FROM slot JOIN item ON item.id = slot.item_id WHERE {_IN_QUEUE} "
        "AND slot.position >= :start ORDER BY slot.position LIMIT :count",
        {**_which(reviewer_id, queue), "start": position, "count": count},
    )
    return [_item(row) for row in rows]


def mark_served(connection: sqlite3.Connection, pairs: Iterable[tuple[int, str]], now: datetime) -> int:
    """Note slots (reviewer id, opaque) as shown, once each; the number that was new. Other people's are passed over."""
    new = 0
    for reviewer_id, opaque in pairs:
        new += connection.execute(
            "INSERT INTO served (slot_id, at) SELECT id, ? FROM slot WHERE opaque = ? AND reviewer_id = ? "
            "ON CONFLICT (slot_id) DO NOTHING",
            (time_text(now), opaque, reviewer_id),
        ).rowcount
    return new


def items(connection: sqlite3.Connection) -> list[Item]:
    """All images as they are now, by image id."""
    rows = connection.execute(f"SELECT {_ITEM_COLUMNS} FROM item WHERE is_current ORDER BY image_id")
    return [_item(row) for row in rows]


def item_by_opaque(connection: sqlite3.Connection, opaque: str) -> Item:
    """Raises DataError when there is no such image."""
    row = connection.execute(f"SELECT {_ITEM_COLUMNS} FROM item WHERE opaque = ?", (opaque,)).fetchone()
    if row is None:
        raise DataError("there is no such image", where=f"image {opaque!r}")
    return _item(row)


def unknown_slot(opaque: str) -> DataError:
    """Told alike for a slot that does not exist and for another reviewer's."""
    return DataError("this image is not in your queue", where=f"slot {opaque!r}", todo="Load the queue again.")


def _which(reviewer_id: int, queue: Queue) -> dict[str, int]:
    return {"reviewer": reviewer_id, "adjudication": int(queue == "adjudication")}


def _slot(row: sqlite3.Row) -> Slot:
    fields = dict(row)
    fields["reasons"] = tuple(json.loads(row["reasons"]))
    fields["answers"] = json.loads(row["answers"])
    fields["is_faulty"] = bool(row["is_faulty"])
    return Slot(**fields)


def _item(row: sqlite3.Row) -> Item:
    return Item(**{field: row[field] for field in _ITEM_FIELDS})
