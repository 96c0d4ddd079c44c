"""Agreement of raters against statsmodels, scikit-learn, published worked examples and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss

from tenfold.core.seeds import numpy_generator
from tenfold.metrics.agreement import (
    NOT_RATED,
    answered_share,
    cohen_kappa,
    fleiss_kappa,
    kappa_interval,
    percent_agreement,
    share_interval,
)
from tenfold.metrics.arrays import IntArray, one_weighting

# Fleiss 1971 as tabulated in Fleiss' kappa's textbook example: 10 subjects, 14 raters, 5 categories; kappa 0.210.
_TEXTBOOK = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


def _noisy(count: int, raters: int, seed: int, *, share: float = 0.8, error: float = 0.15) -> IntArray:
    """Raters who each err with the same probability on a truth with that share of ones."""
    generator = numpy_generator(seed)
    truth = generator.random(count) < share
    return np.stack([truth ^ (generator.random(count) < error) for _ in range(raters)], axis=1).astype(np.int64)


def _one(metric, ratings: IntArray) -> float:
    return float(metric(ratings, one_weighting(len(ratings)))[0])


def test_cohen_by_hand() -> None:
    """20 both yes, 5 only the first, 10 only the second, 15 both no: observed 0.7, expected 0.5, kappa 0.4."""
    ratings = np.array([[1, 1]] * 20 + [[1, 0]] * 5 + [[0, 1]] * 10 + [[0, 0]] * 15)
    assert _one(percent_agreement, ratings) == pytest.approx(0.7)
    assert _one(cohen_kappa, ratings) == pytest.approx(0.4)


@pytest.mark.parametrize("seed", range(4))
def test_cohen_equals_scikit_learn(seed: int) -> None:
    ratings = numpy_generator(seed).integers(0, 4, size=(60, 2))
    assert _one(cohen_kappa, ratings) == pytest.approx(cohen_kappa_score(ratings[:, 0], ratings[:, 1]), abs=1e-12)


def test_fleiss_equals_the_textbook() -> None:
    ratings = np.array([[category for category, n in enumerate(row) for _ in range(n)] for row in _TEXTBOOK])
    assert _one(fleiss_kappa, ratings) == pytest.approx(0.210, abs=5e-4)
    assert _one(percent_agreement, ratings) == pytest.approx(0.378, abs=5e-4)


@pytest.mark.parametrize("raters", [2, 3, 5])
def test_fleiss_equals_statsmodels(raters: int) -> None:
    ratings = numpy_generator(raters).integers(0, 3, size=(50, raters))
    expected = statsmodels_fleiss(aggregate_raters(ratings)[0], method="fleiss")
    assert _one(fleiss_kappa, ratings) == pytest.approx(expected, abs=1e-12)


def test_weights_count_images_as_often_as_they_were_drawn() -> None:
    ratings = _noisy(40, 3, seed=1)
    drawn = numpy_generator(2).integers(40, size=40)
    weights = np.bincount(drawn, minlength=40).astype(float)[None]
    for metric, columns in ((percent_agreement, 3), (fleiss_kappa, 3), (cohen_kappa, 2)):
        assert metric(ratings[:, :columns], weights)[0] == pytest.approx(_one(metric, ratings[drawn, :columns]))


def test_images_without_a_second_rating_do_not_count() -> None:
    ratings = np.array([[0, 0, NOT_RATED], [1, NOT_RATED, NOT_RATED], [0, 1, 1], [NOT_RATED] * 3])
    assert _one(percent_agreement, ratings) == pytest.approx((1 + 1 / 3) / 2)
    both = np.array([[1, 1], [0, 0], [1, NOT_RATED], [NOT_RATED, 0]])
    assert _one(cohen_kappa, both) == pytest.approx(1.0)
    assert kappa_interval(cohen_kappa, both, numpy_generator(0)).image_count == 2


def test_kappa_is_undefined_where_one_category_is_all_there_is() -> None:
    ratings = np.ones((30, 2), dtype=np.int64)
    assert math.isnan(_one(cohen_kappa, ratings)) and math.isnan(_one(fleiss_kappa, ratings))
    found = kappa_interval(cohen_kappa, ratings, numpy_generator(0))
    assert math.isnan(found.low) and "only one category" in found.method
    share = share_interval(percent_agreement, ratings, numpy_generator(0))
    assert share.value == 1 and share.low == pytest.approx(0.8865, abs=1e-3) and share.high == 1


def test_nothing_rated_is_no_error() -> None:
    nothing = np.full((3, 2), NOT_RATED)
    assert "undefined" in share_interval(percent_agreement, nothing, numpy_generator(0)).method
    assert "undefined" in kappa_interval(fleiss_kappa, nothing, numpy_generator(0)).method
    none = np.zeros(0, dtype=np.int64)
    assert "nobody" in answered_share(none, none, numpy_generator(0)).method


def test_intervals_are_the_same_again_and_hold_the_figure() -> None:
    ratings = _noisy(60, 3, seed=3)
    first = kappa_interval(fleiss_kappa, ratings, numpy_generator(5))
    assert first == kappa_interval(fleiss_kappa, ratings, numpy_generator(5))
    assert -1 < first.low < first.value < first.high < 1


def test_answers_on_one_image_go_together() -> None:
    """Four answers an image that always agree tell no more than one: the interval is that of the images."""
    right = np.array([1] * 30 + [0] * 20)
    alone = answered_share(right, np.ones(50, dtype=np.int64), numpy_generator(1))
    fourfold = answered_share(4 * right, np.full(50, 4), numpy_generator(1))
    assert fourfold.value == alone.value == pytest.approx(0.6)
    assert fourfold.high - fourfold.low == pytest.approx(alone.high - alone.low)
    assert alone.low == pytest.approx(0.46, abs=0.02) and alone.high == pytest.approx(0.73, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("raters", "share", "error"), [(2, 0.5, 0.1), (3, 0.8, 0.15)])
def test_intervals_cover(raters: int, share: float, error: float) -> None:
    """95 % intervals at 80 images hold the value of a very large set in about 95 % of 400 simulated reviews."""
    large = _noisy(500_000, raters, seed=99, share=share, error=error)
    true_kappa, true_share = _one(fleiss_kappa, large), _one(percent_agreement, large)
    generator = numpy_generator(7)
    kappas = shares = 0
    for seed in range(400):
        ratings = _noisy(80, raters, seed=seed, share=share, error=error)
        kappa = kappa_interval(fleiss_kappa, ratings, generator, draws=400)
        agreed = share_interval(percent_agreement, ratings, generator, draws=400)
        kappas += kappa.low <= true_kappa <= kappa.high
        shares += agreed.low <= true_share <= agreed.high
    assert 0.92 <= kappas / 400 <= 0.985
    assert 0.92 <= shares / 400 <= 0.985
