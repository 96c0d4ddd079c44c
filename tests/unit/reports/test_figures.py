"""Figures: same numbers, same bytes; nothing in them that a viewer would fetch."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import pytest

from tenfold.evaluation.contents import CurvePoint, Estimate
from tenfold.reports import figures
from tenfold.reports.intervals import difference_scale
from tests.report_workspace import METRIC, estimate, make_evaluation


def draw_curve() -> str:
    points = make_evaluation().learning_curve
    joined = [point for point in points if point.arm in ("real_only", "real_transforms")]
    single = [point for point in points if point.arm not in ("real_only", "real_transforms")]
    return figures.learning_curve(joined, single, METRIC)


def test_the_same_numbers_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = draw_curve()
    monkeypatch.setitem(mpl.rcParams, "font.size", 33.0)
    assert draw_curve() == first


def test_a_figure_holds_no_date_and_needs_no_font() -> None:
    svg = draw_curve()
    assert "<dc:date>" not in svg
    assert "<text" not in svg


def test_points_without_interval_or_value_are_drawn_as_far_as_they_can() -> None:
    known = replace(estimate(0.8, 0.1), low=None, high=None)
    unknown = Estimate(None, None, None, 0, 0, 0, "undefined")
    points = [CurvePoint("real_only", size, METRIC, known) for size in (4, 8)]
    assert figures.learning_curve(points, [CurvePoint("hybrid", 4, METRIC, unknown)], METRIC).startswith("<svg")


def test_roc_curves_of_two_arms() -> None:
    curves = [curve for curve in make_evaluation().roc_curves if curve.label == "scaly_patch"]
    assert len(curves) == 2
    assert figures.roc_curves(curves) == figures.roc_curves(curves)


def test_a_scale_holds_zero_and_every_interval() -> None:
    estimates = [estimate(0.03, 0.01), estimate(0.05, 0.02)]
    scale = difference_scale(estimates)
    assert scale.low < 0 < 0.07 < scale.high
    assert 0.0 in scale.ticks
    bar = scale.bar(estimates[0])
    assert bar is not None and bar.left is not None and bar.width is not None
    assert scale.position(0.0) < bar.left < bar.at < bar.left + bar.width < 100


def test_a_scale_of_nothing_is_still_a_scale() -> None:
    unknown = Estimate(None, None, None, 0, 0, 0, "undefined")
    scale = difference_scale([unknown])
    assert scale.bar(unknown) is None
    assert scale.position(0.0) == 50.0


def test_a_value_without_interval_has_a_place_but_no_bar() -> None:
    lone = replace(estimate(0.02, 0.01), low=None, high=None)
    bar = difference_scale([lone]).bar(lone)
    assert bar is not None and bar.left is None and bar.width is None
