"""Figures of the intake page as SVG text: skin color (ITA) by Fitzpatrick skin type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from tenfold.data.skin_tone import ITA_BOUNDS_DEGREES
from tenfold.reports import wording
from tenfold.reports.figures import canvas, svg_text
from tenfold.reports.intake_contents import ItaRow
from tenfold.reports.palette import FAINT, INK, RULE

_WIDTH_INCHES, _HEIGHT_PER_ROW_INCHES, _MARGIN_INCHES = 6.4, 0.42, 1.05
_MOST_POINTS = 120
_POINT_COLOR = "#0072B2"
_BAND_COLORS = ("#6b4a34", "#8f6547", "#b08660", "#cfa982", "#e3c6a5", "#f1dfca")
_BOUNDS = tuple(sorted(ITA_BOUNDS_DEGREES))
_BAND_TYPES = ("6", "5", "4", "3", "2", "1")
_GOLDEN = 0.6180339887498949


def skin_tone_plot(rows: Sequence[ItaRow], values: Mapping[str, Sequence[float]]) -> str:
    """ITA of the images of each skin type, a row each: points, the middle nine tenths and the median.

    The bands behind are what ITA alone would call the type. Of many images `_MOST_POINTS` are drawn, evenly spread over
    their order.
    """
    with canvas((_WIDTH_INCHES, _MARGIN_INCHES + _HEIGHT_PER_ROW_INCHES * len(rows))) as (figure, axes):
        low = min([_BOUNDS[0] - 20, *(row.low for row in rows)]) - 3
        high = max([_BOUNDS[-1] + 12, *(row.high for row in rows)]) + 3
        _draw_bands(axes, low, high)
        for place, row in enumerate(rows):
            _draw_points(axes, values[row.skin_type], place)
            axes.plot([row.low, row.high], [place, place], color=INK, linewidth=1.6, zorder=3)
            axes.plot([row.median], [place], color=INK, marker="D", markersize=6, markeredgecolor="white", zorder=4)
        axes.set_xlim(low, high)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [_row_name(row.skin_type) for row in rows], color=INK)
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        axes.set_xlabel("ITA in degrees: darker to the left, lighter to the right")
        axes.grid(visible=False)
        return svg_text(figure)


def _draw_bands(axes: Axes, low: float, high: float) -> None:
    edges = (low, *_BOUNDS, high)
    for left, right, color, name in zip(edges[:-1], edges[1:], _BAND_COLORS, _BAND_TYPES, strict=True):
        axes.axvspan(left, right, color=color, alpha=0.28, linewidth=0, zorder=0)
        words = wording.attribute_value("skin_type", name)
        axes.text((left + right) / 2, 1.02, words, transform=axes.get_xaxis_transform(), ha="center", va="bottom",
                  fontsize=9, color=FAINT)  # fmt: skip
    for boundary in _BOUNDS:
        axes.axvline(boundary, color=RULE, linewidth=0.8, zorder=1)


def _draw_points(axes: Axes, values: Sequence[float], place: int) -> None:
    ordered = np.sort(np.array([value for value in values if value is not None], dtype=float))
    ordered = ordered[np.isfinite(ordered)]
    if len(ordered) > _MOST_POINTS:
        ordered = ordered[np.linspace(0, len(ordered) - 1, _MOST_POINTS).round().astype(int)]
    # Fractions of the golden ratio spread points evenly without chance, so that the same data give the same figure.
    offsets = 0.5 * ((np.arange(1, len(ordered) + 1) * _GOLDEN) % 1.0 - 0.5)
    axes.plot(ordered, place + offsets, linestyle="none", marker="o", markersize=3.2, color=_POINT_COLOR, alpha=0.45,
              markeredgewidth=0, zorder=2)  # fmt: skip


def _row_name(skin_type: str) -> str:
    # The figure's font draws no letters of most scripts: what it lacks becomes a question mark, and the table has it.
    words = wording.attribute_value("skin_type", skin_type).encode("latin-1", "replace").decode("latin-1")
    return f"Type {words}" if skin_type.isdigit() else wording.capital(words)
