"""How well reviewers agree with each other, and each with himself or herself at a second look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.metrics.agreement import (
    NOT_RATED,
    cohen_kappa,
    fleiss_kappa,
    kappa_interval,
    percent_agreement,
    share_interval,
)
from tenfold.metrics.arrays import IntArray
from tenfold.review.records import Item, Judgement
from tenfold.review.shares import Figure, as_figure

MOST_PAIRED = 8
"""Reviewers whose pairs are told one by one."""


@dataclass(frozen=True)
class PairAgreement:
    """Two reviewers on the synthetic images that both judged; or one, at the first and the second look."""

    first: str
    second: str
    percent: Figure
    cohen_kappa: Figure


@dataclass(frozen=True)
class RaterAgreement:
    """On accept or reject. Between reviewers: first looks at synthetic images; `pairs`: of the MOST_PAIRED who judged
    most. Within one: all images that came twice, real ones too, and the pairs of looks of all as `within_together`."""

    percent: Figure
    fleiss_kappa: Figure
    pairs: tuple[PairAgreement, ...]
    within: tuple[PairAgreement, ...]
    within_together: PairAgreement


def rater_agreement(judgements: Sequence[Judgement], by_id: Mapping[str, Item], seed: int) -> RaterAgreement:
    """Agreement with bootstrap intervals over images; `seed` is that of the draws."""
    looks: dict[str, dict[str, int]] = defaultdict(dict)
    again: dict[str, dict[str, int]] = defaultdict(dict)
    for one in judgements:
        if one.kind != "adjudication":
            place = looks if one.kind == "first" else again
            place[one.reviewer][one.image_id] = int(one.verdict == "accept")
    names = sorted(looks)
    between = {
        name: {image_id: word for image_id, word in looks[name].items() if by_id[image_id].source == "synthetic"}
        for name in names
    }
    busiest = sorted(sorted(names, key=lambda name: -len(between[name]))[:MOST_PAIRED])
    ratings = _table([between[name] for name in names])
    generator = numpy_generator(derive_seed(seed, "all"))
    own = {name: _pairs_of(looks[name], again.get(name, {})) for name in names}
    together = np.concatenate(list(own.values())) if own else np.empty((0, 2), dtype=np.int64)
    return RaterAgreement(
        percent=as_figure(share_interval(percent_agreement, ratings, generator)),
        fleiss_kappa=as_figure(kappa_interval(fleiss_kappa, ratings, generator)),
        pairs=tuple(
            _pair(first, second, _table([between[first], between[second]]), seed)
            for first, second in combinations(busiest, 2)
        ),
        within=tuple(_pair(name, name, own[name], seed) for name in names if len(own[name])),
        within_together=_pair("all", "all", together, seed),
    )


def _pair(first: str, second: str, ratings: IntArray, seed: int) -> PairAgreement:
    generator = numpy_generator(derive_seed(seed, "pair", first, second))
    percent = share_interval(percent_agreement, ratings, generator)
    return PairAgreement(first, second, as_figure(percent), as_figure(kappa_interval(cohen_kappa, ratings, generator)))


def _table(raters: Sequence[Mapping[str, int]]) -> IntArray:
    """(N, R) verdicts of the images that two or more of them judged, by image id."""
    seen: dict[str, int] = defaultdict(int)
    for words in raters:
        for image_id in words:
            seen[image_id] += 1
    ids = sorted(image_id for image_id, count in seen.items() if count >= 2)
    columns = [[words.get(image_id, NOT_RATED) for image_id in ids] for words in raters]
    return np.array(columns, dtype=np.int64).reshape(len(raters), len(ids)).T


def _pairs_of(first: Mapping[str, int], second: Mapping[str, int]) -> IntArray:
    both = sorted(first.keys() & second.keys())
    pairs = [(first[image_id], second[image_id]) for image_id in both]
    return np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)
