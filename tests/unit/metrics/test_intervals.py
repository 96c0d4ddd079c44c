"""Intervals: the crossed bootstrap's parts by hand, Wilson, Holm and detectable differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tenfold.metrics import bootstrap, power
from tenfold.metrics.catalog import METRICS
from tenfold.metrics.paired_tests import holm
from tenfold.metrics.proportions import wilson_interval


def test_patients_are_drawn_whole_and_within_their_class() -> None:
    patients = np.array([7, 7, 3, 3, 5, 9])
    labels = np.array([0, 0, 0, 1, 1, 1])
    drawn = bootstrap.draw_patients(patients, labels, 500, np.random.default_rng(0))
    weights = drawn.weights[1:]
    assert (drawn.weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 2] == weights[:, 3]).all()
    # strata: {7, 3 (tie: the lower class)} and {5, 9}
    assert (weights[:, 0] + weights[:, 2] == 2).all() and (weights[:, 4] + weights[:, 5] == 2).all()
    assert (drawn.patient_count, drawn.degrees_of_freedom) == (4, 2)


def test_patient_part_is_the_variance_of_a_mean_over_patients() -> None:
    rng = np.random.default_rng(1)
    labels = np.zeros(200, dtype=np.int64)
    probs = np.where(rng.random((1, 200)) < 0.7, 0.9, 0.1)
    probs = np.stack([probs, 1 - probs], axis=2)
    draws = bootstrap.draw_patients(np.arange(200), labels, 4000, rng)
    interval = bootstrap.crossed_interval(
        bootstrap.Draws.of_scores(bootstrap.draw_metric(METRICS["accuracy"].compute, labels, probs, draws)), draws
    )
    share = interval.value
    assert interval.standard_error == pytest.approx(np.sqrt(share * (1 - share) / 199), rel=0.03)
    assert interval.degrees_of_freedom == 199
    assert "one seed" in interval.method


def test_few_seeds_get_t_quantiles() -> None:
    points = np.array([0.02, 0.03, 0.05, 0.04, 0.06])
    draws = bootstrap.PatientDraws(np.ones((3, 50)), 50, 48)
    # every draw of patients scores alike: only the seeds vary
    figure = bootstrap.Draws(points, np.repeat(points[:, None], 3, axis=1))
    interval = bootstrap.crossed_interval(figure, draws)
    expected = stats.ttest_1samp(points, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert interval.p_value == pytest.approx(stats.ttest_1samp(points, 0).pvalue)


def test_interaction_is_not_counted_twice() -> None:
    """Seeds that differ only by noise of their own per patient: the variance is that noise / (N x K)."""
    rng = np.random.default_rng(2)
    seeds, patients = 5, 400
    effects = rng.normal(0, 1, (seeds, patients))
    draws = bootstrap.draw_patients(np.arange(patients), np.zeros(patients, dtype=np.int64), 2000, rng)
    figure = bootstrap.Draws(effects.mean(axis=1), effects @ draws.weights[1:].T / patients)
    covariance, _ = bootstrap.crossed_covariance([figure], draws)
    assert covariance[0, 0] == pytest.approx(1 / (seeds * patients), rel=0.9)
    seeds_part = effects.mean(axis=1).var(ddof=1) / seeds
    assert covariance[0, 0] < seeds_part + 1 / (seeds * patients) * 1.05


def test_identical_arms_differ_by_exactly_nothing() -> None:
    figure = bootstrap.Draws(np.zeros(3), np.zeros((3, 10)))
    interval = bootstrap.crossed_interval(figure, bootstrap.PatientDraws(np.ones((10, 8)), 8, 6))
    assert (interval.value, interval.low, interval.high, interval.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_a_difference_without_any_spread_is_undefined_not_certain() -> None:
    figure = bootstrap.Draws(np.full(3, 0.2), np.full((3, 10), 0.2))
    interval = bootstrap.crossed_interval(figure, bootstrap.PatientDraws(np.ones((10, 2)), 2, 1))
    assert np.isnan(interval.low) and "undefined" in interval.method


def test_shares_stay_in_range_and_use_wilson_at_the_edge() -> None:
    draws = bootstrap.PatientDraws(np.ones((10, 8)), 8, 6)
    high = bootstrap.Draws(np.array([0.97, 0.99, 0.98]), np.full((3, 10), 0.98))
    interval = bootstrap.crossed_share_interval(high, draws, boundary_count=8)
    assert 0 < interval.low < 0.98 < interval.high < 1
    edge = bootstrap.crossed_share_interval(bootstrap.Draws(np.ones(3), np.ones((3, 10))), draws, boundary_count=8)
    assert (edge.low, edge.high) == wilson_interval(1.0, 8) and "Wilson" in edge.method
    missing = bootstrap.Draws(np.full(3, np.nan), np.full((3, 10), np.nan))
    assert np.isnan(bootstrap.crossed_share_interval(missing, draws, boundary_count=8).low)


def test_errors_get_an_interval_on_the_log_scale() -> None:
    rng = np.random.default_rng(3)
    draws = bootstrap.PatientDraws(np.ones((101, 30)), 30, 28)
    figure = bootstrap.Draws(np.array([0.30, 0.36, 0.33]), rng.normal(0.33, 0.05, (3, 100)))
    plain, found = bootstrap.crossed_interval(figure, draws), bootstrap.crossed_error_interval(figure, draws)
    half = (plain.high - plain.low) / 2
    assert (found.low, found.high) == pytest.approx((0.33 * np.exp(-half / 0.33), 0.33 * np.exp(half / 0.33)))
    assert found.value == plain.value and found.p_value == plain.p_value and "log scale" in found.method
    nothing = bootstrap.Draws(np.zeros(3), np.zeros((3, 100)))
    assert bootstrap.crossed_error_interval(nothing, draws).low == 0.0
    missing = bootstrap.Draws(np.full(3, np.nan), np.full((3, 100), np.nan))
    assert np.isnan(bootstrap.crossed_error_interval(missing, draws).low)


def test_a_few_undefined_draws_are_left_out_and_many_undo_the_interval() -> None:
    rng = np.random.default_rng(0)
    draws = bootstrap.PatientDraws(np.ones((101, 50)), 50, 48)
    scores = rng.normal(0.5, 0.05, (4, 100))
    whole = bootstrap.crossed_interval(bootstrap.Draws(scores.mean(axis=1), scores[:, 5:]), draws)
    scores[2, :5] = np.nan
    few = bootstrap.crossed_interval(bootstrap.Draws(np.nanmean(scores, axis=1), scores), draws)
    assert few.standard_error == pytest.approx(whole.standard_error, rel=0.05)
    scores[2, :50] = np.nan
    many = bootstrap.crossed_interval(bootstrap.Draws(np.nanmean(scores, axis=1), scores), draws)
    assert np.isnan(many.low) and "too many draws" in many.method


def test_wilson_against_published_and_scipy_figures() -> None:
    expected = stats.binomtest(66, 70).proportion_ci(method="wilson")
    assert wilson_interval(66 / 70, 70) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert wilson_interval(1.0, 10) == (pytest.approx(0.7225, abs=1e-4), 1.0)
    with pytest.raises(ValueError, match="positive count"):
        wilson_interval(0.5, 0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([None, 0.02]) == [None, 0.02]
    assert holm([]) == []


def test_detectable_differences() -> None:
    assert power.detectable_accuracy_difference(360) == pytest.approx(0.066, abs=5e-4)
    assert power.detectable_accuracy_difference(0) == np.inf
    # Hanley and McNeil 1982: AUC 0.893 of 51 abnormal and 58 normal has a standard error of 0.0324 or so
    assert power.auroc_standard_error(0.893, 51, 58) == pytest.approx(0.0324, abs=5e-4)
    assert power.auroc_standard_error(0.9, 0, 10) == np.inf
    assert power.detectable_difference(0.01, 1e6) == pytest.approx(0.028, abs=1e-4)
    assert power.detectable_difference(0.01, 4) > 0.03
    more, fewer = (power.detectable_auroc_difference(n, 3 * n) for n in (100, 50))
    assert 0 < more < fewer
