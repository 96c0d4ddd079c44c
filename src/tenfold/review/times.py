"""Times in the store: UTC, in milliseconds, as text of one length."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


def time_text(moment: datetime) -> str:
    """``2025-01-31T12:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    """The moment of a text that `time_text` made."""
    return datetime.fromisoformat(text)
