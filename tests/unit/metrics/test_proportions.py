"""Shares of images that come in clusters, and how many trials a wanted number takes, against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.core.seeds import numpy_generator
from tenfold.metrics.proportions import effective_count, trials_for, wilson_interval


def test_images_of_their_own_are_as_many_as_they_are() -> None:
    assert effective_count(np.array([1.0, 0.0, 1.0]), np.ones(3)) == 3


def test_clusters_of_one_mind_tell_as_much_as_one_image_each() -> None:
    whole = np.full(12, 10.0)
    assert effective_count(np.array([10.0, 0.0] * 6), whole) == pytest.approx(12)
    assert effective_count(whole, whole) < 24, "that all were accepted does not show that images are independent"
    spread = effective_count(np.array([5.0, 6.0, 4.0, 5.0] * 100), np.full(400, 10.0))
    assert spread == pytest.approx(4000, rel=0.2)


@pytest.mark.parametrize(("clusters", "size", "alike", "share"), [(10, 20, 0.3, 0.8), (40, 5, 0.5, 0.6)])
def test_intervals_of_clusters_cover(clusters: int, size: int, alike: float, share: float) -> None:
    """Of 500 simulated reviews Wilson's interval of the effective number holds the rate in 94 % or more; plain Wilson
    does in far fewer."""
    generator = numpy_generator(3)
    whole = np.full(clusters, float(size))
    hits = plain = 0
    for _ in range(500):
        rates = generator.beta(share * (1 / alike - 1), (1 - share) * (1 / alike - 1), clusters)
        part = generator.binomial(size, rates).astype(float)
        seen = float(part.sum() / whole.sum())
        low, high = wilson_interval(seen, effective_count(part, whole))
        hits += low <= share <= high
        low, high = wilson_interval(seen, clusters * size)
        plain += low <= share <= high
    assert hits >= 470 and plain < 400


def test_as_many_trials_suffice_as_often_as_they_say() -> None:
    """12 of 30 accepted, 20 more wanted. Over rates that go with this (beta), 50 and 97.5 % of reviews reach them."""
    rates = numpy_generator(5).beta(12.5, 18.5, 20_000)
    for chance in (0.025, 0.5, 0.975):
        draws = trials_for(20, 12, 30, chance)
        reached = (numpy_generator(6).binomial(draws, rates) >= 20).mean()
        one_less = (numpy_generator(6).binomial(draws - 1, rates) >= 20).mean()
        assert one_less - 0.01 < chance < reached + 0.01


def test_trials_for_by_hand() -> None:
    """Where every image is accepted hardly more are needed; where the rate is known, chance alone is left."""
    assert trials_for(5, 1e6, 1e6, 0.5) == 5
    known = [trials_for(100, 5e6, 1e7, chance) for chance in (0.025, 0.5, 0.975)]
    assert known == [pytest.approx(173, abs=2), pytest.approx(200, abs=2), pytest.approx(230, abs=2)]
    few = [trials_for(100, 5, 10, chance) for chance in (0.025, 0.5, 0.975)]
    assert few[0] < known[0] < known[2] < few[2]
