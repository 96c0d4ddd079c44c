"""The outcome of one check: its row for the page, a finding per image, and the images that a person should see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tenfold.data.findings import Finding
from tenfold.intake.contents import CheckRow, State, SuspectImage

SHOWN = 5
"""Names that one sentence lists at most."""


@dataclass(frozen=True)
class Outcome:
    """What one check found. `suspects` are the images to show, the worst first; empty for checks of the whole set."""

    row: CheckRow
    findings: tuple[Finding, ...] = ()
    suspects: tuple[SuspectImage, ...] = ()


def not_checked(check: str, title: str, reason: str) -> Outcome:
    """The outcome of a check that could not run; the reason is a whole sentence."""
    return Outcome(CheckRow(check, title, "not_checked", 0, 0, reason))


def listed(names: Iterable[str], most: int = SHOWN) -> str:
    """`a, b and 3 more`: a few names for a sentence."""
    given = list(names)
    if len(given) > most:
        return f"{', '.join(given[:most])} and {len(given) - most} more"
    return ", ".join(given)


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 image`, `2 images`: a number with its word."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def plural(count: int, one: str, many: str) -> str:
    """The word that goes with the number."""
    return one if count == 1 else many


def worst(states: Iterable[State]) -> State:
    """stop before look before not_checked before ok."""
    order: tuple[State, ...] = ("ok", "not_checked", "look", "stop")
    return max(states, key=order.index, default="ok")
