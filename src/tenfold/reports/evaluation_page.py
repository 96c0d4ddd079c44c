"""An evaluation of anybody's predictions as one self-contained HTML page, with its figures as PNG files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment

from tenfold.evaluation.external_contents import (
    Calibration,
    CurveBand,
    ExternalEvaluation,
    GroupRow,
    ModelComparison,
    ModelSummary,
    PairedTestRow,
)
from tenfold.reports import evaluation_figures as figures
from tenfold.reports.intake_render import brief, subgroup_value
from tenfold.reports.intervals import difference_scale
from tenfold.reports.palette import ArmStyle
from tenfold.reports.pictures import data_address
from tenfold.reports.templating import page_environment
from tenfold.reports.wording import class_name

SECTION_NAMES = {
    "answer": "The answer",
    "compare": "Models compared",
    "classes": "Class by class",
    "curves": "Curves",
    "calibration": "Calibration",
    "use": "Thresholds and use",
    "subgroups": "For whom",
    "record": "Record",
}
OVERALL_METRICS = (
    "accuracy", "balanced_accuracy", "macro_auroc", "macro_average_precision", "macro_f1", "macro_specificity",
    "macro_ppv", "macro_npv", "macro_sensitivity_at_specificity", "top2", "top3", "brier_score", "log_loss",
    "expected_calibration_error",
)  # fmt: skip
"""In the page's order, after the metric by which models are compared."""
TEST_NAMES = {"mcnemar": "McNemar", "permutation": "Permutation", "delong": "DeLong"}
EQUIVALENCE_WORDS = {
    "equivalent": "equivalent",
    "non_inferior": "not inferior",
    "inconclusive": "inconclusive",
    "inferior": "inferior",
}
MOST_MODELS = len(figures.MODEL_STYLES)


@dataclass(frozen=True)
class CurvePanel:
    """One class's curves: their image address and the models drawn."""

    label: str
    address: str
    curves: tuple[CurveBand, ...]


def shown_models(evaluation: ExternalEvaluation) -> list[ModelSummary]:
    """The reference and the best others by the metric, as many as a figure tells apart; in the file's order."""
    others = [model for model in evaluation.models if model.name != evaluation.reference]
    others.sort(key=lambda model: -(model.metrics[evaluation.metric].value or 0.0))
    names = {evaluation.reference, *(model.name for model in others[: MOST_MODELS - 1])}
    return [model for model in evaluation.models if model.name in names]


def render_evaluation_page(evaluation: ExternalEvaluation) -> str:
    """The page; the same evaluation gives the same bytes."""
    models = shown_models(evaluation)
    styles = dict(zip([model.name for model in models], figures.MODEL_STYLES, strict=False))
    page = (
        _environment()
        .get_template("evaluation.html.j2")
        .render(
            evaluation=evaluation,
            models=models,
            colors={name: style.color for name, style in styles.items()},
            unit="patient" if evaluation.has_patients else "image",
            metrics=[name for name in _metric_order(evaluation.metric) if name in models[0].metrics],
            first=[row for row in evaluation.comparisons if row.metric == evaluation.metric],
            others=_by_metric(evaluation),
            tests=_by_test(evaluation.tests),
            rocs=_panels(evaluation, "roc", styles),
            precisions=_panels(evaluation, "precision_recall", styles),
            calibrations=[
                (found, data_address(figures.calibration_panel(found, styles[found.model]).encode(), "image/svg+xml"))
                for found in evaluation.calibrations
                if found.model in styles
            ],
            groups=_groups(evaluation, [model.name for model in models]),
        )
    )
    return page if page.endswith("\n") else page + "\n"


def figure_files(evaluation: ExternalEvaluation) -> dict[str, bytes]:
    """The figures as PNG, by file name."""
    return figures.png_files(evaluation, [model.name for model in shown_models(evaluation)])


def side_word(row: ModelComparison) -> str:
    """A comparison in words, as its interval has it."""
    low, high = row.difference.low, row.difference.high
    if low is None or high is None:
        return "no interval can be had"
    return "higher" if low > 0 else "lower" if high < 0 else "no evidence of a difference"


def share_of_row(model: ModelSummary, row: int, column: int) -> float | None:
    """Share of a true class's decisions, None without any."""
    total = sum(model.confusion[row])
    return model.confusion[row][column] / total if total else None


def temperature_words(found: Calibration) -> str:
    """The temperatures of all runs: one number, or their range."""
    low, high = min(found.temperatures), max(found.temperatures)
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"


def threshold_words(thresholds: Sequence[float]) -> str:
    """The thresholds of all runs: one number, or their range; above 1 nothing is called positive.

    >>> threshold_words([0.25]), threshold_words([0.1, 0.4])
    ('0.250', '0.100 to 0.400')
    """
    low, high = min(thresholds), max(thresholds)
    return f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f} to {high:.3f}"


def _metric_order(first: str) -> list[str]:
    return list(dict.fromkeys((first, *OVERALL_METRICS)))


def _by_metric(evaluation: ExternalEvaluation) -> dict[str, list[ModelComparison]]:
    found: dict[str, list[ModelComparison]] = {}
    for row in evaluation.comparisons:
        if row.metric != evaluation.metric:
            found.setdefault(row.metric, []).append(row)
    return found


def _by_test(rows: Sequence[PairedTestRow]) -> dict[str, list[PairedTestRow]]:
    found: dict[str, list[PairedTestRow]] = {}
    for row in rows:
        found.setdefault(row.test, []).append(row)
    return found


def _panels(evaluation: ExternalEvaluation, kind: str, styles: dict[str, ArmStyle]) -> list[CurvePanel]:
    panels: list[CurvePanel] = []
    for count in evaluation.classes:
        curves = [
            curve for curve in evaluation.curves
            if curve.kind == kind and curve.label == count.label and curve.model in styles
        ]  # fmt: skip
        if not curves or len(panels) == figures.MOST_PANELS:
            continue
        frequency = count.n_images / evaluation.n_test_images
        svg = (
            figures.roc_panel(curves, styles)
            if kind == "roc"
            else figures.precision_recall_panel(curves, styles, frequency)
        )
        panels.append(CurvePanel(count.label, data_address(svg.encode(), "image/svg+xml"), tuple(curves)))
    return panels


def _groups(
    evaluation: ExternalEvaluation, models: Sequence[str]
) -> dict[str, dict[str, dict[str, dict[str, GroupRow]]]]:
    """attribute -> group -> model -> metric -> row, of the models shown."""
    found: dict[str, dict[str, dict[str, dict[str, GroupRow]]]] = {}
    for row in evaluation.subgroups:
        if row.model in models:
            by_group = found.setdefault(row.attribute, {})
            by_group.setdefault(row.group, {}).setdefault(row.model, {})[row.metric] = row
    return found


@cache
def _environment() -> Environment:
    environment = page_environment()
    for function in (brief, class_name, subgroup_value, temperature_words, threshold_words, side_word):
        environment.filters[function.__name__] = function
    constants: Mapping[str, object] = {
        "section_names": SECTION_NAMES,
        "test_names": TEST_NAMES,
        "equivalence_words": EQUIVALENCE_WORDS,
        "share_of_row": share_of_row,
        "difference_scale": difference_scale,
        "most_panels": figures.MOST_PANELS,
    }
    environment.globals |= constants
    return environment
