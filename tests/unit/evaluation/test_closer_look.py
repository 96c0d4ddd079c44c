"""The closer look at the primary arm and its best control: curves, reports, thresholds, tests of the trained models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from tenfold.core.progress import NullProgress
from tenfold.evaluation.config import EvaluationConfig, PrimaryComparison
from tenfold.evaluation.contents import Evaluation
from tenfold.evaluation.predictions import load_study
from tenfold.evaluation.run import evaluate
from tenfold.evaluation.scoring import within
from tenfold.metrics.bootstrap import Interval
from tenfold.metrics.paired_tests import holm
from tests.unit.evaluation.studies_made_up import LABELS, test_images, write_study

test_images.__test__ = False  # type: ignore[attr-defined]

SKILLS = {("real_only", 8): 0.5, ("real_transforms", 8): 0.8, ("hybrid", 8): 1.6}
PRIMARY = PrimaryComparison(controls=("real_transforms", "real_only"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("closer")
    write_study(root, SKILLS, seeds=3)
    return root


@pytest.fixture(scope="module")
def evaluation(folder: Path) -> Evaluation:
    return evaluated(folder, prevalence={"df": 0.02, "melanoma": 0.1})


def evaluated(root: Path, **settings: object) -> Evaluation:
    folders = sorted((root / "classifiers").iterdir())
    study = load_study([(folder / "predictions.parquet", folder / "training.json") for folder in folders])
    config = EvaluationConfig.model_validate(
        {"bootstrap_draws": 100, "permutations": 200, "primary": PRIMARY, "subgroup_attributes": ("sex",), **settings}
    )
    return evaluate(config, study, test_images(), NullProgress())


def test_both_arms_have_curves_and_a_report_that_are_scikit_learns(evaluation: Evaluation, folder: Path) -> None:
    look = evaluation.closer
    pairs = {(arm, label) for arm in ("hybrid", "real_transforms") for label in LABELS}
    assert {(curve.model, curve.label) for curve in look.precision_recall} == pairs
    curve = next(curve for curve in look.precision_recall if (curve.model, curve.label) == ("hybrid", "df"))
    tables = [
        pd.read_parquet(folder / f"classifiers/main-hybrid-n8-s{seed}/predictions.parquet").query("split == 'test'")
        for seed in range(3)
    ]
    areas = [average_precision_score(table["label"] == "df", table["prob.df"]) for table in tables]
    assert curve.area.value == pytest.approx(np.mean(areas)) and len(curve.y) == len(curve.low) == len(curve.x)
    rows = {row.label: row for row in look.reports[0].rows}
    said = [table[[f"prob.{label}" for label in LABELS]].to_numpy().argmax(axis=1) for table in tables]
    found = [
        precision_recall_fscore_support([LABELS.index(label) for label in table["label"]], called)[:3]
        for table, called in zip(tables, said, strict=True)
    ]
    expected = np.mean(found, axis=0)
    for place, label in enumerate(LABELS):
        row = rows[label]
        assert [row.precision.value, row.recall.value, row.f1.value] == pytest.approx(list(expected[:, place]))
        assert (row.support, row.patients) == (40, 20)
    assert rows["macro average"].f1.value == pytest.approx(expected[2].mean())


def test_thresholds_come_of_validation_and_prevalence_of_the_recipe(evaluation: Evaluation) -> None:
    look = evaluation.closer
    assert {point.n_validation_images for point in look.operating_points} == {6.0}
    assert all(len(point.thresholds) == 3 for point in look.operating_points)
    assert {point.label for point in look.prevalence_points} == {"df"}
    point = look.prevalence_points[0]
    assert point.test_prevalence == pytest.approx(1 / 3) and point.prevalence == 0.02
    assert point.ppv.value is not None and point.ppv.value < 0.33
    assert any("No predictive values for melanoma" in note for note in evaluation.notes)
    for found in look.calibrations:
        assert len(found.temperatures) == 3 and set(found.calibrated) == set(found.given)


def test_the_arm_is_tested_against_every_control_and_holm_goes_over_all_of_a_kind(evaluation: Evaluation) -> None:
    tests = evaluation.closer.tests
    kinds = {kind: [row for row in tests if row.test == kind] for kind in ("mcnemar", "permutation", "delong")}
    assert [len(rows) for rows in kinds.values()] == [2, 2, 6]
    for rows in kinds.values():
        assert {row.reference for row in rows} == {"real_transforms", "real_only"}
        assert {row.model for row in rows} == {"hybrid"}
        assert [row.p_value_holm for row in rows] == holm([row.p_value for row in rows])
        assert all(row.n_patients == 60 and row.n_runs == 3 for row in rows)
    primary = {row.control: row.difference.value for row in evaluation.comparisons if row.metric == "accuracy"}
    for row in kinds["mcnemar"]:
        assert row.difference is not None and row.difference == pytest.approx(primary[row.reference], abs=0.08)


def test_the_look_is_read_back_and_an_older_file_without_it_too(evaluation: Evaluation) -> None:
    content = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert Evaluation.from_json(content) == evaluation
    del content["closer"]
    for row in content["subgroups"]:
        del row["absent_labels"]
    older = Evaluation.from_json(content)
    assert older.closer.tests == () and older.verdict == evaluation.verdict


def test_without_validation_images_nothing_is_fitted(tmp_path: Path) -> None:
    write_study(tmp_path, SKILLS, seeds=3)
    for path in (tmp_path / "classifiers").glob("*/predictions.parquet"):
        pd.read_parquet(path).query("split == 'test'").to_parquet(path)
    look = evaluated(tmp_path).closer
    assert look.operating_points == () and [found.temperatures for found in look.calibrations] == [(), ()]
    assert len(look.tests) == 10 and len(look.reports) == 2


def test_figures_of_other_classes_are_not_ranked(folder: Path) -> None:
    images = test_images()
    groups = np.where(images["label"] == "df", "x", np.array(["y", "z"])[np.arange(len(images)) // 2 % 2])
    study = load_study([
        (cell / "predictions.parquet", cell / "training.json") for cell in sorted((folder / "classifiers").iterdir())
    ])  # fmt: skip
    config = EvaluationConfig(
        bootstrap_draws=100, permutations=100, primary=PRIMARY, subgroup_attributes=("sex",),
        subgroup_detectable_difference=0.99,
    )  # fmt: skip
    rows = evaluate(config, study, images.assign(sex=groups), NullProgress()).subgroups
    assert {row.absent_labels for row in rows if row.value in "yz"} == {("df",)}
    assert not any(row.is_worst for row in rows)


def test_no_interval_holds_what_its_figure_cannot_be() -> None:
    wide = Interval(0.4, 0.1, 3.7, 0.2, 1.0, 0.5, "made-up")
    assert within(wide, "expected_calibration_error").high == 1.0
    assert within(wide, "brier_score").high == 2.0 and within(wide, "brier_score.df").high == 1.0
    assert within(wide, "log_loss") == wide
