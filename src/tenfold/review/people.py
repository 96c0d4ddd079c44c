"""Reviewers, their links and their sessions: only hashes of secrets are kept."""

from __future__ import annotations

import hashlib
import math
import secrets
import sqlite3
from datetime import datetime, timedelta

from tenfold.core.errors import DataError
from tenfold.review.records import Invitation, Reviewer, Role
from tenfold.review.times import read_time, time_text

LONGEST_DAYS = 3650.0
_LONGEST_NAME = 100


def invite(connection: sqlite3.Connection, name: str, role: Role | None, days: float, now: datetime) -> Invitation:
    """Make a reviewer, or give a known one a new link: the old link and its sessions end.

    Args:
        role: None: the known one's role, of a new one "reviewer".
        days: how long the link is valid.

    Raises:
        DataError: a name that is empty, too long or not printable, a duration that is none, or another role for one
            who has decided: blinded and unblinded judgements of one person are not mixed.
    """
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise DataError(f"{name!r} is no name for a reviewer", expected=f"1 to {_LONGEST_NAME} printable characters")
    if not (math.isfinite(days) and 0 < days <= LONGEST_DAYS):
        raise DataError(
            f"a link cannot be valid for {days} days", expected=f"more than 0, at most {LONGEST_DAYS:g} days"
        )
    known = connection.execute("SELECT id, role FROM reviewer WHERE name = ?", (name,)).fetchone()
    role = role or (known["role"] if known else "reviewer")
    if known and known["role"] != role and _has_decided(connection, known["id"]):
        raise DataError(
            f"{name} has decided as {known['role']} and cannot become {role}",
            expected=f"the role {known['role']}",
            todo="Invite the person under another name for the other role.",
        )
    if known and role == "reviewer" and known["role"] != role and _was_here(connection, known["id"]):
        raise DataError(
            f"{name} has been here as {known['role']}, unblinded, and cannot become a reviewer",
            expected=f"the role {known['role']}",
            todo="Invite somebody who has not seen where the images come from.",
        )
    token = secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO reviewer (name, role, token_sha256, created_at, expires_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET role = excluded.role, token_sha256 = excluded.token_sha256, "
        "expires_at = excluded.expires_at, revoked_at = NULL, open_when_revoked = NULL",
        (name, role, _hash(token), time_text(now), time_text(now + timedelta(days=days))),
    )
    reviewer = reviewer_by_name(connection, name, now)
    _end_sessions(connection, reviewer.id, now)
    return Invitation(reviewer, token)


def revoke(connection: sqlite3.Connection, name: str, now: datetime) -> Reviewer:
    """End the link and its sessions. Raises DataError when nobody has the name."""
    reviewer = reviewer_by_name(connection, name, now)
    connection.execute(
        "UPDATE reviewer SET revoked_at = ?, open_when_revoked = (SELECT count(*) FROM slot "
        "WHERE reviewer_id = reviewer.id AND is_open AND kind <> 'adjudication') WHERE id = ? AND revoked_at IS NULL",
        (time_text(now), reviewer.id),
    )
    _end_sessions(connection, reviewer.id, now)
    return reviewer_by_name(connection, name, now)


def reviewers(connection: sqlite3.Connection, now: datetime) -> list[Reviewer]:
    """Everyone ever invited, in the order of their first invitation."""
    return [_reviewer(row, now) for row in connection.execute("SELECT * FROM reviewer ORDER BY id")]


def reviewer_by_name(connection: sqlite3.Connection, name: str, now: datetime) -> Reviewer:
    """Raises DataError when nobody has the name (capitals do not matter)."""
    row = connection.execute("SELECT * FROM reviewer WHERE name = ?", (name.strip(),)).fetchone()
    if row is None:
        known = [reviewer.name for reviewer in reviewers(connection, now)]
        raise DataError(f"nobody named {name!r} was invited", expected=", ".join(known) or "an invited name")
    return _reviewer(row, now)


def reviewer_by_token(connection: sqlite3.Connection, token: str, now: datetime) -> Reviewer:
    """The active reviewer of a link. Raises DataError when it is unknown, revoked or expired."""
    row = connection.execute("SELECT * FROM reviewer WHERE token_sha256 = ?", (_hash(token),)).fetchone()
    if row is None:
        raise DataError("this link is not known", todo="Ask for a new one; a new link ends the one before.")
    return _active(_reviewer(row, now))


def begin_session(connection: sqlite3.Connection, reviewer_id: int, hours: float, now: datetime) -> str:
    """A new session's secret. Raises DataError when the reviewer's link is revoked or expired."""
    row = connection.execute("SELECT * FROM reviewer WHERE id = ?", (reviewer_id,)).fetchone()
    if row is None:
        raise DataError("there is no such reviewer")
    _active(_reviewer(row, now))
    secret = secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO session (token_sha256, reviewer_id, created_at, expires_at) VALUES (?, ?, ?, ?)",
        (_hash(secret), reviewer_id, time_text(now), time_text(now + timedelta(hours=hours))),
    )
    return secret


def reviewer_by_session(connection: sqlite3.Connection, session: str, now: datetime) -> Reviewer:
    """The active reviewer of a session. Raises DataError when it is unknown, ended or expired, or the link is."""
    row = connection.execute(
        "SELECT reviewer.*, session.expires_at AS session_end, session.ended_at FROM session "
        "JOIN reviewer ON reviewer.id = session.reviewer_id WHERE session.token_sha256 = ?",
        (_hash(session),),
    ).fetchone()
    if row is None:
        raise DataError("this session is not known", todo="Open your link again.")
    reviewer = _active(_reviewer(row, now))
    if row["ended_at"] is not None or read_time(row["session_end"]) <= now:
        raise DataError("this session has ended", todo="Open your link again.")
    return reviewer


def end_session(connection: sqlite3.Connection, session: str, now: datetime) -> None:
    """Nothing happens when it has ended already."""
    connection.execute(
        "UPDATE session SET ended_at = ? WHERE token_sha256 = ? AND ended_at IS NULL", (time_text(now), _hash(session))
    )


def _active(reviewer: Reviewer) -> Reviewer:
    if reviewer.state == "revoked":
        raise DataError("this link was revoked", todo="Ask the one who invited you.")
    if reviewer.state == "expired":
        raise DataError(
            f"this link has expired on {reviewer.expires_at:%Y-%m-%d}",
            todo="Ask for a new one (`tenfold review invite`); your decisions are kept.",
        )
    return reviewer


def _was_here(connection: sqlite3.Connection, reviewer_id: int) -> bool:
    return connection.execute("SELECT 1 FROM session WHERE reviewer_id = ?", (reviewer_id,)).fetchone() is not None


def _has_decided(connection: sqlite3.Connection, reviewer_id: int) -> bool:
    found = connection.execute(
        "SELECT 1 FROM decision JOIN slot ON slot.id = decision.slot_id WHERE slot.reviewer_id = ? LIMIT 1",
        (reviewer_id,),
    )
    return found.fetchone() is not None


def _end_sessions(connection: sqlite3.Connection, reviewer_id: int, now: datetime) -> None:
    connection.execute(
        "UPDATE session SET ended_at = ? WHERE reviewer_id = ? AND ended_at IS NULL", (time_text(now), reviewer_id)
    )


def _reviewer(row: sqlite3.Row, now: datetime) -> Reviewer:
    expires_at = read_time(row["expires_at"])
    state = "revoked" if row["revoked_at"] else "expired" if expires_at <= now else "active"
    return Reviewer(row["id"], row["name"], row["role"], state, read_time(row["created_at"]), expires_at)  # type: ignore[arg-type]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
