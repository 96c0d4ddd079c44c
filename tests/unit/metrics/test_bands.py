"""Bands: their curve is the plain curve, their width the interval's at one point, and their ends hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from tenfold.metrics.bands import GRID, pr_band, reliability_band, roc_band
from tenfold.metrics.bootstrap import Draws, PatientDraws, crossed_share_interval, draw_patients
from tenfold.metrics.proportions import wilson_interval
from tenfold.metrics.ranking import auroc, average_precision, roc_on_grid


@pytest.fixture
def study() -> tuple[np.ndarray, np.ndarray, np.ndarray, PatientDraws]:
    """Labels of two classes, scores of 3 seeds, 60 patients with 2 images each, and 200 draws."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 2)
    labels = (patients % 2).astype(np.int64)
    scores = special.expit(labels + rng.normal(0, 1, 120) + rng.normal(0, 0.5, (3, 120)))
    return labels, scores, patients, draw_patients(patients, labels, 200, rng)


def test_roc_band_holds_the_mean_curve_and_the_crossed_interval(study: tuple[np.ndarray, ...]) -> None:
    labels, scores, patients, draws = study
    band = roc_band(labels == 1, scores, patients, draws)
    plain = np.stack([roc_on_grid(labels == 1, seed, GRID) for seed in scores])
    np.testing.assert_allclose(band.value, plain.mean(axis=0))
    area = np.mean([auroc(labels == 1, seed, draws.weights[:1])[0] for seed in scores])
    assert np.trapezoid(band.value, GRID) == pytest.approx(area, abs=0.005)
    at = 30
    # at a false positive rate of 0.3 it is the interval of the sensitivity there
    drawn = np.stack(
        [
            [
                roc_on_grid(np.repeat(labels == 1, row), np.repeat(seed, row), GRID[at : at + 1])[0]
                for row in draws.weights.astype(int)
            ]
            for seed in scores
        ]
    )
    expected = crossed_share_interval(Draws.of_scores(drawn), draws, boundary_count=30)
    assert (band.low[at], band.high[at]) == pytest.approx((expected.low, expected.high))
    assert (band.value[-1], band.low[-1], band.high[-1]) == (1.0, 1.0, 1.0)
    assert ((band.low <= band.value) & (band.value <= band.high)).all() and "3 seeds" in band.method


def test_pr_band_has_the_area_of_the_average_precision(study: tuple[np.ndarray, ...]) -> None:
    labels, scores, patients, draws = study
    fine = (np.arange(2000) + 0.5) / 2000
    band = pr_band(labels == 1, scores, patients, draws, grid=fine[::40])
    area = np.mean([average_precision(labels == 1, seed, draws.weights[:1])[0] for seed in scores])
    assert band.value.mean() == pytest.approx(area, abs=0.01)
    assert (band.low <= band.value).all() and (band.value <= band.high).all()


def test_a_perfect_roc_gets_wilsons_interval_of_the_positive_patients() -> None:
    labels = np.repeat([0, 1], (20, 10))
    draws = draw_patients(np.arange(30), labels, 100, np.random.default_rng(0))
    band = roc_band(labels == 1, np.tile(labels.astype(float), (2, 1)), np.arange(30), draws)
    assert (band.low[50], band.high[50]) == wilson_interval(1.0, 10)


def test_reliability_band_by_bin(study: tuple[np.ndarray, ...]) -> None:
    labels, scores, patients, draws = study
    probs = np.stack([1 - scores, scores], axis=2)
    found = reliability_band(labels, probs, patients, draws, bins=5, class_index=1)
    inside = (scores > 0.4) & (scores <= 0.6)
    expected = np.mean([(labels[seed] == 1).mean() for seed in inside])
    assert found.band.value[2] == pytest.approx(expected)
    predicted = [row[seed].mean() for row, seed in zip(scores, inside, strict=True)]
    assert found.predicted[2] == pytest.approx(np.mean(predicted))
    assert found.share.sum() == pytest.approx(1.0) and found.band.low[2] < expected < found.band.high[2]
    top = reliability_band(labels, probs, patients, draws, bins=10)
    # no top probability of two classes lies below one half
    assert np.isnan(top.band.value[:5]).all() and np.isnan(top.predicted[:5]).all() and top.share[:5].sum() == 0
