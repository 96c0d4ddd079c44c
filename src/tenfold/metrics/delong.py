"""AUROCs without a bootstrap: DeLong's test and interval, and Obuchowski's with several images a patient.

With V10 the share of negatives that a positive beats and V01 the share of positives that beat a negative (ties one
half), DeLong (1988) has var A = S10 / m + S01 / n of their sample (co)variances. Obuchowski (1997) sums both over each
patient first, and adds what the positives and the negatives of one patient share; with one image a patient the two
are the same. Normal quantiles, no spread over training runs.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special, stats

from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray
from tenfold.metrics.bootstrap import Interval
from tenfold.metrics.paired_tests import PairedTest
from tenfold.metrics.proportions import wilson_interval


def delong(is_positive: BoolArray, scores_a: FloatArray, scores_b: FloatArray, *, level: float = 0.95) -> PairedTest:
    """Difference of two AUROCs on the same images (N,), with one image a patient (DeLong 1988)."""
    return _difference(is_positive, (scores_a, scores_b), np.arange(len(is_positive)), level, "DeLong's test")


def clustered_delong(
    is_positive: BoolArray, scores_a: FloatArray, scores_b: FloatArray, patients: IntArray, *, level: float = 0.95
) -> PairedTest:
    """Difference of two AUROCs on the same images (N,) of patients (N,), who may have several (Obuchowski 1997)."""
    method = "clustered DeLong test (Obuchowski)"
    return _difference(is_positive, (scores_a, scores_b), patients, level, method)


def auroc_interval(
    is_positive: BoolArray, scores: FloatArray, patients: IntArray | None = None, *, level: float = 0.95
) -> Interval:
    """One AUROC with its interval on the logit scale; the p-value is against one half, chance.

    patients: (N,), or None when every image is a patient of its own. At an AUROC of 0 or 1 the interval is Wilson's of
    the patients of the rarer side. NaN when a side is empty, or rests on a single patient.
    """
    clusters = np.arange(len(is_positive)) if patients is None else patients
    of_side = [len(np.unique(clusters[side])) for side in (is_positive, ~is_positive)]
    if min(of_side) < 2:
        return Interval.undefined("fewer than two patients on a side")
    values, covariance = auroc_covariance(is_positive, (scores,), clusters)
    value, se = float(values[0]), math.sqrt(max(0.0, float(covariance[0, 0])))
    name = "DeLong" if patients is None else "Obuchowski"
    if se == 0 or not 0 < value < 1:
        low, high = wilson_interval(value, min(of_side), level=level)
        method = f"Wilson interval of {min(of_side)} patients, as every pair is ranked alike"
        return Interval(value, low, high, se, math.inf, math.nan, method)
    half = float(stats.norm.ppf(0.5 + level / 2)) * se / (value * (1 - value))
    low, high = (float(special.expit(special.logit(value) + side * half)) for side in (-1, 1))
    p_value = 2 * float(stats.norm.sf(abs(value - 0.5) / se))
    return Interval(value, low, high, se, math.inf, p_value, f"{name}, on the logit scale")


def auroc_covariance(
    is_positive: BoolArray, scores: tuple[FloatArray, ...], patients: IntArray
) -> tuple[FloatArray, FloatArray]:
    """AUROCs (M,) of M score vectors (N,) on the same images, and their covariance (M, M).

    Both sides need two patients or more, and a score must not be NaN.
    """
    ids, place = np.unique(patients, return_inverse=True)
    positives, negatives = np.flatnonzero(is_positive), np.flatnonzero(~is_positive)
    m, n = len(positives), len(negatives)
    values = np.empty(len(scores))
    of_positives, of_negatives = (np.zeros((len(scores), len(ids))) for _ in range(2))
    m_of, n_of = (np.bincount(place[side], minlength=len(ids)) for side in (positives, negatives))
    for row, vector in enumerate(scores):
        beats, beaten = _components(vector[positives], vector[negatives])
        values[row] = beats.mean()
        of_positives[row] = np.bincount(place[positives], beats, minlength=len(ids)) - m_of * values[row]
        of_negatives[row] = np.bincount(place[negatives], beaten, minlength=len(ids)) - n_of * values[row]
    with_m, with_n, total = int((m_of > 0).sum()), int((n_of > 0).sum()), len(ids)
    s10 = of_positives @ of_positives.T * with_m / ((with_m - 1) * m)
    s01 = of_negatives @ of_negatives.T * with_n / ((with_n - 1) * n)
    s11 = of_positives @ of_negatives.T * total / (total - 1)
    return values, s10 / m + s01 / n + (s11 + s11.T) / (m * n)


def _components(positive: FloatArray, negative: FloatArray) -> tuple[FloatArray, FloatArray]:
    """V10 (m,): the share of negatives below each positive; V01 (n,): of positives above each negative; ties half."""
    ranked_negative, ranked_positive = np.sort(negative), np.sort(positive)
    below, upto = (np.searchsorted(ranked_negative, positive, side=side) for side in ("left", "right"))
    v10 = (below + upto) / (2 * len(negative))
    below, upto = (np.searchsorted(ranked_positive, negative, side=side) for side in ("left", "right"))
    return v10, 1.0 - (below + upto) / (2 * len(positive))


def _difference(
    is_positive: BoolArray, scores: tuple[FloatArray, FloatArray], patients: IntArray, level: float, method: str
) -> PairedTest:
    count = len(np.unique(patients))
    if min(len(np.unique(patients[side])) for side in (is_positive, ~is_positive)) < 2:
        return PairedTest.undefined("fewer than two patients on a side", count)
    values, covariance = auroc_covariance(is_positive, scores, patients)
    difference = float(values[0] - values[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    # Of two scores that rank alike, rounding alone is left.
    se = math.sqrt(variance) if variance > 1e-18 else 0.0
    if se == 0 and difference != 0:
        return PairedTest.undefined("the difference shows no spread", count, difference)
    statistic = difference / se if se > 0 else 0.0
    half = float(stats.norm.ppf(0.5 + level / 2)) * se
    p_value = 2 * float(stats.norm.sf(abs(statistic)))
    return PairedTest(difference, se, difference - half, difference + half, statistic, p_value, method, count)
