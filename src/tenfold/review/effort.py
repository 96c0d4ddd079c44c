"""What a review costs in people's time: minutes in all, and for each accepted image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tenfold.metrics.agreement import image_draws
from tenfold.metrics.arrays import FloatArray, divide
from tenfold.review.consensus import Consensus
from tenfold.review.records import Judgement
from tenfold.review.shares import Figure

LONGEST_SECONDS = 300.0
"""A longer time on one image was a break: it counts as this much."""


@dataclass(frozen=True)
class Effort:
    """`minutes`: of all judgements that stand, on real images and repeats too, as these are part of the price.
    `minutes_per_accepted`: with an interval over synthetic images. `n_capped`, `n_untimed`: judgements whose time was a
    break, or unknown."""

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
    judgements: Sequence[Judgement], decided: Sequence[Consensus], generator: np.random.Generator
) -> Effort:
    """The price of the review so far."""
    timed = [(one.image_id, seconds) for one in judgements if (seconds := capped_seconds(one)) is not None]
    own: dict[str, float] = defaultdict(float)
    for image_id, seconds in timed:
        own[image_id] += seconds
    whole = sum(seconds for _, seconds in timed)
    spent = np.array([own.get(one.image_id, 0.0) for one in decided if one.verdict != "unreviewed"])
    kept = np.array([one.verdict == "accepted" for one in decided if one.verdict != "unreviewed"], dtype=np.float64)
    middle = float(np.median([seconds for _, seconds in timed])) if timed else None
    return Effort(
        minutes=round(whole / 60, 2),
        median_seconds=None if middle is None else round(middle, 2),
        images_per_hour=round(len(timed) * 3600 / whole, 1) if whole else None,
        minutes_per_accepted=_per_accepted(spent, kept, whole, generator),
        n_capped=sum(one.seconds is not None and one.seconds > LONGEST_SECONDS for one in judgements),
        n_untimed=len(judgements) - len(timed),
    )


def _per_accepted(spent: FloatArray, kept: FloatArray, whole: float, generator: np.random.Generator) -> Figure:
    """All time over accepted images; drawn images bring their own time and their part of what real ones took."""
    count = len(spent)
    if not kept.sum() or not spent.sum():
        return Figure(None, None, None, count, "no accepted image with a known time")
    share = whole / spent.sum() / 60
    value = float(spent.sum() * share / kept.sum())
    sample = np.concatenate([divide(drawn @ spent * share, drawn @ kept) for drawn in image_draws(count, generator)])
    if np.isfinite(sample).mean() < 0.9 or np.nanmin(sample) == np.nanmax(sample):
        return Figure(value, None, None, count, "too few images for an interval")
    low, high = np.nanpercentile(sample, [2.5, 97.5])
    return Figure(value, float(low), float(high), count, "bootstrap over images")
