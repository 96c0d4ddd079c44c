"""The picture of a classifier's training: its loss and its looks at the validation images, step by step."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.axes import Axes

from tenfold.reports.figures import canvas
from tenfold.reports.palette import INK

if TYPE_CHECKING:
    import pandas as pd

_PANELS = (
    ("loss", "Training loss"),
    ("validation_log_loss", "Log loss, validation"),
    ("validation_macro_auroc", "Macro AUROC, validation"),
)
_LINE, _BEST = "#0072B2", "#D55E00"
_INCHES, _DPI = (10.2, 3.2), 140


def training_curves(history: pd.DataFrame) -> bytes:
    """A PNG of a classifier's history.csv (steps, or penalties of a solved head); the chosen look is marked."""
    place, words = ("step", "Optimizer step") if "step" in history else ("l2", "Penalty of the head")
    order = history.sort_values(
        ["validation_macro_auroc", "validation_log_loss"], ascending=[False, True], kind="stable"
    )
    best = history.loc[order.index[0]]
    rows = history.sort_values(place)
    buffer = io.BytesIO()
    with canvas(_INCHES) as (figure, first):
        panels: list[Axes] = [first.figure.add_subplot(1, len(_PANELS), number + 1) for number in range(len(_PANELS))]
        first.remove()
        for axes, (column, title) in zip(panels, _PANELS, strict=True):
            axes.plot(rows[place], rows[column], color=_LINE, linewidth=1.8, marker="o", markersize=3)
            axes.plot([best[place]], [best[column]], color=_BEST, marker="D", markersize=7, linestyle="none", zorder=4,
                      label="chosen by validation")  # fmt: skip
            if place == "l2":
                axes.set_xscale("log")
            axes.set_title(title, color=INK, fontsize=10.5, loc="left")
            if column == "validation_macro_auroc":
                axes.set_ylim(top=min(axes.get_ylim()[1], 1.005))
            axes.set_xlabel(words)
        panels[0].legend(loc="best", fontsize=9)
        figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
