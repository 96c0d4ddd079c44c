"""Power laws against scipy's fit, saturation points against known curves, and both where nothing can be told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from tenfold.metrics.power_law import PowerLaw, fit_power_law
from tenfold.metrics.saturation import SaturationPoint, saturation_point

SIZES, RATIOS = (5, 10, 20, 40, 80), (1, 2, 5, 10, 25)


def fitted(errors: np.ndarray, se: float, *, sizes: tuple[int, ...] = SIZES, grid: tuple[int, ...] = ()) -> PowerLaw:
    covariance = np.eye(len(sizes)) * se**2
    return fit_power_law(sizes, errors, covariance, 8.0, generator=np.random.default_rng(0), grid=grid, draws=500)


def law(sizes: tuple[int, ...], floor: float, scale: float, exponent: float) -> np.ndarray:
    return floor + scale * np.array(sizes, dtype=float) ** -exponent


def test_parameters_equal_scipys_least_squares() -> None:
    errors = law(SIZES, 0.08, 0.7, 0.6) + np.random.default_rng(1).normal(0, 0.004, 5)
    spread = np.array([0.006, 0.005, 0.004, 0.003, 0.003])
    found = fit_power_law(
        SIZES, errors, np.diag(spread**2), 8.0, generator=np.random.default_rng(0), grid=(160,), draws=500
    )
    expected, _ = curve_fit(
        lambda n, a, b, c: a + b * n**-c, np.array(SIZES), errors, (0.05, 0.5, 0.5), spread, bounds=(0, 3)
    )
    assert found.floor is not None and found.scale is not None and found.exponent is not None
    parameters = (found.floor, found.scale, found.exponent)
    assert [parameter.value for parameter in parameters] == pytest.approx(list(expected), rel=1e-3)
    assert all(parameter.low < parameter.value < parameter.high for parameter in parameters)
    assert found.p_misfit is not None and found.p_misfit > 0.05 and not found.is_floor_fixed
    assert found.band is not None and found.band.low[0] < law((160,), *expected)[0] < found.band.high[0]
    assert found.text.startswith("error = ") and "n^-" in found.text


def test_a_floor_that_the_sizes_cannot_tell_is_taken_as_none() -> None:
    found = fitted(law((5, 10, 20), 0.0, 0.8, 0.4), 0.01, sizes=(5, 10, 20))
    assert found.is_floor_fixed and found.exponent is not None
    assert found.exponent.value == pytest.approx(0.4, rel=1e-3)
    assert found.floor is not None and found.floor.high == 0.0 and "0 (taken as such)" in found.text
    # so much noise that any exponent goes with some floor
    noisy = fitted(law(SIZES, 0.0, 0.8, 0.3), 0.06)
    assert noisy.is_floor_fixed and noisy.exponent is not None and noisy.exponent.low < 0.3 < noisy.exponent.high


def test_power_laws_that_cannot_be_identified_say_so() -> None:
    assert "fewer than three" in fitted(np.array([0.5, 0.4]), 0.01, sizes=(5, 10)).text
    assert "does not fall" in fitted(np.full(5, 0.3), 0.01).text
    assert "undefined" in fitted(np.array([0.5, np.nan, 0.4, 0.3, 0.2]), 0.01).text
    # one step down and level on both sides: no power law
    step = fitted(np.array([0.5, 0.5, 0.5, 0.2, 0.2]), 0.004)
    assert step.reason and "misfits" in step.reason and step.floor is None
    # a cliff after the first size, whose exponent has no upper end
    cliff = fitted(np.array([0.5, 0.1, 0.1, 0.1, 0.1]), 0.05)
    assert "may lie anywhere" in cliff.reason


def saturation(gains: list[float], se: float) -> SaturationPoint:
    return saturation_point(RATIOS, np.array(gains), np.eye(len(gains)) * se**2, 8.0)


def test_saturation_reads_the_ratio_of_most_of_the_gain() -> None:
    found = saturation([0.02, 0.04, 0.05, 0.05, 0.05], 0.0005)
    # 90 % of 0.05 lies halfway between ratios 2 and 5, in log(1 + ratio)
    assert found.value == pytest.approx(np.sqrt(3 * 6) - 1, rel=2e-3) and found.bounds == ("", "", "")
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    assert found.text == "3.2 (2.9 to 3.7)"
    # at the interval's ends the difference from 90 % of the gain is its t quantile (8 degrees) from 0
    for ratio, side in ((found.low, 1), (found.high, -1)):
        part = (np.log1p(ratio) - np.log(3)) / np.log(2)
        distance = 0.04 + part * 0.01 - 0.045
        error = 0.0005 * np.sqrt((1 - part) ** 2 + part**2 + 0.9**2)
        assert distance / error == pytest.approx(-side * 2.306, rel=0.02)


def test_saturation_of_a_falling_curve_is_read_up_to_its_peak() -> None:
    peak = saturation([0.03, 0.06, 0.05, 0.02, 0.01], 0.0005)
    assert peak.bounds == ("", "", "") and peak.text == "1.8 (1.8 to 1.8)"
    first = saturation([0.06, 0.05, 0.03, 0.02, 0.01], 0.0005)
    assert first.value == pytest.approx(2**0.9 - 1, rel=2e-3)


def test_saturation_beyond_the_ratios_and_without_a_gain() -> None:
    rising = saturation([0.01, 0.02, 0.03, 0.04, 0.05], 0.002)
    assert rising.bounds == (">= ", "", ">= ") and rising.text.startswith(">= 25 (")
    nothing = saturation([0.0, 0.002, -0.001, 0.003, 0.001], 0.01)
    assert nothing.text == "not estimable: no certain gain over the control at the largest ratio"
    assert "fewer than two" in saturation_point((5,), np.ones(1), np.eye(1), 8.0).text
    assert "undefined" in saturation([0.0, np.nan, 0.1, 0.1, 0.1], 0.01).text
