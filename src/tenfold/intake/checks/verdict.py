"""The answer: can this data carry a study, in one sentence from what the checks found."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.intake.checks.outcome import worst
from tenfold.intake.contents import CheckRow, PowerRow, State

NEEDED = ("confounds", "crossing")
"""Checks without which nobody can say yes."""

_WEIGHT = (
    "crossing", "confounds", "class_sizes", "power", "two_labels", "unreadable", "grouping", "upstream_crossing",
    "duplicates", "label_errors", "subgroups", "outliers", "blank", "tiny", "huge",
)  # fmt: skip


def answer(rows: Sequence[CheckRow], power: Sequence[PowerRow]) -> tuple[State, str]:
    """The worst state and the sentence. Yes: all ok; With care: something to look at, or a needed check could not run;
    No: a stop."""
    ordered = sorted(rows, key=lambda row: _WEIGHT.index(row.check) if row.check in _WEIGHT else len(_WEIGHT))
    stops = [row for row in ordered if row.state == "stop"]
    looks = [row for row in ordered if row.state == "look"]
    blind = [row for row in ordered if row.state == "not_checked" and row.check in NEEDED]
    if stops:
        more = f" (and {len(stops) - 1} more: {_titles(stops[1:])})" if len(stops) > 1 else ""
        return "stop", f"No: {_first(stops[0])}{more}"
    state = worst(row.state for row in rows if row.state != "not_checked")
    if looks or blind:
        lead = looks[0] if looks else blind[0]
        told = f"With care: {_first(lead)}"
        others = [row for row in (*looks, *blind) if row is not lead]
        if others:
            told = f"{told.rstrip('.')}; see also: {_titles(others)}."
        return "look", told
    seen = power[0].detectable_difference if power else None
    reach = f"; its test can show accuracy differences of {100 * seen:.1f} points or more" if seen is not None else ""
    return state, f"Yes: the checks found nothing that speaks against a study on this data{reach}."


def _first(row: CheckRow) -> str:
    """The first sentence of a check."""
    text = row.sentence.split(". ")[0].rstrip(".")
    return f"{text}."


def _titles(rows: Sequence[CheckRow]) -> str:
    return ", ".join(row.title[0].lower() + row.title[1:] for row in rows)
