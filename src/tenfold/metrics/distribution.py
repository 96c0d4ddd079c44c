"""How a set of images fills another's feature space: precision, recall, density and coverage (Naeem 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tenfold.metrics.arrays import FloatArray
from tenfold.metrics.neighbors import kth_neighbor_radius, pairwise_distances


@dataclass(frozen=True)
class Prdc:
    """`precision`: share of the set inside the reference's k-neighbor balls; `recall`: share of the reference inside
    the set's; `density`: how many balls hold an image of the set, over k (1 for the same distribution); `coverage`:
    share of the reference whose ball holds an image of the set."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(reference: FloatArray, candidates: FloatArray, *, k: int = 5) -> Prdc:
    """Figures of candidates (N, D) against as many reference images (N, D).

    Raises ValueError when the counts differ (the figures depend on n, so unequal ones cannot be compared) or are
    not above k.
    """
    if len(reference) != len(candidates):
        raise ValueError(f"equal numbers are needed, not {len(reference)} reference and {len(candidates)} candidates")
    reference_radius = kth_neighbor_radius(reference, k)
    candidate_radius = kth_neighbor_radius(candidates, k)
    distances = pairwise_distances(reference, candidates)
    in_reference_ball = distances < reference_radius[:, None]
    in_candidate_ball = distances < candidate_radius[None, :]
    return Prdc(
        precision=float(in_reference_ball.any(axis=0).mean()),
        recall=float(in_candidate_ball.any(axis=1).mean()),
        density=float(in_reference_ball.sum(axis=0).mean() / k),
        coverage=float((distances.min(axis=1) < reference_radius).mean()),
    )


def standardize(reference: FloatArray, *others: FloatArray) -> list[FloatArray]:
    """All sets centered and scaled by the reference's mean and standard deviation per feature."""
    mean, deviation = reference.mean(axis=0), reference.std(axis=0)
    scale = np.where(deviation > 1e-12, deviation, 1.0)
    return [(points - mean) / scale for points in (reference, *others)]
