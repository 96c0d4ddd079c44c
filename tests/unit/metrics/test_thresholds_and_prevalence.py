"""Thresholds against scikit-learn's ROC curve; predictive values against Bayes and statsmodels' risk ratio."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn import metrics as reference
from statsmodels.stats.contingency_tables import Table2x2

from tenfold.metrics import thresholds
from tenfold.metrics.arrays import one_weighting
from tenfold.metrics.prevalence import (
    NpvAtPrevalence,
    PpvAtPrevalence,
    npv_at_prevalence,
    npv_interval,
    ppv_at_prevalence,
    ppv_interval,
)


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    probs = rng.dirichlet(np.ones(3), 120)
    probs[np.arange(120), labels] += 0.5
    return labels, np.round(probs / probs.sum(axis=1, keepdims=True), 2)


def test_fitted_thresholds_are_the_best_on_sklearns_curve(scored: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probs = scored
    positive, scores = labels == 1, probs[:, 1]
    fpr, tpr, _ = reference.roc_curve(positive, scores, drop_intermediate=False)
    at_specificity = thresholds.threshold_at_specificity(positive, scores, 0.9)
    assert at_specificity.sensitivity == pytest.approx(tpr[fpr <= 0.1 + 1e-12].max())
    assert at_specificity.specificity >= 0.9
    at_sensitivity = thresholds.threshold_at_sensitivity(positive, scores, 0.95)
    assert at_sensitivity.specificity == pytest.approx(1 - fpr[tpr >= 0.95 - 1e-12].min())
    youden = thresholds.youden_threshold(positive, scores)
    assert youden.sensitivity + youden.specificity - 1 == pytest.approx((tpr - fpr).max())
    for fitted in (at_specificity, at_sensitivity, youden):
        called = scores >= fitted.value
        assert called[positive].mean() == pytest.approx(fitted.sensitivity)
        assert (~called[~positive]).mean() == pytest.approx(fitted.specificity)
        assert (fitted.n_positive, fitted.n_negative) == (positive.sum(), (~positive).sum())


def test_a_threshold_lies_midway_and_may_call_nothing() -> None:
    positive, scores = np.array([False, False, True, True]), np.array([0.1, 0.2, 0.6, 0.9])
    assert thresholds.youden_threshold(positive, scores).value == pytest.approx(0.4)
    strict = thresholds.threshold_at_specificity(~positive, scores, 1.0)
    assert strict.sensitivity == 0.0 and (scores < strict.value).all() and np.isfinite(strict.value)
    assert thresholds.threshold_at_sensitivity(positive, scores, 0.0).specificity == 1.0


def test_thresholds_need_both_sides_and_finite_scores() -> None:
    with pytest.raises(ValueError, match="0 cases and 3 others"):
        thresholds.youden_threshold(np.zeros(3, dtype=bool), np.arange(3.0))
    with pytest.raises(ValueError, match="1 scores are not finite"):
        thresholds.youden_threshold(np.array([True, False]), np.array([0.5, np.nan]))


def test_sensitivity_at_specificity_for_every_weighting(scored: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probs = scored
    weights = np.random.default_rng(1).multinomial(120, np.full(120, 1 / 120), size=5).astype(float)
    found = thresholds.SensitivityAtSpecificity(0.8)(labels, probs, weights)
    for d, row in enumerate(weights):
        for c in range(3):
            fpr, tpr, _ = reference.roc_curve(labels == c, probs[:, c], sample_weight=row, drop_intermediate=False)
            assert found[d, c] == pytest.approx(tpr[fpr <= 0.2 + 1e-9].max())
    without = weights[:1] * (labels != 2)
    assert np.isnan(thresholds.SensitivityAtSpecificity(0.8)(labels, probs, without)[0, 2])


def test_rates_at_thresholds_equal_sklearn(scored: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probs = scored
    cuts, one = (0.2, 0.4, 0.5), one_weighting(len(labels))
    found = {
        name: kernel(cuts)(labels, probs, one)[0]
        for name, kernel in {
            "sensitivity": thresholds.SensitivityAtThreshold,
            "specificity": thresholds.SpecificityAtThreshold,
            "ppv": thresholds.PpvAtThreshold,
            "npv": thresholds.NpvAtThreshold,
        }.items()
    }
    for c in range(3):
        is_class, called = labels == c, probs[:, c] >= cuts[c]
        assert found["sensitivity"][c] == pytest.approx(reference.recall_score(is_class, called))
        assert found["specificity"][c] == pytest.approx(reference.recall_score(~is_class, ~called))
        assert found["ppv"][c] == pytest.approx(reference.precision_score(is_class, called))
        assert found["npv"][c] == pytest.approx(reference.precision_score(~is_class, ~called))


def test_predictive_values_by_hand_and_by_counting(scored: tuple[np.ndarray, np.ndarray]) -> None:
    # of 1,000 people 10 are ill: 9 are found, and 99 of the 990 others called too
    assert ppv_at_prevalence(np.array(0.9), np.array(0.9), 0.01) == pytest.approx(9 / 108)
    assert npv_at_prevalence(np.array(0.9), np.array(0.9), 0.01) == pytest.approx(891 / 892)
    labels, probs = scored
    own = tuple(np.bincount(labels) / len(labels))
    one = one_weighting(len(labels))
    for c in range(3):
        is_class, called = labels == c, probs.argmax(axis=1) == c
        at_own = PpvAtPrevalence(own)(labels, probs, one)[0, c], NpvAtPrevalence(own)(labels, probs, one)[0, c]
        assert at_own == pytest.approx((is_class[called].mean(), (~is_class[~called]).mean()))
    assert PpvAtPrevalence((0.1,) * 3) == PpvAtPrevalence((0.1,) * 3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        PpvAtPrevalence((0.0, 0.5))


def test_mercaldos_interval_is_the_likelihood_ratios_one() -> None:
    """logit PPV = logit prevalence + log LR+, and LR+ is the risk ratio of the table, as statsmodels has it."""
    tp, positives, tn, negatives = 45, 60, 130, 150
    found = ppv_interval(tp, positives, tn, negatives, 0.02)
    table = Table2x2([[tp, positives - tp], [negatives - tn, tn]])
    expected = special.expit(special.logit(0.02) + np.log(table.riskratio_confint(0.05)))
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.value == pytest.approx(ppv_at_prevalence(np.array(0.75), np.array(130 / 150), 0.02))
    of_rest = Table2x2([[tn, negatives - tn], [positives - tp, tp]])
    expected = special.expit(special.logit(0.98) + np.log(of_rest.riskratio_confint(0.05)))
    cleared = npv_interval(tp, positives, tn, negatives, 0.02)
    assert (cleared.low, cleared.high) == pytest.approx(tuple(expected))


def test_intervals_of_full_cells_are_adjusted_and_empty_sides_undefined() -> None:
    perfect = ppv_interval(20, 20, 30, 30, 0.1)
    assert perfect.value == 1.0 and 0.1 < perfect.low < perfect.high < 1.0
    nothing_called = ppv_interval(0, 20, 30, 30, 0.1)
    assert np.isnan(nothing_called.value) and 0 < nothing_called.low < nothing_called.high < 1
    assert "no case" in ppv_interval(0, 0, 30, 30, 0.1).method
