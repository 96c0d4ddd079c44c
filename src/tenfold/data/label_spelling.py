"""Label spelling: labels that differ only in case or spaces are one class, under one spelling."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_EMPTY = {"", "nan", "n/a", "null", "<na>"}


@dataclass(frozen=True)
class Spelling:
    """Label as found -> label as used, of the labels that change; `notes` say which classes were joined."""

    used: Mapping[str, str]
    notes: tuple[str, ...]

    def __call__(self, label: str) -> str:
        return self.used.get(label, label)


def tidy(label: str) -> str:
    """The label with spaces trimmed and inner runs of them made one; empty for words that mean a missing cell.

    Control characters, and those that turn the direction of writing around, count as spaces: they can make one label
    look like another, and a terminal obeys some of them.
    """
    text = " ".join(_UNSEEN.sub(" ", label).split())
    return "" if text.lower() in _EMPTY else text


def one_spelling(counts: Mapping[str, int], chosen: Sequence[str] | None = None) -> Spelling:
    """Join labels (tidied, with their number of rows) that differ only in case.

    The most frequent spelling wins, of equally frequent ones the first in the alphabet; a chosen class keeps the
    spelling by which it was chosen.
    """
    wanted = {label.casefold(): label for label in chosen or ()}
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts):
        spellings.setdefault(label.casefold(), []).append(label)
    used: dict[str, str] = {}
    notes: list[str] = []
    for key, found in spellings.items():
        best = max(found, key=lambda label: counts[label])
        name = best if wanted.get(key) is None or wanted[key] in found else wanted[key]
        name = wanted.get(key, name)
        used.update({label: name for label in found if label != name})
        others = [f"{label!r} ({counts[label]} rows)" for label in found if label != best]
        if others:
            notes.append(f"labels spelled in several ways: {', '.join(others)} counted as {name!r}")
    return Spelling(used, tuple(notes))
