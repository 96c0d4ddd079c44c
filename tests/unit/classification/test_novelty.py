"""The out-of-distribution hint: its p-values are those of the definition, level under the null, small far away."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.classification.novelty import FEWEST_HELD_OUT, LEVEL, make_reference, novelty


def cloud(count: int, seed: int) -> np.ndarray:
    """Features around one direction."""
    points = np.random.default_rng(seed).normal(0.0, 0.3, (count, 12))
    points[:, 0] += 2.0
    return points.astype(np.float32)


def test_p_values_follow_the_definition_and_the_kth_neighbor() -> None:
    training, held_out, queries = cloud(30, 0), cloud(40, 1), cloud(7, 2)
    found = novelty(queries, make_reference(training, held_out))

    def fifth(row: np.ndarray) -> float:
        units = training / np.linalg.norm(training, axis=1, keepdims=True)
        return float(np.sort(np.linalg.norm(units - row / np.linalg.norm(row), axis=1))[4])

    null = np.array([fifth(row) for row in held_out])
    distances = np.array([fifth(row) for row in queries])
    np.testing.assert_allclose(found.distances, distances, atol=1e-6)
    expected = [(1 + int((null >= distance).sum())) / 41 for distance in distances]
    np.testing.assert_allclose(found.p_values, expected)


def test_images_that_belong_are_marked_at_the_stated_rate_and_others_always() -> None:
    marked = [
        novelty(cloud(200, 1000 + seed), make_reference(cloud(60, seed), cloud(99, 500 + seed))).is_unusual.mean()
        for seed in range(20)
    ]
    assert np.mean(marked) == pytest.approx(LEVEL, abs=0.02)
    far = -cloud(20, 3)
    assert novelty(far, make_reference(cloud(60, 0), cloud(99, 1))).is_unusual.all()


def test_a_handful_of_images_cannot_tell() -> None:
    enough = make_reference(cloud(3, 0), cloud(FEWEST_HELD_OUT, 1))
    assert enough.can_tell and novelty(-cloud(1, 2), enough).is_unusual.all()
    assert not make_reference(cloud(3, 0), cloud(FEWEST_HELD_OUT - 1, 1)).can_tell
    assert not make_reference(np.empty((0, 12), dtype=np.float32), cloud(99, 1)).can_tell
