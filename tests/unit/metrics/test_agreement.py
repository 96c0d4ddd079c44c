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
    balanced_share,
    cohen_kappa,
    fleiss_kappa,
    kappa_interval,
    percent_agreement,
    share_interval,
    within_kappa,
    within_percent,
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


def _answers(right: int, count: int) -> tuple[IntArray, IntArray]:
    return np.array([1] * right + [0] * (count - right)), np.ones(count, dtype=np.int64)


def test_a_small_half_keeps_the_mean_of_two_shares_uncertain() -> None:
    """60 of 60 and 3 of 3: Wilson's limits are 0.940 and 0.438, so the mean of 1 can be 0.72, not 0.94."""
    many, few = (answered_share(*_answers(count, count), numpy_generator(0)) for count in (60, 3))
    found = balanced_share(many, few)
    assert (found.value, found.high, found.image_count) == (1.0, 1.0, 63)
    assert found.low == pytest.approx(1 - math.hypot(1 - many.low, 1 - few.low) / 2) == pytest.approx(0.717, abs=2e-3)
    nobody = answered_share(*_answers(0, 0), numpy_generator(0))
    assert "one of the two kinds" in balanced_share(many, nobody).method


def test_the_mean_of_two_shares_is_covered_where_one_half_is_small() -> None:
    """Of 400 simulated reviews of 60 and 3 images, known to 95 and 90 %, the interval holds the mean in 95 % or more.

    Without the small half's own limits it did in 60 %.
    """
    generator = numpy_generator(11)
    hits = 0
    for _ in range(400):
        halves = [
            answered_share(generator.binomial(1, p, n), np.ones(n, dtype=np.int64), generator, draws=200)
            for p, n in ((0.95, 60), (0.9, 3))
        ]
        found = balanced_share(halves[0], halves[1])
        hits += found.low <= 0.925 <= found.high
    assert hits >= 380


def _looks(first_yes: float, seed: int, count: int = 4000) -> IntArray:
    """(N, 2) two looks of a rater who says yes at random."""
    return (numpy_generator(seed).random((count, 2)) < first_yes).astype(np.int64)


def test_raters_who_are_steady_by_chance_alone_are_so_together() -> None:
    """One accepts 90 %, one 10 %, both at random: 0.82 alike by chance each, and 0 beyond it; pooled it looked 0.64."""
    lax, strict = _looks(0.9, 1), _looks(0.1, 2)
    blank = np.full_like(lax, NOT_RATED)
    table = np.concatenate([np.concatenate([lax, blank], axis=1), np.concatenate([blank, strict], axis=1)])
    assert _one(cohen_kappa, np.concatenate([lax, strict])) == pytest.approx(0.64, abs=0.03)
    assert _one(within_kappa, table) == pytest.approx(0.0, abs=0.05)
    assert _one(within_percent, table) == pytest.approx(0.82, abs=0.02)


def test_within_kappa_of_one_rater_is_cohens_and_an_image_of_two_counts_once() -> None:
    first, second = _noisy(40, 2, seed=4), _noisy(40, 2, seed=5)
    assert _one(within_kappa, first) == pytest.approx(cohen_kappa_score(first[:, 0], first[:, 1]))
    both = np.concatenate([first, second], axis=1)
    assert kappa_interval(within_kappa, both, numpy_generator(0)).image_count == 40
    assert share_interval(within_percent, both, numpy_generator(0)).value == pytest.approx(
        ((first[:, 0] == first[:, 1]).mean() + (second[:, 0] == second[:, 1]).mean()) / 2
    )


def test_images_of_one_source_go_together() -> None:
    """Ten copies of each of 12 images tell no more than the 12: intervals are theirs, for shares, kappa and answers."""
    ratings = _noisy(12, 2, seed=8, share=0.5, error=0.2)
    groups = np.repeat(np.arange(12), 10)
    many = np.repeat(ratings, 10, axis=0)
    for interval, metric in ((share_interval, percent_agreement), (kappa_interval, cohen_kappa)):
        few = interval(metric, ratings, numpy_generator(1))
        grouped, loose = (interval(metric, many, numpy_generator(1), groups=one) for one in (groups, None))
        assert (grouped.low, grouped.high) == (pytest.approx(few.low), pytest.approx(few.high))
        assert grouped.image_count == 120 and "source images" in grouped.method
        assert loose.high - loose.low < 0.5 * (grouped.high - grouped.low)
    right = np.repeat(ratings[:, 0], 10)
    ones = np.ones(120, dtype=np.int64)
    grouped = answered_share(right, ones, numpy_generator(1), groups=groups)
    few = answered_share(ratings[:, 0], ones[:12], numpy_generator(1))
    assert (grouped.low, grouped.high) == (pytest.approx(few.low), pytest.approx(few.high))


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
