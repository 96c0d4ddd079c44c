"""A share with its interval and its count, as every table of the review holds it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tenfold.metrics.agreement import Agreement
from tenfold.metrics.proportions import wilson_interval


@dataclass(frozen=True)
class Figure:
    """`low` and `high` are the 95 % interval, None where there is none; `method` says how or why."""

    value: float | None
    low: float | None
    high: float | None
    n_images: int
    method: str


def wilson_share(part: int, whole: int) -> Figure:
    """The share of `part` in `whole` images, each counted once, with Wilson's interval; no value of no image."""
    if not whole:
        return Figure(None, None, None, 0, "no image")
    low, high = wilson_interval(part / whole, whole)
    return Figure(part / whole, low, high, whole, "Wilson")


def as_figure(found: Agreement) -> Figure:
    """An interval of `metrics.agreement`, its undefined parts as None."""
    value, low, high = (number if math.isfinite(number) else None for number in (found.value, found.low, found.high))
    return Figure(value, low, high, found.image_count, found.method)
