"""The closer look on the page: precision-recall, classification report, calibration, thresholds, tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.evaluation.contents import (
    Calibration,
    ClassReport,
    CloserLook,
    CurveBand,
    Evaluation,
    OperatingPoint,
    PairedTestRow,
    PrevalencePoint,
    ReportRow,
)
from tenfold.evaluation.external_contents import ReliabilityBin
from tenfold.reports.closer_views import closer_view
from tenfold.reports.config import ReportConfig
from tenfold.reports.run import run
from tests.report_workspace import LABELS, N_PATIENTS, N_TEST, SEEDS, estimate, make_evaluation, make_report_workspace

ARMS = ("hybrid", "real_transforms")
RULE = "specificity 0.9 on validation"


def look() -> CloserLook:
    """A made-up look at three classes."""
    share = estimate(0.6, 0.1)
    bins = (ReliabilityBin(0.4, 0.5, 0.3, 0.7, 0.5), ReliabilityBin(None, None, None, None, 0.0))
    errors = {name: estimate(0.5, 0.1) for name in ("expected_calibration_error", "brier_score", "log_loss")}
    report = tuple(ReportRow(label, share, share, share, 80, 44, False) for label in LABELS)
    average = ReportRow("macro average", share, share, share, N_TEST, N_PATIENTS, True)
    pairs = [(arm, label) for arm in ARMS for label in LABELS]
    return CloserLook(
        precision_recall=tuple(
            CurveBand(arm, label, "precision_recall", (0.0, 0.5, 1.0), (0.9, 0.7, None), (0.6, 0.5, None),
                      (1.0, 0.8, None), share)
            for arm, label in pairs
        ),
        reports=tuple(ClassReport(arm, (*report, average)) for arm in ARMS),
        calibrations=tuple(Calibration(arm, (1.2, 2.5), errors, errors, bins, bins) for arm in ARMS),
        operating_points=tuple(
            OperatingPoint(arm, label, rule, (0.25, 0.31), 12.0, 4.0, share, share, share, share)
            for arm, label in pairs
            for rule in (RULE, "Youden's index on validation")
        ),
        prevalence_points=(PrevalencePoint("hybrid", LABELS[0], RULE, 0.02, 0.33, share, share),),
        tests=tuple(
            PairedTestRow("hybrid", "real_transforms", test, label, 0.012, -0.02, 0.04, 0.031, 0.062, SEEDS, N_TEST,
                          N_PATIENTS, "a made-up method")
            for test, label in (("mcnemar", None), ("delong", LABELS[0]))
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return replace(make_evaluation(), closer=look())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, evaluation: Evaluation) -> str:
    first = next(row for row in evaluation.comparisons if row.family == "other arms")
    clear = replace(first, difference=estimate(0.02, 0.01), p_value=0.02, p_value_holm=0.08)
    others = tuple(row for row in evaluation.comparisons if row is not first)
    changed = replace(evaluation, comparisons=(*others, clear))
    workspace = make_report_workspace(tmp_path_factory.mktemp("closer") / "study", changed)
    with SerialExecutor() as executor:
        run(ReportConfig(), workspace, executor, NullProgress())
    return (workspace.path / "report/report.html").read_text(encoding="utf-8")


def test_the_view_puts_arms_side_by_side(evaluation: Evaluation) -> None:
    view = closer_view(evaluation)
    assert [panel.label for panel in view.panels] == list(LABELS)
    assert view.arms == list(ARMS)
    assert {point.rule for points in view.side_by_side.values() for point in points.values()} == {RULE}
    assert set(view.tests) == {"mcnemar", "delong"}


def test_the_page_shows_all_of_it(page: str) -> None:
    for part in (
        "Precision and recall of scaly patch of skin against all other classes", "Classification report",
        "Macro average", "temperature 1.20 to 2.50", "called above a threshold chosen for specificity 0.9",
        "12 validation images a repetition", "0.250 to 0.310", "2.00 %", "McNemar: accuracy",
        "DeLong: AUROC of each class against the rest", "0.062", "No margin was stated before the run",
    ):  # fmt: skip
        assert part in page, part


def test_a_secondary_interval_clear_of_zero_is_not_called_so_after_correction(page: str) -> None:
    assert page.count("not after correction") == 1


def test_an_older_evaluation_says_what_is_not_there(tmp_path: Path) -> None:
    workspace = make_report_workspace(tmp_path / "study")
    with SerialExecutor() as executor:
        run(ReportConfig(), workspace, executor, NullProgress())
    page = (workspace.path / "report/report.html").read_text(encoding="utf-8")
    for reason in (
        "the evaluation holds no precision-recall curves", "the evaluation holds no classification report",
        "the evaluation holds no calibration", "no threshold could be fitted", "no prevalence was stated",
    ):  # fmt: skip
        assert reason in page
