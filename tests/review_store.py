"""A review's store for tests: images without files, a store that holds them, and answers to a whole queue."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tenfold.review.records import Decision, Item, QueueSettings, Saved, Slot, Verdict
from tenfold.review.store import Store

SETTINGS = QueueSettings(seed=11, overlap_fraction=0.2, repeat_fraction=0.05)


class Clock:
    """A server's clock that stands still until a test moves it, forwards or back."""

    def __init__(self) -> None:
        self.now = datetime(2025, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def jump(self, **how_far: float) -> None:
        self.now += timedelta(**how_far)


def make_items(count: int, start: int = 0) -> list[Item]:
    """Every fifth one is real; classes df and vasc take turns."""
    return [
        Item(
            image_id=f"{number:016x}",
            path=f"images/{number}.png",
            sha256=f"{number:064x}",
            label=("df", "vasc")[number % 2],
            source="real" if number % 5 == 0 else "synthetic",
            set="" if number % 5 == 0 else "main",
            prompt=None if number % 5 == 0 else "a photograph",
        )
        for number in range(start, start + count)
    ]


def make_store(folder: Path, count: int = 40, settings: QueueSettings = SETTINGS, clock: Clock | None = None) -> Store:
    """A new store with so many images and nobody invited."""
    store = Store.open_or_create(folder / "review.sqlite", clock or Clock())
    store.fill(make_items(count), settings)
    return store


def invited(store: Store, *names: str) -> list[int]:
    """The ids of reviewers who are invited in this order."""
    return [store.invite(name).reviewer.id for name in names]


def whole_queue(store: Store, reviewer_id: int) -> list[Slot]:
    return store.queue(reviewer_id, 0, store.progress(reviewer_id).total)


def decide(store: Store, reviewer_id: int, slots: Iterable[Slot], verdict: Verdict = "accept") -> None:
    """Look at the slots and give each the same verdict."""
    slots = list(slots)
    store.mark_served([(reviewer_id, slot.opaque) for slot in slots])
    sent = [Decision(f"{reviewer_id}-{slot.opaque}-{verdict}", slot.opaque, verdict) for slot in slots]
    results = store.add_decisions([(reviewer_id, decision) for decision in sent])
    assert [result for result in results if not isinstance(result, Saved)] == []
