"""DeLong against the example of its own paper, and Obuchowski's clustered form against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from tenfold.metrics.delong import auroc_covariance, auroc_interval, clustered_delong, delong
from tenfold.metrics.proportions import wilson_interval

OVARIAN = np.fromstring(
    """3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
    3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
    2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
    3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
    3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
    3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1""",
    sep=" ",
).reshape(-1, 4)
"""Albumin, total protein, K-G score (lower is better) and whether the patient benefited (DeLong 1988, the 43 patients
with all three)."""


@pytest.fixture
def clustered() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Whether positive, two scores and patients; patients hold positives and negatives, and vary in size."""
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(30), rng.integers(1, 5, 30))
    positive = rng.random(len(patients)) < 0.45
    shared = rng.normal(0, 1, 30)[patients] + positive
    first, second = (np.round(shared + rng.normal(0, 1, len(patients)), 1) for _ in range(2))
    return positive, first, second, patients


def test_delongs_own_example_as_published() -> None:
    """SAS/STAT prints a joint chi-squared of 2.5340 on 2 degrees of freedom (p = 0.2817) for the three scores."""
    benefited = OVARIAN[:, 3] == 1
    scores = (OVARIAN[:, 0], OVARIAN[:, 1], 10 - OVARIAN[:, 2])
    values, covariance = auroc_covariance(benefited, scores, np.arange(len(OVARIAN)))
    assert values == pytest.approx([roc_auc_score(benefited, score) for score in scores])
    contrast = np.array([[1, 0, -1], [0, 1, -1]])
    gap = contrast @ values
    joint = gap @ np.linalg.solve(contrast @ covariance @ contrast.T, gap)
    assert joint == pytest.approx(2.5340, abs=5e-5)
    assert stats.chi2.sf(joint, 2) == pytest.approx(0.2817, abs=5e-5)
    pair = delong(benefited, scores[0], scores[2])
    assert pair.difference == pytest.approx(gap[0]) and pair.n == 43
    assert pair.standard_error == pytest.approx(np.sqrt((contrast @ covariance @ contrast.T)[0, 0]))
    assert pair.p_value == pytest.approx(2 * stats.norm.sf(abs(pair.statistic)))
    assert pair.high - pair.difference == pytest.approx(1.959964 * pair.standard_error, rel=1e-6)


def by_definition(positive: np.ndarray, scores: list[np.ndarray], patients: np.ndarray) -> np.ndarray:
    """Obuchowski 1997, equations as printed, one comparison at a time."""

    def wins(x: float, y: float) -> float:
        return 1.0 if x > y else 0.5 if x == y else 0.0

    ids = np.unique(patients)
    m, n = int(positive.sum()), int((~positive).sum())
    areas, x_sums, y_sums = [], [], []
    for score in scores:
        x, y = score[positive], score[~positive]
        area = np.mean([[wins(a, b) for b in y] for a in x])
        v10 = [np.mean([wins(a, b) for b in y]) for a in x]
        v01 = [np.mean([wins(a, b) for a in x]) for b in y]
        of_x, of_y = patients[positive], patients[~positive]
        areas.append(area)
        x_sums.append(np.array([sum(v - area for v, p in zip(v10, of_x, strict=True) if p == i) for i in ids]))
        y_sums.append(np.array([sum(v - area for v, p in zip(v01, of_y, strict=True) if p == i) for i in ids]))
    with_x, with_y, all_patients = len(set(patients[positive])), len(set(patients[~positive])), len(ids)
    result = np.empty((len(scores), len(scores)))
    for r in range(len(scores)):
        for s in range(len(scores)):
            s10 = with_x / ((with_x - 1) * m) * (x_sums[r] * x_sums[s]).sum()
            s01 = with_y / ((with_y - 1) * n) * (y_sums[r] * y_sums[s]).sum()
            s11 = all_patients / (all_patients - 1) * (x_sums[r] * y_sums[s]).sum()
            s11_other = all_patients / (all_patients - 1) * (x_sums[s] * y_sums[r]).sum()
            result[r, s] = s10 / m + s01 / n + (s11 + s11_other) / (m * n)
    return result


def test_clustered_covariance_equals_its_definition(clustered: tuple[np.ndarray, ...]) -> None:
    positive, first, second, patients = clustered
    _, found = auroc_covariance(positive, (first, second), patients)
    np.testing.assert_allclose(found, by_definition(positive, [first, second], patients), rtol=1e-10)


def test_repeating_every_image_within_its_patient_changes_nothing(clustered: tuple[np.ndarray, ...]) -> None:
    positive, first, second, _ = clustered
    plain = delong(positive, first, second)
    repeated = [np.repeat(array, 3) for array in (positive, first, second, np.arange(len(positive)))]
    whole = clustered_delong(*repeated)
    assert (whole.difference, whole.standard_error) == pytest.approx((plain.difference, plain.standard_error))
    assert whole.n == len(positive)
    # taken for independent images the same data look three times as many
    assert delong(*repeated[:3]).standard_error < 0.6 * plain.standard_error


def test_interval_of_one_auroc_stays_in_range(clustered: tuple[np.ndarray, ...]) -> None:
    positive, first, _, patients = clustered
    wide, narrow = auroc_interval(positive, first, patients), auroc_interval(positive, first)
    assert 0 < wide.low < wide.value < wide.high < 1 and "Obuchowski" in wide.method
    assert wide.value == pytest.approx(roc_auc_score(positive, first)) == narrow.value
    perfect = auroc_interval(np.repeat([False, True], (30, 8)), np.arange(38.0))
    assert (perfect.value, perfect.low, perfect.high) == (1.0, *wilson_interval(1.0, 8))
    assert np.isnan(auroc_interval(np.zeros(5, dtype=bool), np.arange(5.0)).low)


def test_alike_and_undefined_scores() -> None:
    positive, scores = np.repeat([False, True], 10), np.random.default_rng(0).normal(size=20)
    same = delong(positive, scores, scores * 2)
    assert (same.difference, same.standard_error, same.p_value) == (0.0, 0.0, 1.0)
    ordered = np.arange(20.0)
    sure = delong(positive, ordered, -ordered)
    assert sure.difference == 1.0 and np.isnan(sure.p_value) and "no spread" in sure.method
    one_patient = clustered_delong(positive, scores, ordered, np.repeat([0, 1], 10))
    assert np.isnan(one_patient.p_value) and "fewer than two patients" in one_patient.method
