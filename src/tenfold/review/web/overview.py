"""Every image of the review with its origin and its verdict so far: what the lead's grid shows and filters."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tenfold.review.config import Consensus
from tenfold.review.consensus import Consensus as Verdict
from tenfold.review.consensus import decide
from tenfold.review.records import Item, Judgement
from tenfold.review.store import Store

_FRESH_SECONDS = 2.0
_ONE_BY_ONE = 500
_FILTERS_KEPT = 16
FILTERS = ("label", "source", "set", "strategy", "skin_type_group", "severity")


@dataclass(frozen=True)
class Row:
    """One image. `item` is its address; `verdict`: accepted, rejected, undecided or faulty, by the review's rule."""

    item: str
    label: str
    source: str
    set: str
    strategy: str | None
    skin_type: int | None
    skin_type_group: str | None
    severity: str | None
    verdict: str
    is_disputed: bool
    n_reviewers: int
    n_accept: int

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON."""
        return asdict(self)

    def fits(self, wanted: Mapping[str, str]) -> bool:
        """Whether the row has these values; the verdict ``disputed`` asks for `is_disputed`."""
        for name, value in wanted.items():
            if value == "disputed" and name == "verdict":
                if not self.is_disputed:
                    return False
            elif getattr(self, name) != value:
                return False
        return True


class Overview:
    """The rows of all images, in the items' order, brought up to date by what was decided since the last time.

    Real images are counted by the same rule, which decides nothing there.
    """

    def __init__(self, items: Sequence[Item], store: Store, rule: Consensus) -> None:
        self._items = {item.image_id: item for item in items}
        self._store = store
        self._rule = rule
        self._rows: dict[str, Row] = {}
        self._filtered: dict[tuple[tuple[str, str], ...], list[Row]] = {}
        self._last = 0
        self._faulty: set[str] = set()
        self._until = float("-inf")
        self._lock = threading.Lock()
        self.filters: Mapping[str, Sequence[str]] = {
            name: sorted({str(value) for item in items if (value := getattr(item, name))}) for name in FILTERS
        }

    def refresh(self) -> None:
        """See what was decided and what cannot be shown, unless that was done a moment ago."""
        with self._lock:
            if time.monotonic() < self._until:
                return
            faulty = {fault.image_id for fault in self._store.faults()}
            last, changed = self._store.decided_since(self._last)
            changed |= faulty ^ self._faulty
            if not self._rows:
                changed = set(self._items)
            if len(changed) > _ONE_BY_ONE:
                judgements = self._store.latest()
            else:
                judgements = [one for image_id in changed for one in self._store.latest(image_id)]
            self._update([item for key, item in self._items.items() if key in changed], judgements, faulty)
            self._last, self._faulty = last, faulty
            self._until = time.monotonic() + _FRESH_SECONDS

    def row(self, image_id: str) -> Row:
        """The row of an image that is there; `refresh` comes first."""
        return self._rows[image_id]

    def rows_of(self, wanted: Mapping[str, str]) -> list[Row]:
        """The rows that have these values, by column name."""
        key = tuple(sorted(wanted.items()))
        with self._lock:
            if key not in self._filtered:
                if len(self._filtered) >= _FILTERS_KEPT:
                    self._filtered.clear()
                self._filtered[key] = [row for row in self._rows.values() if row.fits(wanted)]
            return self._filtered[key]

    def _update(self, items: Sequence[Item], judgements: Sequence[Judgement], faulty: Collection[str]) -> None:
        alike = [replace(item, source="synthetic") for item in items]
        wanted = {item.image_id for item in items}
        of_these = [one for one in judgements if one.image_id in wanted]
        for item, said in zip(items, decide(alike, of_these, self._rule, faulty), strict=True):
            self._rows[item.image_id] = _row(item, said)
        if items:
            self._filtered.clear()


def _row(item: Item, said: Verdict) -> Row:
    verdict = "faulty" if said.is_faulty else "undecided" if said.verdict == "unreviewed" else said.verdict
    return Row(
        item=item.image_id, label=item.label, source=item.source, set=item.set, strategy=item.strategy,
        skin_type=item.skin_type, skin_type_group=item.skin_type_group, severity=item.severity, verdict=verdict,
        is_disputed=said.is_disputed, n_reviewers=said.n_reviewers, n_accept=said.n_accept,
    )  # fmt: skip
