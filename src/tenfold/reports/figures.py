"""Figures as SVG text, drawn by matplotlib without a display: learning curves, dose curves and ROC curves.

The same numbers give the same bytes: no date, a fixed salt for ids, and letters as outlines, so that no font is needed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from tenfold.evaluation.contents import CurvePoint, DoseCurve, Estimate, PowerLaw, RocCurve
from tenfold.reports import wording
from tenfold.reports.palette import FAINT, INK, RULE, ArmStyle, arm_style

_SETTINGS: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "tenfold",
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
}
_CURVE_INCHES = (6.4, 4.1)
_LEGEND_ROW_INCHES = 0.22
_OFFSET = 0.07
"""How far arms at one size stand apart, as a factor of that size."""
_ROC_INCHES = (2.9, 2.9)


def learning_curve(
    points: Sequence[CurvePoint],
    single_points: Sequence[CurvePoint],
    metric: str,
    power_laws: Sequence[PowerLaw] = (),
    among: Sequence[str] = (),
) -> str:
    """The metric against real training images per class (log scale), a band for each arm's 95 % interval.

    `points` are joined by arm; `single_points` stand alone with an error bar (arms run at few sizes). `power_laws` are
    drawn as thin lines in their arm's color. `among` are the page's arms, as in `arm_style`.
    """
    arms = list(dict.fromkeys(point.arm for point in single_points))
    rows = -(-(len(arms) + len({point.arm for point in points})) // 2)
    width, height = _CURVE_INCHES
    with canvas((width, height + _LEGEND_ROW_INCHES * max(rows - 2, 0))) as (figure, axes):
        sizes = sorted({point.training_size for point in (*points, *single_points)})
        for arm in dict.fromkeys(point.arm for point in points):
            line = sorted((p for p in points if p.arm == arm), key=lambda p: p.training_size)
            _draw_line(axes, line, metric, arm_style(arm, among))
        for law in power_laws:
            scale = _scale(metric)
            axes.plot(law.sizes, [value * scale for value in law.fitted], color=arm_style(law.arm, among).color,
                      linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=2)  # fmt: skip
        for place, arm in enumerate(arms):
            offset = 1.0 + _OFFSET * (place - (len(arms) - 1) / 2)
            _draw_markers(axes, [p for p in single_points if p.arm == arm], offset, metric, arm_style(arm, among))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(size) for size in sizes])
        margin = 1.25 + _OFFSET * len(arms) / 2
        axes.set_xlim(min(sizes) / margin, max(sizes) * margin)
        axes.set_xlabel("Real training images per class")
        axes.set_ylabel(_axis_label(metric))
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside upper left", ncols=2, handlelength=2.4, columnspacing=1.6, borderaxespad=0.0)
        return svg_text(figure)


def dose_curve(curve: DoseCurve, among: Sequence[str] = ()) -> str:
    """The gain over the control, in points, by ratio (log scale) or by share in percent; zero is the control.

    The saturation point and its interval are an upright line and band, where the curve has one.
    """
    with canvas(_CURVE_INCHES) as (figure, axes):
        style, is_ratio = arm_style(curve.base_arm, among), curve.kind == "ratio"
        doses = [
            (point.dose * (1 if is_ratio else 100), point.gain) for point in curve.points if point.gain is not None
        ]
        drawn = [(dose, _in_points(gain)) for dose, gain in doses if gain.value is not None]
        at = [dose for dose, _ in drawn]
        axes.axhline(0.0, color=FAINT, linewidth=1.2, zorder=1)
        low, value, high = curve.saturation_low, curve.saturation, curve.saturation_high
        if low is not None and value is not None and high is not None:
            axes.axvspan(low, high, color=style.color, alpha=0.10, linewidth=0)
            axes.axvline(value, color=style.color, linewidth=1.2, linestyle=(0, (1, 1.5)), label="Saturation point")
        axes.plot(at, [point for _, (point, _, _) in drawn], color=style.color, linestyle=style.dash, linewidth=2.0,
                  marker=style.marker, markersize=6, label=wording.arm_name(curve.base_arm), zorder=3)  # fmt: skip
        axes.fill_between(at, [bottom for _, (_, bottom, _) in drawn], [top for _, (_, _, top) in drawn],
                          color=style.color, alpha=0.16, linewidth=0)  # fmt: skip
        if is_ratio:
            axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(at))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{dose:g}" for dose in at])
        axes.set_xlabel("Synthetic images per real image" if is_ratio else "Synthetic share of a batch (%)")
        axes.set_ylabel(f"Gain in {wording.metric_name(curve.metric)} (points)")
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside upper left", ncols=2, borderaxespad=0.0)
        return svg_text(figure)


def roc_curves(curves: Sequence[RocCurve], among: Sequence[str] = ()) -> str:
    """Sensitivity against 1 - specificity of one class, a line for each arm."""
    with canvas(_ROC_INCHES) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.0)
        for curve in curves:
            style = arm_style(curve.arm, among)
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, color=style.color, linestyle=style.dash,
                      linewidth=1.8)  # fmt: skip
            band = [
                (rate, low, high)
                for rate, low, high in zip(curve.false_positive_rate, curve.low, curve.high, strict=False)
                if low is not None and high is not None
            ]
            rates, lows, highs = ([row[place] for row in band] for place in range(3))
            axes.fill_between(rates, lows, highs, color=style.color, alpha=0.13, linewidth=0)
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.set_aspect("equal")
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_xlabel(f"1 {wording.MINUS} specificity")
        axes.set_ylabel("Sensitivity")
        return svg_text(figure)


@contextmanager
def canvas(inches: tuple[float, float]) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes, drawn with the pages' settings and nobody else's."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=inches, layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def svg_text(figure: Figure) -> str:
    """The figure as SVG text without a date."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _draw_line(axes: Axes, points: Sequence[CurvePoint], metric: str, style: ArmStyle) -> None:
    drawn = [(p.training_size, _scaled(p.estimate, metric)) for p in points if p.estimate.value is not None]
    if not drawn:
        return
    arm = points[0].arm
    sizes = [size for size, _ in drawn]
    axes.plot(sizes, [value for _, (value, _, _) in drawn], color=style.color, linestyle=style.dash, linewidth=2.0,
              marker=style.marker, markersize=5.5, label=wording.arm_name(arm), zorder=3)  # fmt: skip
    axes.fill_between(sizes, [low for _, (_, low, _) in drawn], [high for _, (_, _, high) in drawn],
                      color=style.color, alpha=0.14, linewidth=0)  # fmt: skip


def _draw_markers(axes: Axes, points: Sequence[CurvePoint], offset: float, metric: str, style: ArmStyle) -> None:
    label: str | None = wording.arm_name(points[0].arm)
    for point in points:
        if point.estimate.value is None:
            continue
        value, low, high = _scaled(point.estimate, metric)
        bars = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
        axes.errorbar(point.training_size * offset, value, yerr=bars, color=style.color, fmt=style.marker, markersize=8,
                      elinewidth=1.8, capsize=0, label=label, zorder=4)  # fmt: skip
        label = None


def _scaled(estimate: Estimate, metric: str) -> tuple[float, float, float]:
    """Value, low and high in the axis's unit; without an interval the value thrice."""
    scale = _scale(metric)
    value = estimate.value or 0.0
    low = value if estimate.low is None else estimate.low
    high = value if estimate.high is None else estimate.high
    return value * scale, low * scale, high * scale


def _in_points(gain: Estimate) -> tuple[float, float, float]:
    """Value, low and high in hundredths; without an interval the value thrice."""
    value = gain.value or 0.0
    low = value if gain.low is None else gain.low
    high = value if gain.high is None else gain.high
    return value * 100, low * 100, high * 100


def _scale(metric: str) -> float:
    return 100.0 if wording.is_in_percent(metric) else 1.0


def _axis_label(metric: str) -> str:
    return wording.capital(wording.metric_name(metric)) + (" (%)" if wording.is_in_percent(metric) else "")
