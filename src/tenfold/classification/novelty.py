"""The out-of-distribution hint: how far an image lies from the training images, against held-out images that belong.

An image's distance is that to its k-th nearest training image by unit-length features (Sun et al. 2022). It is set
against the same distance of validation images, which the network never learned from: the conformal p-value (1 + number
of held-out distances as large or larger) / (1 + M) is small for images unlike all of these (Bates et al. 2023). It
speaks of images of another kind; that it stays silent does not make an answer right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.metrics.arrays import FloatArray
from tenfold.metrics.neighbors import pairwise_distances

NEIGHBOR = 5
LEVEL = 0.05
FEWEST_HELD_OUT = math.ceil(1 / LEVEL) - 1
"""With fewer held-out images no p-value can reach `LEVEL`."""

_CHUNK = 256


@dataclass(frozen=True)
class Reference:
    """features: (N, D) float32 of unit length, of training images; null: (M,) float64, distances of held-out ones."""

    features: NDArray[np.float32]
    null: FloatArray

    @property
    def can_tell(self) -> bool:
        """Whether there are training images to measure to and enough held-out ones to measure against."""
        return len(self.features) > 0 and len(self.null) >= FEWEST_HELD_OUT


@dataclass(frozen=True)
class Novelty:
    """distances, p_values: (Q,) float64; is_unusual: (Q,) bool, p-values of at most `LEVEL`."""

    distances: FloatArray
    p_values: FloatArray

    @property
    def is_unusual(self) -> NDArray[np.bool_]:
        return np.asarray(self.p_values <= LEVEL)


def make_reference(training: NDArray[np.float32], held_out: NDArray[np.float32]) -> Reference:
    """Features (N, D) and (M, D) as the network gives them."""
    features = _unit(training)
    return Reference(features, _distances(_unit(held_out), features))


def novelty(features: NDArray[np.float32], reference: Reference) -> Novelty:
    """Of images with features (Q, D), against a reference that `can_tell`."""
    distances = _distances(_unit(features), reference.features)
    as_far = len(reference.null) - np.searchsorted(np.sort(reference.null), distances, side="left")
    return Novelty(distances, np.asarray((1.0 + as_far) / (1.0 + len(reference.null)), dtype=np.float64))


def _distances(queries: NDArray[np.float32], references: NDArray[np.float32]) -> FloatArray:
    if not len(references):
        return np.full(len(queries), np.nan)
    k = min(NEIGHBOR, len(references))
    wide = references.astype(np.float64)
    blocks = [np.empty(0)]
    for start in range(0, len(queries), _CHUNK):
        block = pairwise_distances(queries[start : start + _CHUNK].astype(np.float64), wide)
        blocks.append(np.partition(block, k - 1, axis=1)[:, k - 1])
    return np.concatenate(blocks)


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), dtype=np.float32)
