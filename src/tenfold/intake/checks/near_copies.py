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
from tenfold.intake.checks.measures import THUMBNAIL_PX, Rows

DETAIL_LIKENESS = 0.93
"""Correlation of details from which two pictures are one."""

_NEIGHBORS = 10
_SIDE_PX = 32
_CROPS = (0.0, 0.03, 0.06, 0.09)
_BLUR_PX = 9
_LEAST_DETAIL = 1e-3
_MOST_MEMBERS = 40
_BLOCK = 512


@dataclass(frozen=True)
class CopyLinks:
    """Pairs (first, second) of places with the likeness of their details, 0 to 1, and whether the hashes alone tell."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    likeness: NDArray[np.float64]
    is_by_hash: NDArray[np.bool_]


def copy_links(
    hashes: Sequence[str | None], features: Rows, thumbnails: Rows, embedding_similarity: float
) -> CopyLinks:
    """All pairs of near-copies, first < second, in order.

    hashes: perceptual hashes, None where there is none. features: (N, D); candidates are the 10 nearest neighbors by
    standardized features whose plain cosine similarity is at least `embedding_similarity`. thumbnails: (N, 48, 48).
    Clusters of one hash that hold more than 40 images are linked to their first member only.
    """
    by_hash = _hash_pairs(hashes)
    pairs = np.union1d(by_hash, _feature_pairs(features, embedding_similarity))
    first, second = np.divmod(pairs, max(len(hashes), 1))
    is_by_hash = np.isin(pairs, by_hash)
    likeness = _likeness(thumbnails, first, second)
    kept = is_by_hash | (likeness >= DETAIL_LIKENESS)
    return CopyLinks(first[kept], second[kept], likeness[kept], is_by_hash[kept])


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


def _hash_pairs(hashes: Sequence[str | None]) -> NDArray[np.int64]:
    """Pairs at most `NEAR_DUPLICATE_DISTANCE` apart: the very rule by which the split groups images.

    A pair is one number, first * N + second: of a hundred thousand images there may be a million pairs.
    """
    places = np.array([place for place, text in enumerate(hashes) if text is not None], dtype=np.int64)
    known = [text for text in hashes if text is not None]
    cluster = near_duplicate_clusters(known, NEAR_DUPLICATE_DISTANCE)
    values = np.array([int(text, 16) for text in known], dtype=np.uint64)
    order = np.argsort(cluster, kind="stable")
    order = order[np.bincount(cluster)[cluster[order]] > 1]
    borders = np.flatnonzero(np.diff(cluster[order])) + 1
    pairs = [np.empty(0, dtype=np.int64)]
    for members in np.split(order, borders):
        if len(members) > _MOST_MEMBERS:
            pairs.append(places[members[0]] * len(hashes) + places[members[1:]])
            continue
        for number, head in enumerate(members[:-1]):
            others = members[number + 1 :]
            near = others[np.bitwise_count(values[others] ^ values[head]) <= NEAR_DUPLICATE_DISTANCE]
            pairs.append(places[head] * len(hashes) + places[near])
    return np.concatenate(pairs)


def _feature_pairs(features: Rows, embedding_similarity: float) -> NDArray[np.int64]:
    """Pairs, as in `_hash_pairs`, of neighbors whose features are alike; features are held once, in float32."""
    from sklearn.neighbors import NearestNeighbors

    count = len(features)
    if count < 2:
        return np.empty(0, dtype=np.int64)
    standard = _standardized(features)
    search = NearestNeighbors(n_neighbors=min(_NEIGHBORS + 1, count), algorithm="brute").fit(standard)
    neighbors = search.kneighbors(standard, return_distance=False)
    del search, standard
    pairs = []
    for start in range(0, count, _BLOCK):
        near = neighbors[start : start + _BLOCK]
        first, second = np.repeat(np.arange(start, start + len(near)), near.shape[1]), near.ravel()
        places, where = np.unique(np.concatenate([first, second]), return_inverse=True)
        plain = _unit(features[places].astype(np.float64))
        similarity = np.einsum("nd,nd->n", plain[where[: len(first)]], plain[where[len(first) :]])
        wanted = (similarity >= embedding_similarity - 1e-9) & (first != second)
        pairs.append((np.minimum(first, second) * count + np.maximum(first, second))[wanted])
    return np.unique(np.concatenate(pairs))


def _standardized(features: Rows) -> NDArray[np.float32]:
    """Unit vectors (N, D) of features less their means, over their standard deviations."""
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(features), _BLOCK)]
    result = np.empty((len(features), features[:1].shape[1]), dtype=np.float32)
    for block in blocks:
        result[block] = features[block]
    mean = result.mean(axis=0, dtype=np.float64)
    variance = sum(((result[block] - mean) ** 2).sum(axis=0) for block in blocks) / len(features)
    for block in blocks:
        result[block] = _unit((result[block] - mean) / np.maximum(np.sqrt(variance), 1e-6))
    return result


def _likeness(thumbnails: Rows, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Best correlation of details of each pair over orientations and crops, 0 at least; pairs sorted by first place."""
    result = np.zeros(len(first))
    for start in range(0, len(first), _BLOCK):
        block = slice(start, start + _BLOCK)
        places, where = np.unique(np.concatenate([first[block], second[block]]), return_inverse=True)
        details = _details(thumbnails[places])
        own, other = np.split(where, 2)
        for head in np.unique(own):
            mine = np.flatnonzero(own == head)
            views, others = _oriented(details[head]), details[other[mine]]
            whole = np.einsum("pd,vcd->pvc", others[:, 0], views).max(axis=(1, 2))
            cropped = np.einsum("pcd,vd->pvc", others[:, 1:], views[:, 0]).max(axis=(1, 2))
            result[start + mine] = np.maximum(whole, cropped)
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
