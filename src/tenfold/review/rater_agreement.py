"""How well reviewers agree with each other, and each with himself or herself at a second look."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.metrics.agreement import (
    NOT_RATED,
    AgreementMetric,
    cohen_kappa,
    fleiss_kappa,
    kappa_interval,
    percent_agreement,
    share_interval,
    within_kappa,
    within_percent,
)
from tenfold.metrics.arrays import IntArray
from tenfold.review.records import Item, Judgement
from tenfold.review.shares import Figure, as_figure, source_of

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
    most. Within one: all images that came twice, real ones too; `within_together` puts these together with each
    reviewer's own chance agreement, and counts an image that came twice to several reviewers once."""

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
    generator = numpy_generator(derive_seed(seed, "all"))
    own = {name: _twice(looks[name], again[name]) for name in names if looks[name].keys() & again[name].keys()}

    def pair(first: str, second: str, raters: Sequence[Mapping[str, int]]) -> PairAgreement:
        table = _table(raters, by_id)
        draws = numpy_generator(derive_seed(seed, "pair", first, second))
        percent, kappa = (within_percent, within_kappa) if first == second else (percent_agreement, cohen_kappa)
        return PairAgreement(first, second, *_figures(table, percent, kappa, draws))

    percent, fleiss = _figures(
        _table([between[name] for name in names], by_id), percent_agreement, fleiss_kappa, generator
    )
    return RaterAgreement(
        percent=percent,
        fleiss_kappa=fleiss,
        pairs=tuple(
            pair(first, second, (between[first], between[second])) for first, second in combinations(busiest, 2)
        ),
        within=tuple(pair(name, name, both) for name, both in own.items()),
        within_together=pair("all", "all", [look for both in own.values() for look in both]),
    )


@dataclass(frozen=True)
class _Table:
    """Verdicts (N, R) of images that were judged twice or more, and the source image (N,) of each."""

    ratings: IntArray
    sources: IntArray


def _figures(
    table: _Table, percent: AgreementMetric, kappa: AgreementMetric, generator: np.random.Generator
) -> tuple[Figure, Figure]:
    share = share_interval(percent, table.ratings, generator, groups=table.sources)
    return as_figure(share), as_figure(kappa_interval(kappa, table.ratings, generator, groups=table.sources))


def _twice(first: Mapping[str, int], second: Mapping[str, int]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """A reviewer's two looks at the images that came twice."""
    both = first.keys() & second.keys()
    return {image_id: first[image_id] for image_id in both}, {image_id: second[image_id] for image_id in both}


def _table(raters: Sequence[Mapping[str, int]], by_id: Mapping[str, Item]) -> _Table:
    """The images that two or more of them judged, by image id."""
    seen = Counter(image_id for words in raters for image_id in words)
    ids = sorted(image_id for image_id, count in seen.items() if count >= 2)
    columns = [[words.get(image_id, NOT_RATED) for image_id in ids] for words in raters]
    sources = np.unique([source_of(by_id[image_id]) for image_id in ids], return_inverse=True)[1]
    ratings = np.array(columns, dtype=np.int64).reshape(len(raters), len(ids)).T
    return _Table(ratings, sources.astype(np.int64))
