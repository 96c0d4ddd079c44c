"""McNemar, Durkalski, permutations and Holm against statsmodels, scipy and published examples."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from tenfold.metrics.paired_tests import clustered_mcnemar, holm, mcnemar, permutation_test

PSYCHIATRISTS = np.array(
    [
        (7, 0, 4), (6, 1, 2), (7, 1, 3), (6, 1, 2), (4, 0, 1), (6, 3, 3), (5, 3, 0), (8, 3, 2), (4, 1, 2), (7, 0, 4),
        (3, 0, 2), (6, 1, 4), (7, 0, 3), (6, 0, 2), (5, 0, 1), (4, 0, 3), (6, 0, 1), (5, 0, 2), (4, 3, 0), (3, 1, 0),
        (5, 1, 0), (4, 2, 2), (4, 0, 1), (2, 0, 2), (3, 0, 2), (2, 0, 0), (2, 0, 0), (3, 0, 1), (1, 0, 1),
    ]
)  # fmt: skip
"""Of 29 psychiatrists: patients, and on how many only the patient or only the psychiatrist said yes (Donner and
Petryshen 1989)."""

THYROIDS = np.array(
    [
        (3, 0, 2), (3, 0, 1), (3, 0, 0), (1, 0, 0), (3, 0, 1), (4, 0, 0), (3, 0, 0), (2, 0, 0), (2, 1, 0), (1, 0, 0),
        (3, 0, 0), (2, 0, 0), (3, 0, 0), (2, 0, 0), (2, 0, 2), (3, 0, 0), (3, 0, 0), (3, 0, 1), (2, 0, 0), (1, 0, 0),
        (2, 0, 0),
    ]
)  # fmt: skip
"""Of 21 patients: glands, and on how many only PET or only SPECT was positive (Obuchowski 1998)."""


def paired(only_a: int, only_b: int, both: int = 5, neither: int = 4) -> tuple[np.ndarray, np.ndarray]:
    counts = (only_a, only_b, both, neither)
    return np.repeat([True, False, True, False], counts), np.repeat([False, True, True, False], counts)


def of_clusters(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Discordant images first, then as many concordant ones as are left."""
    clusters, first, second = [], [], []
    for cluster, (total, only_a, only_b) in enumerate(table):
        clusters += [cluster] * total
        first += [True] * only_a + [False] * only_b + [True] * (total - only_a - only_b)
        second += [False] * only_a + [True] * only_b + [True] * (total - only_a - only_b)
    return np.array(first), np.array(second), np.array(clusters)


@pytest.mark.parametrize(("only_a", "only_b"), [(3, 9), (14, 2), (30, 41), (6, 6), (0, 5)])
def test_mcnemar_equals_statsmodels(only_a: int, only_b: int) -> None:
    a, b = paired(only_a, only_b)
    table = [[5, only_a], [only_b, 4]]
    exact, asymptotic = mcnemar(a, b, kind="exact"), mcnemar(a, b, kind="asymptotic")
    assert exact.p_value == pytest.approx(reference_mcnemar(table, exact=True).pvalue)
    expected = reference_mcnemar(table, exact=False, correction=False)
    assert (asymptotic.statistic, asymptotic.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert exact.difference == pytest.approx((only_a - only_b) / len(a)) and exact.n == len(a)
    assert exact.low < exact.difference < exact.high


def test_mcnemar_of_a_published_table() -> None:
    """Airway hyper-responsiveness before and after transplantation (Bentur 2009), p-values of Fagerland 2013."""
    a, b = paired(1, 7, both=1, neither=12)
    p_values = {kind: round(mcnemar(a, b, kind=kind).p_value, 3) for kind in ("asymptotic", "exact", "mid_p")}
    assert p_values == {"asymptotic": 0.034, "exact": 0.070, "mid_p": 0.039}
    found = mcnemar(a, b)
    # Bonett and Price 2012 by hand: 2 and 8 of 23 discordant
    half = 1.959964 * np.sqrt((10 / 23 - (6 / 23) ** 2) / 23)
    assert (found.low, found.high) == pytest.approx((-6 / 23 - half, -6 / 23 + half), abs=1e-6)


def test_mcnemar_without_a_discordant_image_or_any_image() -> None:
    alike = mcnemar(*paired(0, 0))
    assert (alike.difference, alike.p_value) == (0.0, 1.0) and alike.low < 0 < alike.high
    # of as many on both sides the mid-p is 1 less half the middle probability
    assert mcnemar(*paired(2, 2)).p_value == pytest.approx(1 - 0.5 * stats.binom.pmf(2, 4, 0.5))
    assert np.isnan(mcnemar(np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)).p_value)


@pytest.mark.parametrize(("table", "statistic"), [(PSYCHIATRISTS, 7.542), (THYROIDS, 2.32)])
def test_clustered_mcnemar_gives_durkalskis_published_statistics(table: np.ndarray, statistic: float) -> None:
    found = clustered_mcnemar(*of_clusters(table))
    assert found.statistic == pytest.approx(statistic, abs=0.006 if statistic < 3 else 6e-4)
    assert found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 1)) and found.n == len(table)
    means = (table[:, 1] - table[:, 2]) / table[:, 0]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    a, b, _ = of_clusters(table)
    plain = mcnemar(a, b, kind="asymptotic")
    # published as 11.85 and 4.5: taking the images for independent overstates the evidence
    assert round(plain.statistic, 2) in (11.85, 4.5) and plain.p_value < found.p_value


def test_clustered_mcnemar_of_single_images_is_the_asymptotic_one() -> None:
    a, b = paired(4, 11)
    assert clustered_mcnemar(a, b, np.arange(len(a))).statistic == pytest.approx(
        mcnemar(a, b, kind="asymptotic").statistic
    )
    assert np.isnan(clustered_mcnemar(a, b, np.zeros(len(a), dtype=np.int64)).p_value)


def test_permutation_enumerates_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.4, 1, 9), rng.normal(0, 1, 9)
    found = permutation_test(a, b, np.arange(9), generator=rng)
    expected = stats.permutation_test((a, b), lambda x, y: np.mean(x - y), permutation_type="samples")
    assert found.p_value == pytest.approx(expected.pvalue) and "all 512" in found.method
    # the interval is the plain t interval where every patient has one image
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_permutation_keeps_patients_whole_and_averages_seeds() -> None:
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(40), 5)
    a = rng.normal(0, 1, (3, 200)) + rng.normal(0, 2, 40)[patients]
    b = rng.normal(0, 1, (3, 200))
    whole = permutation_test(a, b, patients, generator=np.random.default_rng(2), draws=4000)
    apart = permutation_test(a, b, np.arange(200), generator=np.random.default_rng(2), draws=4000)
    assert whole.difference == pytest.approx((a - b).mean()) and whole.n == 40
    assert whole.standard_error > 1.8 * apart.standard_error
    assert whole.p_value == pytest.approx(2 * stats.t.sf(abs(whole.statistic), 39), abs=0.03)
    # the standard error of a mean over images that are clustered, as statsmodels has it
    differences = (a - b).mean(axis=0)
    robust = sm.OLS(differences, np.ones(200)).fit(cov_type="cluster", cov_kwds={"groups": patients})
    assert whole.standard_error == pytest.approx(robust.bse[0], rel=0.003)


def test_permutation_of_alike_or_missing_values() -> None:
    rng = np.random.default_rng(0)
    same = permutation_test(np.ones(6), np.ones(6), np.arange(6), generator=rng)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    missing = permutation_test(np.array([1.0, np.nan]), np.ones(2), np.arange(2), generator=rng)
    assert np.isnan(missing.p_value) and "missing" in missing.method
    alone = permutation_test(np.ones(3), np.zeros(3), np.zeros(3, dtype=np.int64), generator=rng)
    assert "fewer than two patients" in alone.method


def test_holm_equals_statsmodels() -> None:
    p_values = np.random.default_rng(3).uniform(0, 0.2, 12)
    assert holm(list(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1])
