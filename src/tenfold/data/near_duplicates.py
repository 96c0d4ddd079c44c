"""Near-duplicates: perceptual hashes of images and the clusters they form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.errors import DataError

HASH_SIDE = 8
_REDUCED_SIDE_PX = 32
_CHUNK = 2048


def perceptual_hash(image: NDArray[np.uint8]) -> str:
    """pHash of (H, W, 3) uint8 as 16 hex digits: signs of the 63 lowest frequencies against their median.

    The gray image is reduced to 32 x 32 and cosine-transformed; the top left 8 x 8 coefficients are kept. The first one
    (mean brightness) gives no bit: it is always 0.
    """
    gray = Image.fromarray(image).convert("L").resize((_REDUCED_SIDE_PX, _REDUCED_SIDE_PX), Image.Resampling.BOX)
    matrix = _cosines()
    low = (matrix @ np.asarray(gray, dtype=np.float64) @ matrix.T).ravel()[1:]
    bits = np.concatenate([[False], low > np.median(low)])
    return np.packbits(bits).tobytes().hex()


def near_duplicate_clusters(hashes: Sequence[str], max_distance: int) -> NDArray[np.int64]:
    """Cluster numbers (N,), from 0 in order of first member: hashes linked by pairs of at most that Hamming distance.

    All pairs are compared (on distinct hashes, in blocks): exact, and 10,000 hashes take about a second.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    values = _as_integers(hashes)
    distinct, member = np.unique(values, return_inverse=True)
    firsts, seconds = [], []
    for start in range(0, len(distinct), _CHUNK):
        block = distinct[start : start + _CHUNK]
        distance = np.bitwise_count(block[:, None] ^ distinct[None, start:])
        first, second = np.nonzero(distance <= max_distance)
        firsts.append(first + start)
        seconds.append(second + start)
    if not firsts:
        return np.empty(0, dtype=np.int64)
    links = (np.concatenate(firsts), np.concatenate(seconds))
    size = len(distinct)
    graph = coo_matrix((np.ones(len(links[0]), dtype=np.int8), links), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    return _by_first_member(component[member])


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
