"""Figures of an evaluation: ROC, precision-recall, calibration, confusion and differences; SVG panels and PNG files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tenfold.evaluation.external_contents import (
    Calibration,
    CurveBand,
    ExternalEvaluation,
    ModelComparison,
    ModelSummary,
    ReliabilityBin,
)
from tenfold.reports import wording
from tenfold.reports.figures import canvas, svg_text
from tenfold.reports.palette import FAINT, INK, RULE, ArmStyle

MODEL_STYLES = (
    ArmStyle("#0072B2", "o", "-"),
    ArmStyle("#D55E00", "D", (0, (5, 2))),
    ArmStyle("#009E73", "s", (0, (1, 1))),
    ArmStyle("#882255", "^", (0, (6, 2, 1, 2))),
    ArmStyle("#E69F00", "v", (0, (3, 1, 1, 1))),
    ArmStyle("#5d6975", "P", (0, (8, 3))),
)
"""Models in the order of the page, at most so many in a figure."""

MOST_PANELS = 12
MOST_LABELS = 20
_PANEL_INCHES = 2.9
_PNG_DPI = 160
_TICKS = [0.0, 0.5, 1.0]
_LONGEST = 26
Draw = Callable[[Axes], None]


def roc_panel(curves: Sequence[CurveBand], styles: dict[str, ArmStyle]) -> str:
    """One class's ROC curves as SVG."""
    return _svg(lambda axes: _draw_roc(axes, curves, styles))


def precision_recall_panel(curves: Sequence[CurveBand], styles: dict[str, ArmStyle], frequency: float) -> str:
    """One class's precision-recall curves as SVG; `frequency` of the class is what chance reaches."""
    return _svg(lambda axes: _draw_precision_recall(axes, curves, styles, frequency))


def calibration_panel(calibration: Calibration, style: ArmStyle) -> str:
    """One model's calibration plot as SVG."""
    return _svg(lambda axes: _draw_calibration(axes, calibration, style))


def png_files(evaluation: ExternalEvaluation, models: Sequence[str]) -> dict[str, bytes]:
    """The figures by file name, of these models; one that would be empty is left out."""
    styles = dict(zip(models, MODEL_STYLES, strict=False))
    labels = [count.label for count in evaluation.classes if count.n_images][:MOST_PANELS]
    total = evaluation.n_test_images
    frequency = {count.label: count.n_images / total for count in evaluation.classes}

    def of_class(kind: str, label: str) -> list[CurveBand]:
        return [c for c in evaluation.curves if c.kind == kind and c.label == label and c.model in styles]

    rocs = {label: of_class("roc", label) for label in labels}
    precisions = {label: of_class("precision_recall", label) for label in labels}
    panels: dict[str, dict[str, Draw]] = {
        "roc.png": {x: partial(_draw_roc, curves=c, styles=styles) for x, c in rocs.items() if c},
        "precision_recall.png": {
            x: partial(_draw_precision_recall, curves=c, styles=styles, frequency=frequency[x])
            for x, c in precisions.items()
            if c
        },
    }
    files = {name: _png(draws, styles) for name, draws in panels.items() if draws}
    files["calibration.png"] = _png({
        c.model: partial(_draw_calibration, calibration=c, style=styles[c.model])
        for c in evaluation.calibrations
        if c.model in styles
    })  # fmt: skip
    if len(evaluation.labels) <= MOST_LABELS:
        files["confusion.png"] = _png(
            {
                m.name: partial(_draw_confusion, model=m, labels=evaluation.labels)
                for m in evaluation.models
                if m.name in styles
            },
            inches=max(_PANEL_INCHES, 0.42 * len(evaluation.labels) + 1.6),
        )
    first = [row for row in evaluation.comparisons if row.metric == evaluation.metric]
    if first:
        files["comparisons.png"] = _forest_png(first)
    return files


def _draw_roc(axes: Axes, curves: Sequence[CurveBand], styles: dict[str, ArmStyle]) -> None:
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.0)
    _draw_bands(axes, curves, styles)
    _frame(axes, f"1 {wording.MINUS} specificity", "Sensitivity")


def _draw_precision_recall(
    axes: Axes, curves: Sequence[CurveBand], styles: dict[str, ArmStyle], frequency: float
) -> None:
    axes.plot([0, 1], [frequency, frequency], color=RULE, linewidth=1.0)
    _draw_bands(axes, curves, styles)
    _frame(axes, "Sensitivity (recall)", "Precision (PPV)")


def _draw_bands(axes: Axes, curves: Sequence[CurveBand], styles: dict[str, ArmStyle]) -> None:
    for curve in curves:
        style = styles[curve.model]
        x, y, low, high = (_numbers(values) for values in (curve.x, curve.y, curve.low, curve.high))
        axes.fill_between(x, low, high, color=style.color, alpha=0.16, linewidth=0)
        axes.plot(x, y, color=style.color, linestyle=style.dash, linewidth=1.8)


def _draw_calibration(axes: Axes, calibration: Calibration, style: ArmStyle) -> None:
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.0)
    _draw_bins(axes, calibration.given_bins, style.color, "o", "as given")
    if calibration.calibrated_bins:
        _draw_bins(axes, calibration.calibrated_bins, INK, "x", "after temperature")
        axes.legend(loc="upper left", fontsize=8, handletextpad=0.3, borderaxespad=0.1)
    _frame(axes, "Stated probability", "Share named rightly")


def _draw_bins(axes: Axes, bins: Sequence[ReliabilityBin], color: str, marker: str, label: str) -> None:
    drawn = [one for one in bins if one.confidence is not None and one.accuracy is not None]
    x, y = _numbers([one.confidence for one in drawn]), _numbers([one.accuracy for one in drawn])
    low, high = _numbers([one.low for one in drawn]), _numbers([one.high for one in drawn])
    bars = np.nan_to_num(np.clip(np.stack([y - low, high - y]), 0.0, None))
    axes.errorbar(x, y, yerr=bars, color=color, fmt=marker, markersize=5, elinewidth=1.2, capsize=0, label=label,
                  markerfacecolor="none" if marker == "o" else color)  # fmt: skip
    axes.plot(x, y, color=color, linewidth=0.8, alpha=0.6)


def _draw_confusion(axes: Axes, model: ModelSummary, labels: Sequence[str]) -> None:
    counts = np.array(model.confusion, dtype=np.float64)
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for row in range(len(labels)):
        for column in range(len(labels)):
            color = "white" if shares[row, column] > 0.6 else INK
            axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", color=color, fontsize=8)
    names = [_brief(wording.class_name(label)) for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(labels)), names, fontsize=8)
    axes.set_xlabel("Said")
    axes.set_ylabel("True class")
    axes.grid(visible=False)


def _draw_forest(axes: Axes, rows: Sequence[ModelComparison]) -> None:
    metric = rows[0].metric
    scale = 100.0 if wording.is_in_points(metric) else 1.0
    axes.axvline(0.0, color=FAINT, linewidth=1.0)
    if rows[0].margin is not None:
        axes.axvspan(-rows[0].margin * scale, rows[0].margin * scale, color=RULE, alpha=0.5, linewidth=0)
    for place, row in enumerate(rows):
        value, low, high = row.difference.value, row.difference.low, row.difference.high
        if value is None:
            continue
        if low is not None and high is not None:
            axes.plot([low * scale, high * scale], [place, place], color=INK, linewidth=1.8)
        axes.plot([value * scale], [place], color=MODEL_STYLES[0].color, marker="o", markersize=7)
    axes.set_yticks(range(len(rows)), [_brief(row.model) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    unit = " (points)" if scale == 100.0 else ""
    axes.set_xlabel(f"Difference in {wording.metric_name(metric)} to {_brief(rows[0].reference)}{unit}")
    axes.grid(visible=False, axis="y")


def _frame(axes: Axes, x: str, y: str) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    axes.set_xticks(_TICKS, ["0", "0.5", "1"])
    axes.set_yticks(_TICKS, ["0", "0.5", "1"])
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _svg(draw: Draw) -> str:
    with canvas((_PANEL_INCHES, _PANEL_INCHES)) as (figure, axes):
        draw(axes)
        return svg_text(figure)


def _png(draws: dict[str, Draw], styles: dict[str, ArmStyle] | None = None, inches: float = _PANEL_INCHES) -> bytes:
    """A panel for each name, at most three beside each other; `styles` make the legend below them."""
    columns = min(3, len(draws))
    rows = -(-len(draws) // columns)
    with canvas((inches * columns, (inches + 0.25) * rows + (0.5 if styles else 0.0))) as (figure, axes):
        axes.remove()
        grid = list(figure.subplots(rows, columns, squeeze=False).flat)
        for (name, draw), panel in zip(draws.items(), grid, strict=False):
            draw(panel)
            panel.set_title(_brief(wording.class_name(name)), fontsize=10.5, parse_math=False)
        for panel in grid[len(draws) :]:
            panel.remove()
        if styles and len(styles) > 1:
            lines = [
                panel.plot([], [], color=style.color, linestyle=style.dash, linewidth=1.8, label=_brief(name))[0]
                for name, style in styles.items()
            ]
            figure.legend(handles=lines, loc="outside lower center", ncols=min(3, len(lines)))
        return _bytes(figure)


def _forest_png(rows: Sequence[ModelComparison]) -> bytes:
    with canvas((6.4, 1.1 + 0.42 * len(rows))) as (figure, axes):
        _draw_forest(axes, rows)
        return _bytes(figure)


def _bytes(figure: Figure) -> bytes:
    for axes in figure.axes:
        for text in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label):
            text.set_parse_math(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_PNG_DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _brief(text: str) -> str:
    # The figures' font draws few scripts: what it lacks becomes a question mark, and the page has the name.
    plain = text.encode("latin-1", "replace").decode("latin-1")
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}\u2026"


def _numbers(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
