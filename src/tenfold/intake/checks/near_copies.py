"""Pairs of images that are one picture: near perceptual hashes, or near features confirmed by the pictures' details.

Features alone join strangers: on five sets of images most pairs of neighbors that the features call alike are
different pictures. So the nearest neighbors in features are candidates only, and a candidate counts when the details of
the two pictures agree: 32 x 32 gray thumbnails less their 9 x 9 means, correlated over 8 orientations and 4 crops (0 to
9 % off each side) of one against the other. On ham5, wbc, cxr_covid, bccd_crops and the phantom the likeness of
strangers reaches 0.92 at most; one pair above it, not named by its source, shows one cell twice. Nine of ten copies
saved as JPEG of quality 40, brightened, mirrored, turned, made gray or cropped by 8 % have 0.925 or more.

Of such planted copies 98 to 100 % are found after JPEG or made gray, 88 to 100 % brightened, 83 to 100 % cropped by
3 %, but 73 to 100 % mirrored, 33 to 82 % cropped by 8 % and 32 to 95 % turned: the others are no near neighbors in
features, so they never become candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tenfold.data.near_duplicates import near_duplicate_clusters
from tenfold.data.splits import NEAR_DUPLICATE_DISTANCE
from tenfold.intake.checks.measures import THUMBNAIL_PX

DETAIL_LIKENESS = 0.93
"""Correlation of details from which two pictures are one."""

_NEIGHBORS = 10
_SIDE_PX = 32
_CROPS = (0.0, 0.03, 0.06, 0.09)
_BLUR_PX = 9
_LEAST_DETAIL = 1e-3
_MOST_MEMBERS = 40


@dataclass(frozen=True)
class CopyLinks:
    """Pairs (first, second) of places with the likeness of their details, 0 to 1, and whether the hashes alone tell."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    likeness: NDArray[np.float64]
    is_by_hash: NDArray[np.bool_]


def copy_links(
    hashes: Sequence[str | None], features: NDArray[np.float32], thumbnails: NDArray[np.uint8],
    embedding_similarity: float,
) -> CopyLinks:  # fmt: skip
    """All pairs of near-copies, first < second, in order.

    hashes: perceptual hashes, None where there is none. features: (N, D); candidates are the 10 nearest neighbors by
    standardized features whose plain cosine similarity is at least `embedding_similarity`. Clusters of one hash that
    hold more than 40 images are linked to their first member only.
    """
    by_hash = _hash_pairs(hashes)
    candidates = _feature_pairs(features.astype(np.float64), embedding_similarity)
    pairs = sorted(by_hash | candidates)
    likeness = _likeness(thumbnails, pairs)
    kept = [place for place, pair in enumerate(pairs) if pair in by_hash or likeness[place] >= DETAIL_LIKENESS]
    links = np.array([pairs[place] for place in kept], dtype=np.int64).reshape(-1, 2)
    is_by_hash = np.array([pairs[place] in by_hash for place in kept], dtype=np.bool_)
    return CopyLinks(links[:, 0], links[:, 1], likeness[kept], is_by_hash)


def clusters(count: int, links: CopyLinks) -> list[NDArray[np.int64]]:
    """Places of every cluster of two or more linked images, in order of first member."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    weights = np.ones(len(links.first), dtype=np.int8)
    graph = coo_matrix((weights, (links.first, links.second)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    members: dict[int, list[int]] = {}
    for place in np.union1d(links.first, links.second):
        members.setdefault(int(component[place]), []).append(int(place))
    return [np.array(places, dtype=np.int64) for places in sorted(members.values())]


def _hash_pairs(hashes: Sequence[str | None]) -> set[tuple[int, int]]:
    """Pairs at most `NEAR_DUPLICATE_DISTANCE` apart: the very rule by which the split groups images."""
    places = [place for place, text in enumerate(hashes) if text is not None]
    known = [text for text in hashes if text is not None]
    if not known:
        return set()
    cluster = near_duplicate_clusters(known, NEAR_DUPLICATE_DISTANCE)
    values = np.array([int(text, 16) for text in known], dtype=np.uint64)
    order = np.argsort(cluster, kind="stable")
    borders = np.flatnonzero(np.diff(cluster[order])) + 1
    pairs: set[tuple[int, int]] = set()
    for members in np.split(order, borders):
        heads = members if len(members) <= _MOST_MEMBERS else members[:1]
        for head in heads:
            near = members[np.bitwise_count(values[members] ^ values[head]) <= NEAR_DUPLICATE_DISTANCE]
            chosen = members if len(members) > _MOST_MEMBERS else near
            pairs |= {(places[head], places[other]) for other in chosen if other > head}
    return pairs


def _feature_pairs(features: NDArray[np.float64], embedding_similarity: float) -> set[tuple[int, int]]:
    from sklearn.neighbors import NearestNeighbors

    count = len(features)
    if count < 2:
        return set()
    standard = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    standard = _unit(standard)
    search = NearestNeighbors(n_neighbors=min(_NEIGHBORS + 1, count), algorithm="brute").fit(standard)
    neighbors = search.kneighbors(standard, return_distance=False)
    plain = _unit(features)
    first = np.repeat(np.arange(count), neighbors.shape[1])
    second = neighbors.ravel()
    is_alike = np.einsum("nd,nd->n", plain[first], plain[second]) >= embedding_similarity - 1e-9
    wanted = is_alike & (first != second)
    low, high = np.minimum(first, second)[wanted], np.maximum(first, second)[wanted]
    return set(zip(low.tolist(), high.tolist(), strict=True))


def _likeness(thumbnails: NDArray[np.uint8], pairs: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Best correlation of details of each pair over orientations and crops, 0 at least; pairs sorted by first place."""
    result = np.zeros(len(pairs))
    start = 0
    while start < len(pairs):
        end = start
        while end < len(pairs) and pairs[end][0] == pairs[start][0]:
            end += 1
        own = _details(thumbnails[pairs[start][0]][None])[0]
        others = _details(thumbnails[[pair[1] for pair in pairs[start:end]]])
        views = _oriented(own)
        whole = np.einsum("pd,vcd->pvc", others[:, 0], views).max(axis=(1, 2))
        cropped = np.einsum("pcd,vd->pvc", others[:, 1:], views[:, 0]).max(axis=(1, 2))
        result[start:end] = np.maximum(whole, cropped)
        start = end
    return np.clip(result, 0.0, 1.0)


def _details(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(M, 48, 48) -> (M, crops, 32 * 32): unit vectors of what a blur leaves out; of plain pictures zeros."""
    images = thumbnails.astype(np.float32) / 255.0
    blur = _blur()
    result = np.empty((len(images), len(_CROPS), _SIDE_PX * _SIDE_PX), dtype=np.float32)
    for number, crop in enumerate(_CROPS):
        reduce = _reduction(crop)
        small = reduce @ images @ reduce.T
        flat = (small - blur @ small @ blur.T).reshape(len(images), -1)
        flat -= flat.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(flat, axis=1, keepdims=True)
        # A picture without details (a blank one) is like no other: only its hash can tell its copies.
        result[:, number] = np.where(norm > _LEAST_DETAIL * _SIDE_PX, flat / np.maximum(norm, 1e-12), 0.0)
    return result


def _oriented(details: NDArray[np.float32]) -> NDArray[np.float32]:
    """(crops, 1024) -> (8, crops, 1024): turned by 0 to 270 degrees, and the same mirrored."""
    square = details.reshape(len(details), _SIDE_PX, _SIDE_PX)
    views = [np.rot90(side, turns, axes=(1, 2)) for side in (square, square[:, :, ::-1]) for turns in range(4)]
    return np.stack([view.reshape(len(details), -1) for view in views])


@cache
def _reduction(crop: float) -> NDArray[np.float32]:
    """(32, 48) means of the pixels that remain when the fraction `crop` is cut off either end, by covered area."""
    edges = np.linspace(THUMBNAIL_PX * crop, THUMBNAIL_PX * (1 - crop), _SIDE_PX + 1)
    pixels = np.arange(THUMBNAIL_PX)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(covered, 0.0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


@cache
def _blur() -> NDArray[np.float32]:
    """(32, 32) means over 9 neighbors, fewer at the ends."""
    places = np.arange(_SIDE_PX)
    near = np.abs(places[:, None] - places[None]) <= _BLUR_PX // 2
    return np.asarray(near / near.sum(axis=1, keepdims=True), dtype=np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
