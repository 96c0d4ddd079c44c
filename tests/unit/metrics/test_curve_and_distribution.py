"""Learning-curve fits and real-image equivalents; nearest neighbors and PRDC."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import isotonic_regression

from tenfold.metrics.curve_fit import equivalent_images, monotone_fit, size_at
from tenfold.metrics.distribution import prdc, standardize
from tenfold.metrics.neighbors import kth_neighbor_radius, nearest


def test_monotone_fit_equals_isotonic_regression() -> None:
    values = np.random.default_rng(0).normal(size=(50, 6)).cumsum(axis=1)
    expected = np.stack([isotonic_regression(row) for row in values])
    np.testing.assert_allclose(monotone_fit(values), expected)


def test_size_at_reads_the_curve_in_log_size() -> None:
    sizes, curve = np.array([8.0, 32.0, 128.0]), np.array([0.6, 0.8, 0.8])
    assert size_at(sizes, curve, 0.7) == (pytest.approx(16.0), "")
    assert size_at(sizes, curve, 0.8) == (pytest.approx(32.0), "")
    assert size_at(sizes, curve, 0.9) == (128.0, ">= ")
    assert size_at(sizes, curve, 0.5) == (8.0, "<= ")


def equivalents(arm: float, *, curve: tuple[float, ...] = (0.6, 0.7, 0.8), se: float = 0.005) -> str:
    points = np.array([*curve, arm])
    return equivalent_images(
        (8, 32, 128), points, np.eye(4) * se**2, 8.0, training_size=8, generator=np.random.default_rng(0)
    ).text


def test_equivalents_inside_beyond_and_below_the_curve() -> None:
    inside = equivalent_images(
        (8, 32, 128), np.array([0.6, 0.7, 0.8, 0.65]), np.eye(4) * 0.005**2, 8.0,
        training_size=8, generator=np.random.default_rng(0),
    )  # fmt: skip
    assert inside.value == pytest.approx(8.0) and inside.low is not None and inside.high is not None
    assert 0 < inside.low < 8 < inside.high < 24 and inside.bounds == ("", "", "")
    assert equivalents(0.9) == ">= 120 (>= 120 to >= 120)"
    assert equivalents(0.5) == "<= 0 (<= 0 to <= 0)"
    assert equivalents(0.6).startswith("0 (<= 0 to ")


def test_equivalents_say_why_they_cannot_be_had() -> None:
    assert equivalents(0.7, curve=(0.7, 0.7, 0.705)) == "not estimable: the control's curve is flat within its error"
    one = equivalent_images((8,), np.ones(2), np.eye(2), 8.0, training_size=8, generator=np.random.default_rng(0))
    assert one.text == "not estimable: the control has fewer than two training sizes"
    gap = equivalent_images(
        (8, 16), np.array([0.5, np.nan, 0.5]), np.eye(3), 8.0, training_size=8, generator=np.random.default_rng(0)
    )
    assert "undefined" in gap.text


def test_nearest_with_forbidden_references() -> None:
    queries, references = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 1.0], [3.0, 3.0]])
    distances, indices = nearest(queries, references)
    np.testing.assert_allclose(distances, [1.0, 1.0])
    np.testing.assert_array_equal(indices, [0, 1])
    distances, indices = nearest(queries, references, forbidden=np.array([[True, True], [False, True]]))
    assert np.isinf(distances[0]) and indices[0] == -1 and indices[1] == 0
    assert nearest(queries, references[:0])[1].tolist() == [-1, -1]


def test_kth_radius_by_hand() -> None:
    np.testing.assert_allclose(kth_neighbor_radius(np.array([[0.0], [1.0], [3.0]]), 2), [3.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="more than 3 points"):
        kth_neighbor_radius(np.zeros((3, 1)), 3)


def test_prdc_of_equal_far_and_collapsed_sets() -> None:
    rng = np.random.default_rng(0)
    reference, same = rng.normal(size=(2, 200, 4))
    alike = prdc(reference, same)
    assert alike.precision > 0.85 and alike.recall > 0.85 and 0.8 < alike.density < 1.2 and alike.coverage > 0.85
    far = prdc(reference, same + 50)
    assert (far.precision, far.recall, far.density, far.coverage) == (0.0, 0.0, 0.0, 0.0)
    collapsed = prdc(reference, reference[:1] + rng.normal(scale=1e-3, size=(200, 4)))
    assert collapsed.precision == 1.0 and collapsed.recall < 0.05 and collapsed.coverage < 0.2
    with pytest.raises(ValueError, match="equal numbers"):
        prdc(reference, same[:100])


def test_standardize_uses_the_references_moments() -> None:
    reference, other = standardize(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 6.0]]))
    np.testing.assert_allclose(reference, [[-1, 0], [1, 0]])
    np.testing.assert_allclose(other, [[3, 1]])
