"""Degradation: keyed by its seed, of the right size, and weaker or stronger as asked."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.finetuning.degradation import PLAIN, Degradation, degrade, enlarge_bicubic, enlarge_nearest
from tests.image_files import random_image

IMAGE = random_image(3, 64, 48)


def test_the_same_seed_gives_the_same_image_and_another_one_another() -> None:
    first, again, other = (degrade(IMAGE, 4, Degradation(), seed=seed) for seed in (1, 1, 2))
    assert first.shape == (12, 16, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_plain_degradation_draws_nothing() -> None:
    assert np.array_equal(degrade(IMAGE, 4, PLAIN, seed=1), degrade(IMAGE, 4, PLAIN, seed=2))


def test_each_fault_takes_the_image_further_from_the_plain_one() -> None:
    none = Degradation((0, 0), (0, 0), (100, 100), jpeg_share=0.0)
    faults = {
        "none": none,
        "blur": Degradation((0.8, 0.8), (0, 0), (100, 100), jpeg_share=0.0),
        "noise": Degradation((0, 0), (20, 20), (100, 100), jpeg_share=0.0),
        "jpeg": Degradation((0, 0), (0, 0), (10, 10), jpeg_share=1.0),
    }
    plain = degrade(IMAGE, 4, PLAIN, seed=0).astype(float)
    distance = {
        name: np.mean([np.abs(degrade(IMAGE, 4, fault, seed=seed) - plain).mean() for seed in range(20)])
        for name, fault in faults.items()
    }
    assert all(distance[name] > distance["none"] + 2 for name in ("blur", "noise", "jpeg"))


def test_noise_has_the_strength_that_is_asked_for() -> None:
    gray = np.full((256, 256, 3), 128, dtype=np.uint8)
    low = degrade(gray, 4, Degradation((0, 0), (6, 6), jpeg_share=0.0), seed=5)
    assert low.std() == pytest.approx(6, rel=0.05)


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="64 x 48 px cannot be reduced 5 times"):
        degrade(IMAGE, 5, PLAIN, seed=0)


def test_enlarging_brings_the_size_back() -> None:
    low = degrade(IMAGE, 4, PLAIN, seed=0)
    assert enlarge_bicubic(low, 4).shape == IMAGE.shape
    assert np.array_equal(enlarge_nearest(low, 4)[::4, ::4], low)
