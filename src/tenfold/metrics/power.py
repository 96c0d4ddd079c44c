"""The smallest difference a test can see: before a run from its size, after it from its standard error."""

from __future__ import annotations

import math

from scipy import stats


def detectable_accuracy_difference(
    patient_count: int, *, discordance: float = 0.2, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Smallest paired accuracy difference seen with `power` in a two-sided test at `alpha`, as a fraction.

    (z_{1-alpha/2} + z_power) sqrt(discordance / n): Connor 1987 without its small correction for the difference.
    `discordance` is the share of images on which exactly one of two classifiers is right. 360 patients at 20 %
    discordance: 0.066.
    """
    if patient_count <= 0:
        return math.inf
    return _z_sum(power, alpha) * math.sqrt(discordance / patient_count)


def auroc_standard_error(auroc: float, positive_count: int, negative_count: int) -> float:
    """Standard error of one AUROC from its value and counts (Hanley and McNeil 1982); infinite without either."""
    if positive_count <= 0 or negative_count <= 0:
        return math.inf
    q1, q2 = auroc / (2 - auroc), 2 * auroc * auroc / (1 + auroc)
    variance = auroc * (1 - auroc) + (positive_count - 1) * (q1 - auroc**2) + (negative_count - 1) * (q2 - auroc**2)
    return math.sqrt(max(0.0, variance) / (positive_count * negative_count))


def detectable_auroc_difference(
    positive_count: int,
    negative_count: int,
    *,
    auroc: float = 0.8,
    correlation: float = 0.5,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """Smallest difference of two AUROCs on the same patients, as a fraction (Hanley and McNeil 1983).

    `correlation` is that of the two AUROC estimates; the spread over training runs comes on top and is not in it.
    """
    se = auroc_standard_error(auroc, positive_count, negative_count) * math.sqrt(2 * (1 - correlation))
    return _z_sum(power, alpha) * se


def detectable_difference(
    standard_error: float, degrees_of_freedom: float, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Smallest true difference that a t interval of this standard error excludes 0 for with `power`."""
    t = stats.t(degrees_of_freedom)
    return float(t.ppf(1 - alpha / 2) + t.ppf(power)) * standard_error


def _z_sum(power: float, alpha: float) -> float:
    return float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power))
