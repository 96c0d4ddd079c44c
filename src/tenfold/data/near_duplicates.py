"""Near-duplicates: perceptual hashes of images and the clusters they form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.errors import DataError

HASH_SIDE = 8
_REDUCED_SIDE_PX = 32
_BITS = HASH_SIDE * HASH_SIDE


def perceptual_hash(image: NDArray[np.uint8]) -> str:
    """pHash of (H, W, 3) uint8 as 16 hex digits: signs of the 63 lowest frequencies against their median.

    The gray image is reduced to 32 x 32 and cosine-transformed; the top left 8 x 8 coefficients are kept. The first one
    (mean brightness) gives no bit: it is always 0.
    """
    gray = Image.fromarray(image).convert("L").resize((_REDUCED_SIDE_PX, _REDUCED_SIDE_PX), Image.Resampling.BOX)
    matrix = _cosines()
    low = (matrix @ np.asarray(gray, dtype=np.float64) @ matrix.T).ravel()[1:]
    median = np.sort(low)[len(low) // 2]
    bits = np.concatenate([[False], low > median])
    return np.packbits(bits).tobytes().hex()


def near_duplicate_clusters(hashes: Sequence[str], max_distance: int) -> NDArray[np.int64]:
    """Cluster numbers (N,), from 0 in order of first member: hashes linked by pairs of at most that Hamming distance.

    Exact: no such pair is missed; see `near_duplicate_pairs`.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(hashes):
        return np.empty(0, dtype=np.int64)
    first, second, _ = near_duplicate_pairs(hashes, max_distance)
    size = len(hashes)
    graph = coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    return _by_first_member(component)


def near_duplicate_pairs(
    hashes: Sequence[str], max_distance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of at most that Hamming distance: places i < j in `hashes` and the distance, sorted by i, then j.

    Every pair of different hashes is named once, by the first image of each; images of equal hashes are paired with
    the first of them only (a thousand blank images make 999 pairs, not half a million).

    By the pigeonhole principle two hashes that differ in at most d bits agree in one of d + 1 bands of bits: only
    hashes that share a band are compared. Time and memory grow with the number of such neighbors.
    """
    if max_distance < 0:
        raise DataError(f"a distance of {max_distance} bits does not exist", expected="0 or more")
    distinct, place, member = np.unique(_as_integers(hashes), return_index=True, return_inverse=True)
    copies = np.flatnonzero(place[member] != np.arange(len(member)))
    ends = [(place[member[copies]], copies, np.zeros(len(copies), dtype=np.int64))]
    for first, second, distance in _pairs_by_band(distinct, max_distance):
        pair = place[first], place[second]
        ends.append((np.minimum(*pair), np.maximum(*pair), distance))
    i, j, found = (np.concatenate(part).astype(np.int64) for part in zip(*ends, strict=True))
    order = np.lexsort((j, i))
    return i[order], j[order], found[order]


_Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _pairs_by_band(values: NDArray[np.uint64], max_distance: int) -> Iterator[_Pairs]:
    """Pairs (first, second, distance) of places in distinct values, each pair from the first band it shares."""
    masks = _bands(values, max_distance + 1)
    for number, mask in enumerate(masks):
        order = np.argsort(values & mask, kind="stable")
        own = values[order]
        band = own & mask
        starts = np.flatnonzero(np.append(True, band[1:] != band[:-1])) if len(own) else np.empty(0, dtype=np.int64)
        lengths = np.diff(np.append(starts, len(own)))
        end = np.repeat(starts + lengths, lengths)
        left = np.arange(len(own))
        offset = 1
        while len(left := left[left + offset < end[left]]):
            difference = own[left] ^ own[left + offset]
            distance = np.bitwise_count(difference)
            near = distance <= max_distance
            for earlier in masks[:number]:
                near &= (difference & earlier) != 0
            hits = np.flatnonzero(near)
            if len(hits):
                yield order[left[hits]], order[left[hits] + offset], distance[hits].astype(np.int64)
            offset += 1


def _bands(values: NDArray[np.uint64], count: int) -> list[np.uint64]:
    """Masks that deal all 64 bits into so many bands (one empty band when there are not enough bits).

    Bits are dealt in turn from the most even to the most one-sided, so that every band tells many hashes apart.
    """
    if count > _BITS:
        return [np.uint64(0)]
    ones = [np.count_nonzero(values & np.uint64(1 << bit)) for bit in range(_BITS)]
    order = np.argsort(np.abs(np.array(ones) - len(values) / 2), kind="stable").tolist()
    return [np.uint64(sum(1 << bit for bit in order[start::count])) for start in range(count)]


def _as_integers(hashes: Sequence[str]) -> NDArray[np.uint64]:
    try:
        values = [int(text, 16) for text in hashes]
        if any(len(text) != 16 for text in hashes):
            raise ValueError("a hash of another length")
    except (TypeError, ValueError) as error:
        raise DataError(f"not perceptual hashes: {error}", expected="16 hex digits each") from error
    return np.array(values, dtype=np.uint64)


def _by_first_member(component: NDArray[np.int32]) -> NDArray[np.int64]:
    _, first, member = np.unique(component, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[member]


@cache
def _cosines() -> NDArray[np.float64]:
    """The lowest rows of the orthogonal DCT-II of a signal of 32 samples, (8, 32)."""
    frequency = np.arange(HASH_SIDE)[:, None]
    place = np.arange(_REDUCED_SIDE_PX)[None, :]
    return np.asarray(np.cos(np.pi * (2 * place + 1) * frequency / (2 * _REDUCED_SIDE_PX)))
