"""Figures of a tuning: the trials in their order, their looks at validation, each setting, and what mattered."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from tenfold.classification.tuning_contents import Trial, TuningContents
from tenfold.reports import wording
from tenfold.reports.figures import canvas, svg_text
from tenfold.reports.palette import INK

BEST, WHOLE, PRUNED = "#D55E00", "#0072B2", "#8d98a2"
_WIDE, _SMALL = (6.4, 3.6), (3.3, 2.9)
_PNG_DPI = 160


@dataclass(frozen=True)
class Drawing:
    """One figure as SVG text for the page and as PNG for slides."""

    svg: str
    png: bytes


def history(contents: TuningContents) -> Drawing:
    """The figure of every trial in order, and the best whole one so far."""

    def draw(axes: Axes) -> None:
        for state, color, marker, words in (
            ("complete", WHOLE, "o", "whole trial"), ("pruned", PRUNED, "x", "ended early, its best look"),
        ):  # fmt: skip
            drawn = [
                (trial.number + 1, trial.value)
                for trial in contents.trials
                if trial.state == state and trial.value is not None
            ]
            if drawn:
                axes.plot([place for place, _ in drawn], [value for _, value in drawn], color=color,
                          linestyle="none", marker=marker, markersize=6, label=words, zorder=3)  # fmt: skip
        places, values = _best_so_far(contents)
        axes.step([*places, len(contents.trials)], [*values, values[-1]], where="post", color=BEST, linewidth=1.8,
                  label="best so far", zorder=2)  # fmt: skip
        axes.set_xlabel("Trial")
        axes.set_ylabel(_figure_name(contents))
        axes.set_xlim(0.3, len(contents.trials) + 0.7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, columnspacing=1.4, handlelength=1.6,
                    borderaxespad=0.2)  # fmt: skip

    return _drawn(_WIDE, draw)


def looks(contents: TuningContents) -> Drawing:
    """The figure at every look of every trial: where trials were ended early, and the best one."""

    def draw(axes: Axes) -> None:
        for trial in contents.trials:
            steps, values = [look.step for look in trial.looks], [look.value for look in trial.looks]
            if trial.number == contents.best_number or not steps:
                continue
            color = WHOLE if trial.state == "complete" else PRUNED
            axes.plot(steps, values, color=color, linewidth=1.0, alpha=0.6, zorder=2)
            if trial.state != "complete":
                axes.plot(steps[-1:], values[-1:], color=color, marker="x", markersize=5, zorder=2)
        best = contents.best
        axes.plot([look.step for look in best.looks], [look.value for look in best.looks], color=BEST, linewidth=2.2,
                  zorder=3)  # fmt: skip
        if best.best_step is not None and best.value is not None:
            axes.plot([best.best_step], [best.value], color=BEST, marker="D", markersize=7, zorder=4)
        axes.set_xlabel("Optimizer step")
        axes.set_ylabel(_figure_name(contents))

    return _drawn(_WIDE, draw)


def importance(importances: Mapping[str, float]) -> Drawing:
    """Each setting's share of the figure's variance over the searched space."""
    ordered = sorted(importances.items(), key=lambda pair: pair[1])

    def draw(axes: Axes) -> None:
        places = range(len(ordered))
        axes.barh(places, [share for _, share in ordered], color=WHOLE, height=0.62)
        for place, (_, share) in zip(places, ordered, strict=True):
            axes.text(share + 0.012, place, f"{share:.0%}", va="center", color=INK)
        axes.set_yticks(places, [name.replace("_", " ") for name, _ in ordered], color=INK)
        axes.set_xlim(0, 1.12)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("Share of the variance of validation figures")
        axes.grid(visible=False, axis="y")

    return _drawn((_WIDE[0], 1.0 + 0.42 * len(ordered)), draw)


def slice_of(contents: TuningContents, name: str) -> Drawing:
    """The figure against one setting, all others as they came."""
    drawn = [(trial, trial.value) for trial in contents.trials if trial.value is not None]
    searched = contents.space[name]
    names = [] if searched.choices is None else list(map(str, searched.choices))

    def place(trial: Trial) -> float:
        value = trial.values[name]
        return names.index(str(value)) if names else float(value)

    def draw(axes: Axes) -> None:
        for trial, figure in drawn:
            is_best = trial.number == contents.best_number
            color = BEST if is_best else WHOLE if trial.state == "complete" else PRUNED
            marker = "D" if is_best else "o" if trial.state == "complete" else "x"
            axes.plot([place(trial)], [figure], color=color, marker=marker, markersize=7 if is_best else 5,
                      zorder=4 if is_best else 3)  # fmt: skip
        if names:
            axes.xaxis.set_major_locator(FixedLocator(list(range(len(names)))))
            axes.set_xticklabels(names)
            axes.set_xlim(-0.5, len(names) - 0.5)
        elif searched.is_log:
            axes.set_xscale("log")
        axes.set_xlabel(name.replace("_", " "))
        axes.set_ylabel(_figure_name(contents))

    return _drawn(_SMALL, draw)


def _drawn(inches: tuple[float, float], draw: Callable[[Axes], None]) -> Drawing:
    with canvas(inches) as (figure, axes):
        draw(axes)
        return Drawing(svg_text(figure), _png(figure))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_PNG_DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _best_so_far(contents: TuningContents) -> tuple[Sequence[int], Sequence[float]]:
    sign = -1.0 if contents.goal == "macro_auroc" else 1.0
    places, values, best = [], [], math.inf
    for trial in contents.trials:
        if trial.state == "complete" and trial.value is not None and sign * trial.value < best:
            best = sign * trial.value
            places.append(trial.number + 1)
            values.append(trial.value)
    return places, values


def _figure_name(contents: TuningContents) -> str:
    return f"Validation {wording.metric_name(contents.goal)}"
