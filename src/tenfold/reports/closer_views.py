"""What the templates show of the closer look: figures of both arms, thresholds side by side, tests by their kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenfold.evaluation.contents import (
    Calibration,
    ClassReport,
    CurveBand,
    Evaluation,
    OperatingPoint,
    PairedTestRow,
    PrevalencePoint,
)
from tenfold.reports import evaluation_figures, study_views
from tenfold.reports.palette import ArmStyle, arm_style

MOST_CLASSES_DRAWN = evaluation_figures.MOST_PANELS
FIRST_RULE = "specificity"
"""How the name of the rule begins whose thresholds are shown for both arms side by side."""


@dataclass(frozen=True)
class PrecisionRecallPanel:
    """One class's curves of both arms, and the address of their figure."""

    label: str
    curves: tuple[CurveBand, ...]
    address: str


@dataclass(frozen=True)
class CloserView:
    """The closer look by what a template walks over; `side_by_side` has a class's points by arm, of the first rule."""

    panels: tuple[PrecisionRecallPanel, ...]
    reports: tuple[ClassReport, ...]
    calibrations: tuple[tuple[Calibration, str], ...]
    side_by_side: Mapping[str, Mapping[str, OperatingPoint]]
    points: Mapping[str, Sequence[OperatingPoint]]
    prevalence: tuple[PrevalencePoint, ...]
    tests: Mapping[str, Sequence[PairedTestRow]]

    @property
    def arms(self) -> list[str]:
        """The arms that have thresholds."""
        return list(self.points)


def closer_view(evaluation: Evaluation) -> CloserView:
    """The view; its parts are empty where the evaluation, an older one perhaps, holds none."""
    look = evaluation.closer
    names = study_views.arm_names(evaluation)
    shown = [report.arm for report in look.reports]
    styles = {arm: arm_style(arm, names) for arm in shown}
    side_by_side: dict[str, dict[str, OperatingPoint]] = {}
    for point in look.operating_points:
        if point.rule.startswith(FIRST_RULE):
            side_by_side.setdefault(point.label, {})[point.model] = point
    tests: dict[str, list[PairedTestRow]] = {}
    for row in look.tests:
        tests.setdefault(row.test, []).append(row)
    return CloserView(
        panels=tuple(_panels(evaluation, styles)),
        reports=look.reports,
        calibrations=tuple(
            (found, study_views.svg_address(evaluation_figures.calibration_panel(found, styles[found.model])))
            for found in look.calibrations
        ),
        side_by_side=side_by_side,
        points={
            arm: points for arm in shown if (points := [p for p in look.operating_points if p.model == arm])
        },
        prevalence=look.prevalence_points,
        tests=tests,
    )  # fmt: skip


def _panels(evaluation: Evaluation, styles: dict[str, ArmStyle]) -> list[PrecisionRecallPanel]:
    supports = {row.label: row.support for report in evaluation.closer.reports[:1] for row in report.rows}
    panels: list[PrecisionRecallPanel] = []
    for label in evaluation.labels:
        curves = [curve for curve in evaluation.closer.precision_recall if curve.label == label]
        if curves and len(panels) < MOST_CLASSES_DRAWN:
            frequency = supports[label] / evaluation.n_test_images
            svg = evaluation_figures.precision_recall_panel(curves, styles, frequency)
            panels.append(PrecisionRecallPanel(label, tuple(curves), study_views.svg_address(svg)))
    return panels
