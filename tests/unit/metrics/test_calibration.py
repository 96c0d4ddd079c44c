"""Calibration per class, reliability and temperature against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from tenfold.metrics import calibration
from tenfold.metrics.arrays import one_weighting


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    logits = rng.normal(0, 1.5, (200, 3))
    logits[np.arange(200), labels] += 1.5
    return labels, logits, rng.multinomial(200, np.full(200, 1 / 200), size=3).astype(float)


def test_figures_per_class_equal_sklearn(scored: tuple[np.ndarray, ...]) -> None:
    labels, logits, weights = scored
    probs = special.softmax(logits, axis=1)
    brier = calibration.brier_per_class(labels, probs, weights)
    loss = calibration.log_loss_per_class(labels, probs, weights)
    for d, row in enumerate(weights):
        for c in range(3):
            assert brier[d, c] == pytest.approx(reference.brier_score_loss(labels == c, probs[:, c], sample_weight=row))
            assert loss[d, c] == pytest.approx(reference.log_loss(labels == c, probs[:, c], sample_weight=row))
    # of all classes together they are the Brier score
    np.testing.assert_allclose(brier.sum(axis=1), calibration.brier_score(labels, probs, weights))


def test_reliability_equals_sklearns_calibration_curve(scored: tuple[np.ndarray, ...]) -> None:
    labels, logits, _ = scored
    probs = special.softmax(logits, axis=1)
    found = calibration.reliability(labels, probs, one_weighting(200), bins=8, class_index=2)
    observed, predicted = calibration_curve(labels == 2, probs[:, 2], n_bins=8)
    filled = found.share[0] > 0
    np.testing.assert_allclose(found.observed[0, filled], observed)
    np.testing.assert_allclose(found.predicted[0, filled], predicted)
    assert found.share.sum() == pytest.approx(1.0)
    gap = calibration.calibration_error_per_class(labels, probs, one_weighting(200))[0, 2]
    ten = calibration.reliability(labels, probs, one_weighting(200), class_index=2)
    assert gap == pytest.approx(np.nansum(np.abs(ten.observed - ten.predicted) * ten.share))


def test_reliability_of_weights_and_empty_bins() -> None:
    labels, probs = np.array([0, 1, 0]), np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45]])
    found = calibration.reliability(labels, probs, np.array([[1.0, 3.0, 0.0]]))
    assert found.observed[0, 9] == 0.25 and found.share[0, 9] == 1.0
    assert np.isnan(found.observed[0, 5]) and found.share[0, 5] == 0.0
    error = calibration.expected_calibration_error(labels, probs, np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]]))
    assert error[0] == pytest.approx(0.7) and np.isnan(error[1])


def test_temperature_of_two_classes_is_one_over_a_logistic_slope() -> None:
    rng = np.random.default_rng(1)
    score = rng.normal(0, 4, 400)
    labels = (rng.random(400) < special.expit(score / 2.5)).astype(np.int64)
    logits = np.stack([np.zeros(400), score], axis=1)
    slope = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(score[:, None], labels).coef_[0, 0]
    temperature = calibration.fit_temperature(logits, labels)
    assert temperature == pytest.approx(1 / slope, rel=1e-4) and 2 < temperature < 3.2


def test_temperature_lowers_the_loss_and_takes_log_probabilities(scored: tuple[np.ndarray, ...]) -> None:
    labels, logits, _ = scored
    temperature = calibration.fit_temperature(logits * 5, labels)
    losses = [
        reference.log_loss(labels, calibration.tempered(logits * 5, temperature * factor)) for factor in (0.97, 1, 1.03)
    ]
    assert losses[1] < losses[0] and losses[1] < losses[2]
    log_probs = np.log(special.softmax(logits, axis=1))
    assert calibration.fit_temperature(log_probs, labels) == pytest.approx(temperature / 5, rel=1e-4)
    # a probability of exactly 0 is cut, not refused
    with_zero = np.concatenate([log_probs, [[0.0, -np.inf, -np.inf]]])
    assert np.isfinite(calibration.fit_temperature(with_zero, np.append(labels, 1)))


def test_temperature_that_images_cannot_tell_and_bad_logits() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert calibration.fit_temperature(logits, np.array([0, 1])) == 1.0
    assert calibration.fit_temperature(logits, np.array([1, 0])) == pytest.approx(np.exp(6), rel=1e-3)
    with pytest.raises(ValueError, match="NaN or infinity"):
        calibration.fit_temperature(np.array([[np.nan, 0.0]]), np.array([0]))
    with pytest.raises(ValueError, match="at least one"):
        calibration.fit_temperature(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
