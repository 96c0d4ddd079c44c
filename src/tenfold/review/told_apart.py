"""Can reviewers tell real from generated? Their answers to that question on images of either kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tenfold.metrics.agreement import answered_share, balanced_share
from tenfold.metrics.arrays import IntArray
from tenfold.review.records import Item, Judgement
from tenfold.review.rubric import ORIGIN
from tenfold.review.shares import Figure, as_figure

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
    """Of all reviewers together (answers on one image go together in the intervals), of each, and of each class."""

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
    synthetic, real = (_answers(answered, by_id, source) for source in ("synthetic", "real"))
    return DetectionRow(
        name,
        as_figure(answered_share(*synthetic, generator)),
        as_figure(answered_share(*real, generator)),
        as_figure(balanced_share(synthetic, real, generator)),
    )


def _answers(answered: Sequence[Judgement], by_id: Mapping[str, Item], source: str) -> tuple[IntArray, IntArray]:
    """Right answers and answers (N,) of each image of this source, by image id."""
    right: dict[str, int] = defaultdict(int)
    given: dict[str, int] = defaultdict(int)
    for one in answered:
        if by_id[one.image_id].source == source:
            given[one.image_id] += 1
            right[one.image_id] += (one.answers[ORIGIN] == GENERATED) == (source == "synthetic")
    ids = sorted(given)
    return np.array([right[i] for i in ids], dtype=np.int64), np.array([given[i] for i in ids], dtype=np.int64)
