"""Nearest neighbors by Euclidean distance, exact and in bounded memory."""

from __future__ import annotations

import numpy as np

from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray

_CHUNK_ELEMENTS = 4_000_000


def pairwise_distances(queries: FloatArray, references: FloatArray) -> FloatArray:
    """Distances (Q, R) between rows of (Q, D) and (R, D)."""
    squares = (queries**2).sum(axis=1)[:, None] + (references**2).sum(axis=1)[None] - 2.0 * queries @ references.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)), dtype=np.float64)


def nearest(
    queries: FloatArray, references: FloatArray, *, forbidden: BoolArray | None = None
) -> tuple[FloatArray, IntArray]:
    """Distance (Q,) to the nearest reference and its index (Q,), the lowest of equals.

    forbidden: (Q, R), True where a reference may not answer a query (its own group). Infinite and -1 when none may.
    """
    distances = np.full(len(queries), np.inf)
    indices = np.full(len(queries), -1, dtype=np.int64)
    if len(references) == 0:
        return distances, indices
    step = max(1, _CHUNK_ELEMENTS // len(references))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        block = pairwise_distances(queries[rows], references)
        if forbidden is not None:
            block = np.where(forbidden[rows], np.inf, block)
        best = block.argmin(axis=1)
        distances[rows] = block[np.arange(len(block)), best]
        indices[rows] = np.where(np.isfinite(distances[rows]), best, -1)
    return distances, indices


def kth_neighbor_radius(points: FloatArray, k: int) -> FloatArray:
    """Distance (N,) of each point to its k-th nearest other point; needs more than k points (N, D)."""
    if not 1 <= k < len(points):
        raise ValueError(f"the {k}th neighbor needs more than {k} points, there are {len(points)}")
    distances = pairwise_distances(points, points)
    np.fill_diagonal(distances, np.inf)
    return np.partition(distances, k - 1, axis=1)[:, k - 1]
