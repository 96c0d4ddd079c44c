"""Can reviewers tell real from generated? Their answers to that question on images of either kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tenfold.metrics.agreement import Agreement, answered_share, balanced_share
from tenfold.review.records import Item, Judgement
from tenfold.review.rubric import ORIGIN
from tenfold.review.shares import Figure, as_figure, source_of

GENERATED = "generated"


@dataclass(frozen=True)
class DetectionRow:
    """`synthetic_told`: share of answers on synthetic images that say generated; `real_told`: on real ones, real;
    `balanced`: their mean, which is 0.5 for who cannot tell."""

    name: str
    synthetic_told: Figure
    real_told: Figure
    balanced: Figure


@dataclass(frozen=True)
class Detection:
    """Of all reviewers together, of each, and of each class. In the intervals the answers on one image, and on the
    synthetic images made from one, go together; the reviewers are those who answered, not a sample of others."""

    together: DetectionRow
    by_reviewer: tuple[DetectionRow, ...]
    by_label: tuple[DetectionRow, ...]


def detection(first: Sequence[Judgement], by_id: Mapping[str, Item], generator: np.random.Generator) -> Detection:
    """From first looks alone: a second look at an image is no independent guess."""
    answered = [one for one in first if one.answers.get(ORIGIN) is not None]
    reviewers: dict[str, list[Judgement]] = defaultdict(list)
    labels: dict[str, list[Judgement]] = defaultdict(list)
    for one in answered:
        reviewers[one.reviewer].append(one)
        labels[by_id[one.image_id].label].append(one)
    return Detection(
        _row("all", answered, by_id, generator),
        tuple(_row(name, own, by_id, generator) for name, own in sorted(reviewers.items())),
        tuple(_row(label, own, by_id, generator) for label, own in sorted(labels.items())),
    )


def _row(
    name: str, answered: Sequence[Judgement], by_id: Mapping[str, Item], generator: np.random.Generator
) -> DetectionRow:
    synthetic, real = (_told(answered, by_id, source, generator) for source in ("synthetic", "real"))
    return DetectionRow(name, as_figure(synthetic), as_figure(real), as_figure(balanced_share(synthetic, real)))


def _told(
    answered: Sequence[Judgement], by_id: Mapping[str, Item], source: str, generator: np.random.Generator
) -> Agreement:
    """The share of right answers on the images of this origin."""
    right: dict[str, int] = defaultdict(int)
    given: dict[str, int] = defaultdict(int)
    for one in answered:
        if by_id[one.image_id].source == source:
            given[one.image_id] += 1
            right[one.image_id] += (one.answers[ORIGIN] == GENERATED) == (source == "synthetic")
    ids = sorted(given)
    is_right, answers = (np.array([count[i] for i in ids], dtype=np.int64) for count in (right, given))
    groups = np.unique([source_of(by_id[i]) for i in ids], return_inverse=True)[1].astype(np.int64)
    return answered_share(is_right, answers, generator, groups=groups)
