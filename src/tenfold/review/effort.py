"""What a review costs in people's time: minutes in all, and for each accepted image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tenfold.data.verdicts import ACCEPTED, UNREVIEWED
from tenfold.metrics.agreement import image_draws
from tenfold.metrics.arrays import FloatArray, divide
from tenfold.review.consensus import Consensus
from tenfold.review.records import Item, Judgement
from tenfold.review.shares import Figure, source_of

LONGEST_SECONDS = 300.0
"""A longer time on one image was a break: it counts as this much."""


@dataclass(frozen=True)
class Effort:
    """`minutes`: of everything that was ever decided, on real images and repeats too and with what was taken back, as
    all of it is part of the price. `median_seconds`: of judgements that were made, changed ones too.
    `images_per_hour`: judgements that stand. `minutes_per_accepted`: with an interval over synthetic images.
    `n_capped`, `n_untimed`: judgements whose time was a break, or unknown."""

    minutes: float
    median_seconds: float | None
    images_per_hour: float | None
    minutes_per_accepted: Figure
    n_capped: int
    n_untimed: int


def capped_seconds(judgement: Judgement) -> float | None:
    """Time on the image, at most LONGEST_SECONDS; None when it is unknown."""
    return None if judgement.seconds is None else min(judgement.seconds, LONGEST_SECONDS)


def review_effort(
    record: Sequence[Judgement],
    standing: Sequence[Judgement],
    decided: Sequence[tuple[Item, Consensus]],
    generator: np.random.Generator,
) -> Effort:
    """The price of the review so far.

    record: every decision ever made, undone ones and undos too; standing: those of them that stand; decided: the
    synthetic images with their verdicts.
    """
    timed = [(one, seconds) for one in record if (seconds := capped_seconds(one)) is not None]
    spent_on: dict[str, float] = defaultdict(float)
    for one, seconds in timed:
        spent_on[one.image_id] += seconds
    whole = sum(seconds for _, seconds in timed)
    spent: dict[str, float] = defaultdict(float)
    kept: dict[str, float] = defaultdict(float)
    closed = [(item, found.verdict) for item, found in decided if found.verdict != UNREVIEWED]
    for item, verdict in closed:
        spent[source_of(item)] += spent_on.get(item.image_id, 0.0)
        kept[source_of(item)] += verdict == ACCEPTED
    sources = sorted(spent)
    looks = [seconds for one, seconds in timed if one.verdict != "none"]
    return Effort(
        minutes=round(whole / 60, 2),
        median_seconds=round(float(np.median(looks)), 2) if looks else None,
        images_per_hour=round(sum(one.seconds is not None for one in standing) * 3600 / whole, 1) if whole else None,
        minutes_per_accepted=_per_accepted(
            np.array([[spent[name], kept[name]] for name in sources]).reshape(-1, 2), whole, len(closed), generator
        ),
        n_capped=sum(one.seconds is not None and one.seconds > LONGEST_SECONDS for one in record),
        n_untimed=sum(one.seconds is None and one.verdict != "none" for one in record),
    )


def _per_accepted(table: FloatArray, whole: float, count: int, generator: np.random.Generator) -> Figure:
    """All time over accepted images; drawn sources bring their own time and their part of what real ones took.

    table: (N, 2) seconds and accepted images of each source; whole: all seconds; count: decided images.
    """
    spent, kept = table.T
    if not kept.sum() or not spent.sum():
        return Figure(None, None, None, count, "no accepted image with a known time")
    share = whole / spent.sum() / 60
    value = float(spent.sum() * share / kept.sum())
    draws = image_draws(len(table), generator)
    sample = np.concatenate([divide(drawn @ spent * share, drawn @ kept) for drawn in draws])
    if np.isfinite(sample).mean() < 0.9 or np.nanmin(sample) == np.nanmax(sample):
        return Figure(value, None, None, count, "too few images for an interval")
    low, high = np.nanpercentile(sample, [2.5, 97.5])
    return Figure(value, float(low), float(high), count, "bootstrap over images, those of one source together")
