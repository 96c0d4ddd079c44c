"""Single facts of the store, by name: its secret, how queues are planned, whether a plan is due."""

from __future__ import annotations

import json
import secrets
import sqlite3
from dataclasses import asdict

from tenfold.review.records import QueueSettings

_SECRET, _SETTINGS, _PLAN_DUE = "secret", "queue_settings", "plan_due"


def secret(connection: sqlite3.Connection) -> bytes:
    """The key of the opaque ids; empty before `make_secret`."""
    return bytes.fromhex(_get(connection, _SECRET) or "")


def make_secret(connection: sqlite3.Connection) -> bytes:
    """The key of the opaque ids, made unless it is there."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (_SECRET, secrets.token_hex(32))
    )
    return secret(connection)


def settings(connection: sqlite3.Connection) -> QueueSettings | None:
    """How queues are planned; None before `set_settings`."""
    text = _get(connection, _SETTINGS)
    return QueueSettings(**json.loads(text)) if text else None


def set_settings(connection: sqlite3.Connection, value: QueueSettings) -> None:
    """Have queues planned so from now on."""
    _put(connection, _SETTINGS, json.dumps(asdict(value)))


def is_plan_due(connection: sqlite3.Connection) -> bool:
    """Whether people or images changed and the queues were not planned for it yet."""
    return _get(connection, _PLAN_DUE) is not None


def set_plan_due(connection: sqlite3.Connection, *, is_due: bool) -> None:
    """Note that the queues are to be planned, or that they were."""
    if is_due:
        _put(connection, _PLAN_DUE, "1")
    else:
        connection.execute("DELETE FROM meta WHERE key = ?", (_PLAN_DUE,))


def _get(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row["value"])


def _put(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
