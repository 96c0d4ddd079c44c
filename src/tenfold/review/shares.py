"""A share with its interval and its count, as every table of the review holds it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tenfold.metrics.agreement import Agreement
from tenfold.metrics.proportions import effective_count, wilson_interval
from tenfold.review.records import Item


@dataclass(frozen=True)
class Figure:
    """`low` and `high` are the 95 % interval, None where there is none; `method` says how or why."""

    value: float | None
    low: float | None
    high: float | None
    n_images: int
    method: str


@dataclass(frozen=True)
class Counted:
    """`part` of `whole` images; `effective` is how many independent ones tell as much, as some share a source."""

    part: int
    whole: int
    sources: int
    effective: float


def source_of(item: Item) -> str:
    """What an image was made from: images of one source image may be accepted and recognized alike."""
    return item.parent_id or item.image_id


def counted(images: Iterable[tuple[Item, bool]]) -> Counted:
    """How many of these images are marked."""
    parts: dict[str, list[int]] = {}
    for item, is_part in images:
        own = parts.setdefault(source_of(item), [0, 0])
        own[0] += is_part
        own[1] += 1
    table = np.array(list(parts.values()), dtype=np.float64).reshape(len(parts), 2)
    part, whole = (int(number) for number in table.sum(axis=0))
    return Counted(part, whole, len(parts), effective_count(table[:, 0], table[:, 1]) if whole else 0.0)


def share_of(images: Iterable[tuple[Item, bool]]) -> Figure:
    """The share of marked images, each given once, with Wilson's interval of their effective number."""
    found = counted(images)
    if not found.whole:
        return Figure(None, None, None, 0, "no image")
    share = found.part / found.whole
    low, high = wilson_interval(share, found.effective)
    method = "Wilson" if found.sources == found.whole else f"Wilson, images of {found.sources} source images"
    return Figure(share, low, high, found.whole, method)


def as_figure(found: Agreement) -> Figure:
    """An interval of `metrics.agreement`, its undefined parts as None."""
    value, low, high = (number if math.isfinite(number) else None for number in (found.value, found.low, found.high))
    return Figure(value, low, high, found.image_count, found.method)
