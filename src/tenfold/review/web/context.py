"""What the routes of one running page share: the store, the views of its images and the rubric."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import Request

from tenfold.core.errors import DataError
from tenfold.core.workspace import Workspace
from tenfold.review.config import Consensus
from tenfold.review.records import Item, Queue, Reviewer
from tenfold.review.rubric import Rubric
from tenfold.review.store import Store
from tenfold.review.web.guides import guide_table
from tenfold.review.web.images import BlindImages, ImageFile, Size
from tenfold.review.web.overview import Overview
from tenfold.review.web.security import Place
from tenfold.review.web.writing import GroupWriter

REST_AFTER_MINUTES = 40
FULL_AHEAD = 8
"""Views made ahead, the one asked for among them: at least half of them are there before the page asks."""
_PAUSE = 3.0
STATIC = Path(__file__).with_name("static")


@dataclass(frozen=True)
class PageSettings:
    """How a page is served.

    side_px: side of every image shown. rule: how judgements become a verdict. guides: per class, image files that are
    in nobody's queue. real_images: those that a lead may see beside an image, asked for once. figures: of the
    dashboard, asked for when the last ones are some seconds old. tick_seconds: what is allowed for making a view, the
    same for all, so that the time of an answer tells nothing of the file; spacing_seconds: between views that come due
    one after the other, None: a share of tick_seconds that holds if all images are as slow as the slowest.
    """

    place: Place
    side_px: int
    rubric: Rubric
    rule: Consensus = "any_reject"
    shows_class: bool = True
    guides: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    real_images: Callable[[], Iterable[Item]] = tuple
    figures: Callable[[], Mapping[str, Any]] = dict
    tick_seconds: float = 0.02
    spacing_seconds: float | None = None


class Review:
    """The running page. Items are read once: to leads, sets that are added later show when it is served again.

    Raises DataError when an item's path leads out of the workspace.
    """

    def __init__(self, store: Store, workspace: Workspace, settings: PageSettings) -> None:
        self.store = store
        self.workspace = workspace
        self.settings = settings
        self.items: dict[str, Item] = {item.image_id: item for item in store.items()}
        _check_paths(self.items.values())
        self.images = BlindImages(
            settings.side_px, making_seconds=settings.tick_seconds, spacing_seconds=settings.spacing_seconds
        )
        self.writer = GroupWriter(store)
        self.labels: tuple[str, ...] = tuple(sorted({item.label for item in self.items.values()}))
        self.guide_files: dict[str, Path] = guide_table(settings.guides)
        self.figures = Remembered(settings.figures, seconds=5.0)
        self.overview = Overview(list(self.items.values()), store, settings.rule)
        self._real: dict[str, Item] | None = None
        self._made_ahead: dict[tuple[int, Queue, Size], int] = {}

    def image_file(self, item: Item) -> ImageFile:
        """Where an item's pixels are."""
        return ImageFile(self.workspace.path / item.path, item.sha256)

    def real_images(self) -> dict[str, Item]:
        """By id, the real images that leads may see beside an image: those of the splits train and val."""
        if self._real is None:
            self._real = {item.image_id: item for item in self.settings.real_images()}
        return self._real

    def make_ahead(
        self, reviewer: Reviewer, position: int, count: int = FULL_AHEAD, size: Size = "full", *, queue: Queue = "queue"
    ) -> None:
        """Have the images at the next places of a reviewer's queue made, from a position on; several at once, so that
        not every image asks for the next one."""
        key = (reviewer.id, queue, size)
        if position < self._made_ahead.get(key, 0) - count // 2 <= position + count:
            return
        self._made_ahead[key] = position + count
        for item in self.store.following(reviewer.id, position, count, queue):
            self.images.view(self.image_file(item), size)

    def close(self) -> None:
        """Write what waits, and stop the page's threads."""
        self.writer.close()
        self.images.close()


def _check_paths(items: Iterable[Item]) -> None:
    for item in items:
        if item.path.startswith("/") or ".." in item.path.split("/"):
            raise DataError(
                "a queued image lies outside the workspace", where=item.path, expected="a path within the workspace",
                todo="Restore review/review.sqlite from a copy: Tenfold writes no such path.",
            )  # fmt: skip


class Remembered:
    """A costly value. When it is older than some seconds and than a few times what it took, it is made again by another
    thread, and who asks gets the old one meanwhile; only the first ones wait."""

    def __init__(self, make: Callable[[], Any], seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._lock = threading.Lock()
        self._making: Future[Any] | None = None
        self._value: Any = None
        self._until: float | None = None

    def get(self) -> Any:
        """The value. Raises what kept it from being made when there is none yet."""
        with self._lock:
            if self._until is None or time.monotonic() >= self._until:
                making = self._begin()
                if self._until is not None:
                    return self._value
            else:
                return self._value
        return making.result()

    def _begin(self) -> Future[Any]:
        if self._making is None:
            self._making = Future()
            threading.Thread(target=self._work, args=(self._making,), name="review-figures", daemon=True).start()
        return self._making

    def _work(self, making: Future[Any]) -> None:
        began = time.monotonic()
        try:
            value = self._make()
        except BaseException as error:
            with self._lock:
                self._making = None
            making.set_exception(error)
            return
        with self._lock:
            now = time.monotonic()
            self._value, self._making = value, None
            self._until = now + max(self._seconds, _PAUSE * (now - began))
        making.set_result(value)


def review_of(request: Request) -> Review:
    """The running page of a request."""
    found = request.app.state.review
    assert isinstance(found, Review)
    return found
