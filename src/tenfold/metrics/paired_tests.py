"""Tests of two classifiers on the same images: McNemar, its clustered form, sign flips of patients; Holm's correction.

Each gives the difference a minus b with its interval, and a two-sided p-value. `mcnemar` is for one image a patient;
the other two take several images a patient. None of them knows the spread over training runs: only the crossed
bootstrap (`metrics.bootstrap`) does, so these answer for *these two trained classifiers*, not for the two ways of
training them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from scipy import stats

from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray

_ROUNDING = 1e-9
_CHUNK_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class PairedTest:
    """A difference a minus b with its interval, and a two-sided test against 0; NaN where `method` says undefined.

    `n` counts the independent units: patients, or images where each is a patient of its own.
    """

    difference: float
    standard_error: float
    low: float
    high: float
    statistic: float
    p_value: float
    method: str
    n: int

    @classmethod
    def undefined(cls, reason: str, n: int, difference: float = math.nan) -> PairedTest:
        """No test, and why."""
        nan = math.nan
        return cls(difference, nan, nan, nan, nan, nan, f"undefined: {reason}", n)


def mcnemar(
    right_a: BoolArray,
    right_b: BoolArray,
    *,
    kind: Literal["mid_p", "exact", "asymptotic"] = "mid_p",
    level: float = 0.95,
) -> PairedTest:
    """McNemar's test of two shares of right decisions, (N,) each, with one image a patient.

    The p-value is the mid-p one by default (Fagerland 2013: close to its nominal level where the exact one is too
    cautious); `asymptotic` is chi-squared without correction. The statistic is that chi-squared in all cases. The
    interval is Bonett and Price's (2012): Wald's after one more image on each discordant side.
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    n, discordant = len(right_a), only_a + only_b
    if n == 0:
        return PairedTest.undefined("no image", 0)
    statistic = (only_a - only_b) ** 2 / discordant if discordant else 0.0
    fewer = min(only_a, only_b)
    of_fewer = float(stats.binom.pmf(fewer, discordant, 0.5))
    exact = min(1.0, 2 * float(stats.binom.cdf(fewer, discordant, 0.5)))
    mid_p = exact - of_fewer * (1.0 if only_a != only_b else 0.5)
    p_values = {"mid_p": mid_p, "exact": exact, "asymptotic": float(stats.chi2.sf(statistic, 1))}
    p_value = p_values[kind] if discordant else 1.0
    more_a, more_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    se = math.sqrt(max(0.0, more_a + more_b - (more_a - more_b) ** 2) / (n + 2))
    half = float(stats.norm.ppf(0.5 + level / 2)) * se
    low, high = max(-1.0, more_a - more_b - half), min(1.0, more_a - more_b + half)
    method = (
        f"McNemar's test ({kind.replace('_', '-')}) of {discordant} discordant images, interval of Bonett and Price"
    )
    return PairedTest((only_a - only_b) / n, se, low, high, statistic, p_value, method, n)


def clustered_mcnemar(right_a: BoolArray, right_b: BoolArray, patients: IntArray, *, level: float = 0.95) -> PairedTest:
    """McNemar's test with several images a patient (Durkalski 2003): each patient counts once, by its mean.

    With d_k = (b_k - c_k) / n_k of patient k the statistic (sum d)^2 / sum d^2 is compared with chi-squared of one
    degree of freedom. The difference is the mean of d over patients, which equals that of the accuracies only when all
    patients have as many images; its interval is the t interval of that mean. right_a, right_b, patients: (N,).
    """
    return _of_patient_means(right_a.astype(np.float64) - right_b, patients, level)


def permutation_test(
    values_a: FloatArray,
    values_b: FloatArray,
    patients: IntArray,
    *,
    generator: np.random.Generator,
    draws: int = 10_000,
    level: float = 0.95,
) -> PairedTest:
    """Exchange the two classifiers for whole patients at random and see how often the means differ as much.

    values: (N,) or (K, N) of any figure per image (right or not, Brier score, ...), of K seeds, which are averaged.
    All exchanges are enumerated when they are no more than `draws`; else the observed one is counted in. The interval
    is the cluster-robust t interval of the mean over images (a ratio of patients' sums).
    """
    differences = np.atleast_2d(np.asarray(values_a, dtype=np.float64) - values_b).mean(axis=0)
    ids, place = np.unique(patients, return_inverse=True)
    n, count = len(ids), len(differences)
    if not np.isfinite(differences).all() or n < 2:
        return PairedTest.undefined("fewer than two patients" if n < 2 else "a value is missing", n)
    sums: FloatArray = np.bincount(place, differences, minlength=n).astype(np.float64)
    images = np.bincount(place, minlength=n)
    mean = float(sums.sum() / count)
    varying: FloatArray = sums[np.abs(sums) > _ROUNDING * max(1.0, float(np.abs(sums).max()))]
    if len(varying) == 0:
        p_value, how = 1.0, "no patient differs"
    elif 2 ** len(varying) <= draws:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(varying))))
        p_value, how = float(np.mean(_reaches(signs @ varying, varying.sum()))), f"all {len(signs)} exchanges"
    else:
        reached = _reaching_draws(varying, generator, draws)
        p_value, how = (1 + reached) / (1 + draws), f"{draws} random exchanges"
    residual = sums - mean * images
    se = math.sqrt(n / (n - 1) * float((residual**2).sum())) / count
    half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * se
    statistic = mean / se if se > 0 else 0.0
    return PairedTest(mean, se, mean - half, mean + half, statistic, p_value, f"sign flips of patients, {how}", n)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values of one stated family, in the given order (Holm 1979); None stays None, and is no test."""
    tested = [index for index, p in enumerate(p_values) if p is not None]
    raw = np.array([p_values[index] for index in tested], dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    steps = raw[order] * (len(raw) - np.arange(len(raw)))
    adjusted = np.minimum(np.maximum.accumulate(steps), 1.0) if len(raw) else steps
    result: list[float | None] = [None] * len(p_values)
    for position, index in enumerate(order):
        result[tested[int(index)]] = float(adjusted[position])
    return result


def _of_patient_means(differences: FloatArray, patients: IntArray, level: float) -> PairedTest:
    ids, place = np.unique(patients, return_inverse=True)
    n = len(ids)
    if n < 2:
        return PairedTest.undefined("fewer than two patients", n)
    means = np.bincount(place, differences, minlength=n) / np.bincount(place, minlength=n)
    squares = float((means**2).sum())
    statistic = float(means.sum()) ** 2 / squares if squares > 0 else 0.0
    se = float(means.std(ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * se
    mean = float(means.mean())
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    method = "clustered McNemar test (Durkalski), mean over patients"
    return PairedTest(mean, se, low, high, statistic, float(stats.chi2.sf(statistic, 1)), method, n)


def _reaches(sums: FloatArray, observed: float) -> BoolArray:
    """Whether exchanged sums lie as far from 0 as the observed one, rounding allowed for."""
    return np.asarray(np.abs(sums) >= abs(observed) * (1 - _ROUNDING) - 1e-15, dtype=np.bool_)


def _reaching_draws(sums: FloatArray, generator: np.random.Generator, draws: int) -> int:
    step = max(1, _CHUNK_ELEMENTS // len(sums))
    reached = 0
    for start in range(0, draws, step):
        signs = 2.0 * generator.integers(0, 2, (min(step, draws - start), len(sums))) - 1.0
        reached += int(_reaches(signs @ sums, float(sums.sum())).sum())
    return reached
