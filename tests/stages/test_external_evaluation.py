"""Anybody's predictions are judged: figures as scikit-learn's, fits on validation alone, weak groups unranked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, classification_report, roc_auc_score, top_k_accuracy_score

from tenfold.core.errors import DataError, InputError, WorkspaceError
from tenfold.core.files import read_json
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import read_run_record
from tenfold.core.workspace import hold_folder
from tenfold.evaluation.external import evaluate_given
from tenfold.evaluation.external_config import ExternalEvaluationConfig
from tenfold.evaluation.external_contents import ExternalEvaluation
from tenfold.evaluation.given_predictions import read_given
from tenfold.metrics.thresholds import threshold_at_specificity
from tenfold.recipes.evaluating import evaluation_settings, order_tables, run_evaluation
from tests.prediction_files import LABELS, make_manifest_table, make_predictions, write_files

SETTINGS = {"bootstrap_draws": 200, "permutations": 500}


def judge(files: list[Path], manifest: Path | None, **settings: object) -> ExternalEvaluation:
    config = ExternalEvaluationConfig.model_validate({**SETTINGS, **settings})
    return evaluate_given(config, read_given(files, manifest), NullProgress(), inputs={})


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Path]:
    return write_files(tmp_path_factory.mktemp("predictions"))


@pytest.fixture(scope="module")
def both(paths: tuple[list[Path], Path]) -> ExternalEvaluation:
    """Two models with three runs each; the second one is the reference."""
    return judge(*paths, reference="theirs", margin=0.05, prevalence={"melanoma": 0.02}, subgroup_attributes=(
        "skin_type_group", "sex", "age_band", "hospital", "severity",
    ))  # fmt: skip


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, ExternalEvaluation]:
    """One model's single run with one image a patient, and without validation images; classes of unequal size."""
    manifest = make_manifest_table(80, images_each=1, validation=0).iloc[:70]
    manifest = manifest[(manifest["label"] != "nevus") | (manifest.index < 40)]
    table = make_predictions(manifest)
    folder = tmp_path_factory.mktemp("single")
    table.to_csv(folder / "net.csv", index=False)
    manifest.to_csv(folder / "images.csv", index=False)
    return table, judge([folder / "net.csv"], folder / "images.csv")


def test_figures_are_those_of_scikit_learn(single: tuple[pd.DataFrame, ExternalEvaluation]) -> None:
    table, evaluation = single
    probs = table[[f"prob.{label}" for label in LABELS]].to_numpy()
    truth = np.array([LABELS.index(label) for label in table["label"]])
    expected = classification_report(truth, probs.argmax(axis=1), target_names=LABELS, output_dict=True)
    (model,) = evaluation.models
    names = {"macro average": "macro avg", "weighted average": "weighted avg"}
    assert [row.label for row in model.report] == [*LABELS, *names]
    for row in model.report:
        found = (row.precision.value, row.recall.value, row.f1.value, row.support)
        wanted = expected[names.get(row.label, row.label)]
        assert found == pytest.approx([wanted[name] for name in ("precision", "recall", "f1-score", "support")])
        assert row.recall.low is not None and row.recall.low < found[1] < (row.recall.high or 0)
    figures = {name: estimate.value for name, estimate in model.metrics.items()}
    assert figures["top2"] == pytest.approx(top_k_accuracy_score(truth, probs, k=2))
    assert figures["macro_auroc"] == pytest.approx(roc_auc_score(truth, probs, multi_class="ovr"))
    assert figures["average_precision.nevus"] == pytest.approx(average_precision_score(truth == 1, probs[:, 1]))
    assert np.sum(model.confusion) == len(table)
    curve = next(curve for curve in evaluation.curves if (curve.kind, curve.label) == ("roc", "nevus"))
    assert np.trapezoid(np.array(curve.y, dtype=float), curve.x) == pytest.approx(curve.area.value, abs=0.02)
    assert curve.y[-1] == 1.0 and curve.low[50] is not None


def test_without_validation_images_nothing_is_fitted(single: tuple[pd.DataFrame, ExternalEvaluation]) -> None:
    evaluation = single[1]
    assert not evaluation.operating_points
    assert not evaluation.calibrations[0].temperatures and not evaluation.calibrations[0].calibrated
    assert any("not fitted on test images" in note for note in evaluation.notes)
    assert not evaluation.comparisons and not evaluation.tests
    assert evaluation.planned[0].difference == pytest.approx(2.8016 * np.sqrt(0.2 / len(single[0])), rel=1e-3)


def test_thresholds_and_temperature_come_from_validation_images(
    paths: tuple[list[Path], Path], both: ExternalEvaluation
) -> None:
    table = pd.read_csv(paths[0][0])
    run = table[(table["split"] == "val") & (table["classifier_seed"] == 1)]
    fitted = threshold_at_specificity(
        (run["label"] == "nevus").to_numpy(), run["prob.nevus"].to_numpy(), 0.9
    )  # fmt: skip
    point = next(
        p for p in both.operating_points if (p.model, p.label) == ("ours", "nevus") and "specificity" in p.rule
    )
    assert point.thresholds[1] == pytest.approx(fitted.value)
    assert (point.n_validation_images, point.n_validation_positive) == (60, 20)
    test = table[(table["split"] == "test") & (table["classifier_seed"] == 1)]
    called, is_nevus = test["prob.nevus"] >= fitted.value, test["label"] == "nevus"
    of_run = (called & is_nevus).sum() / is_nevus.sum()
    assert abs((point.sensitivity.value or 0) - of_run) < 0.2
    for found in both.calibrations:
        assert len(found.temperatures) == 3
        assert min(found.temperatures) > 1.0  # the logits were made too large
        assert (found.calibrated["log_loss"].value or 9) < (found.given["log_loss"].value or 0)
        assert (found.given["expected_calibration_error"].low or 0) >= 0


def test_test_labels_do_not_move_thresholds(paths: tuple[list[Path], Path], both: ExternalEvaluation) -> None:
    table = pd.read_csv(paths[0][0])
    is_test = table["split"] == "test"
    turned = {"melanoma": "nevus", "nevus": "psoriasis", "psoriasis": "melanoma"}
    table.loc[is_test, "label"] = table.loc[is_test, "label"].map(turned)
    moved = paths[1].parent / "turned"
    moved.mkdir()
    table.to_csv(moved / "ours.csv", index=False)
    other = judge([moved / "ours.csv"], None)
    ours = [point.thresholds for point in both.operating_points if point.model == "ours"]
    assert [point.thresholds for point in other.operating_points] == ours
    assert other.calibrations[0].temperatures == both.calibrations[0].temperatures


def test_predictive_values_follow_bayes_at_the_stated_prevalence(both: ExternalEvaluation) -> None:
    point = next(p for p in both.prevalence_points if p.model == "ours" and p.rule == "the most probable class")
    metrics = both.models[0].metrics
    sensitivity, specificity = (metrics[f"{name}.melanoma"].value or 0 for name in ("sensitivity", "specificity"))
    found = sensitivity * 0.02
    assert point.ppv.value == pytest.approx(found / (found + (1 - specificity) * 0.98), abs=0.02)  # a mean over runs
    assert point.test_prevalence == pytest.approx(1 / 3)
    assert (point.ppv.value or 0) < (metrics["ppv.melanoma"].value or 0) - 0.3


def test_models_are_compared_with_intervals_margins_and_clustered_tests(both: ExternalEvaluation) -> None:
    first = both.comparisons[0]
    assert (first.model, first.reference, first.metric) == ("ours", "theirs", "macro_auroc")
    assert first.difference.low is not None and first.difference.low > 0
    assert first.difference.n_seeds == 3
    assert first.equivalence == "non_inferior"
    assert first.half_width == pytest.approx((first.difference.high - first.difference.low) / 2)
    assert all(row.equivalence is None for row in both.comparisons[1:])
    assert {row.test for row in both.tests} == {"mcnemar", "permutation", "delong"}
    for row in both.tests:
        assert row.n_runs == 3 and row.n_patients == 90
        assert row.p_value is not None and row.p_value <= (row.p_value_holm or 0) < 0.05
    assert "clustered" in next(row.method for row in both.tests if row.test == "delong")


def test_one_image_a_patient_gets_the_plain_tests(tmp_path: Path) -> None:
    manifest = make_manifest_table(60, images_each=1, validation=0)
    for name, seed in (("a", 0), ("b", 1)):
        make_predictions(manifest, seed=seed).to_parquet(tmp_path / f"{name}.parquet")
    manifest.to_csv(tmp_path / "images.csv", index=False)
    evaluation = judge([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "images.csv")
    methods = {row.test: row.method for row in evaluation.tests}
    assert "clustered" not in methods["mcnemar"] + methods["delong"]
    assert "McNemar" in methods["mcnemar"] and "DeLong" in methods["delong"]


def test_a_subgroup_of_three_patients_is_shown_and_never_ranked(both: ExternalEvaluation) -> None:
    rows = [row for row in both.subgroups if row.attribute == "skin_type_group" and row.metric == "accuracy"]
    dark = [row for row in rows if row.group == "V-VI"]
    assert [row.estimate.n_patients for row in dark] == [3, 3]
    assert all(row.is_weak and not row.is_worst and row.why_weak == "fewer than 10 patients" for row in dark)
    assert all(row.estimate.low is not None for row in dark)
    worst = [row for row in rows if row.is_worst]
    assert {row.model for row in worst} == {"ours", "theirs"}
    for row in worst:
        others = [other for other in rows if other.model == row.model and not other.is_weak]
        assert row.estimate.value == min(other.estimate.value for other in others)
    assert {row.attribute for row in both.subgroups} == {"skin_type_group", "sex", "age_band", "attr.hospital"}
    assert any(note.startswith("No results by severity") for note in both.notes)


def test_a_class_without_test_images_has_no_figures_and_stops_nothing(tmp_path: Path) -> None:
    manifest = make_manifest_table(40, images_each=1, validation=0)
    manifest = manifest[manifest["label"] != "psoriasis"]
    make_predictions(manifest).to_csv(tmp_path / "net.csv", index=False)
    evaluation = judge([tmp_path / "net.csv"], None)
    (model,) = evaluation.models
    assert model.metrics["auroc.psoriasis"].value is None
    assert model.metrics["macro_auroc"].value is not None
    assert evaluation.classes[2].n_images == 0
    assert ExternalEvaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) is not None


def test_a_run_writes_page_tables_and_figures_and_the_same_bytes_again(
    paths: tuple[list[Path], Path], tmp_path: Path
) -> None:
    config = evaluation_settings([], {"bootstrap_draws": ("--set", 100), "permutations": ("--set", 100)})
    order = order_tables(config, paths[0], paths[1], tmp_path / "out")
    outcome = run_evaluation(order, NullProgress())
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("[!.]*.*"))
    assert {"evaluation.html", "evaluation.json", "figures/roc.png", "tables/comparisons.csv"} <= set(files)
    assert len(files) == 17
    record = read_run_record(tmp_path / "out")
    assert set(record.outputs) == set(files) - {"run.json"} and record.stage == "evaluate"
    assert record.inputs == outcome.evaluation.inputs
    files.remove("run.json")
    assert ExternalEvaluation.from_json(read_json(tmp_path / "out/evaluation.json")) == outcome.evaluation
    assert set(outcome.evaluation.inputs) == {"ours.csv", "theirs.csv", "images.csv"}
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files}
    run_evaluation(order, NullProgress())
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files} == before
    metrics = pd.read_csv(tmp_path / "out/tables/metrics.csv")
    assert {"model", "metric", "value", "low", "high", "n_images", "n_patients", "n_runs"} <= set(metrics.columns)


def test_results_go_nowhere_that_holds_other_things(paths: tuple[list[Path], Path], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    order = order_tables(evaluation_settings(), paths[0], paths[1], tmp_path)
    with pytest.raises(InputError, match="holds other things"):
        run_evaluation(order, NullProgress())


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"reference": "nobody"}, "one of ours, theirs"), ({"prevalence": {"wart": 0.1}}, "no class 'wart'")],
)
def test_settings_that_name_nothing_are_refused(
    paths: tuple[list[Path], Path], settings: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        judge(*paths, **settings)


def test_a_folder_of_somebody_elses_tables_stays_whole(paths: tuple[list[Path], Path], tmp_path: Path) -> None:
    mine = tmp_path / "tables/mine.csv"
    mine.parent.mkdir()
    mine.write_text("1", encoding="utf-8")
    with pytest.raises(InputError, match="holds other things"):
        run_evaluation(order_tables(evaluation_settings(), paths[0], paths[1], tmp_path), NullProgress())
    assert mine.read_text(encoding="utf-8") == "1"


def test_two_evaluations_never_write_to_one_folder(paths: tuple[list[Path], Path], tmp_path: Path) -> None:
    order = order_tables(evaluation_settings(), paths[0], paths[1], tmp_path / "out")
    (tmp_path / "out").mkdir()
    with hold_folder(tmp_path / "out", "folder", "--out"), pytest.raises(WorkspaceError, match="in use"):
        run_evaluation(order, NullProgress())


def test_curves_are_of_the_reference_and_the_best(paths: tuple[list[Path], Path]) -> None:
    evaluation = judge(*paths, reference="theirs", curve_models=1)
    assert {curve.model for curve in evaluation.curves} == {"theirs"}
    assert any("1 of 2 models" in note for note in evaluation.notes)


def test_a_class_that_a_model_never_names_is_told(tmp_path: Path) -> None:
    manifest = make_manifest_table(30, validation=0)
    table = make_predictions(manifest)
    columns = [f"prob.{label}" for label in LABELS]
    table[columns] = [0.6, 0.4, 0.0]
    table = table.drop(columns=[f"logit.{label}" for label in LABELS])
    table.to_csv(tmp_path / "net.csv", index=False)
    notes = judge([tmp_path / "net.csv"], None).notes
    assert any("names no image nevus, psoriasis" in note and "flatters" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("image_id;label;prob.a;prob.b\nx;a;0,9;0,1\n", "separated by semicolons"),
        ("image_id,label,prob.a,prob.a\nx,a,0.9,0.1\n", "columns occur twice: prob.a"),
        ("image_id,label,prob.,prob.b\nx,a,0.9,0.1\n", "names no class"),
        ("image_id,label,prob.a,prob.b\nx,a,0.9,0.1,7\n", "more cells than the header"),
        ('image_id,label,prob.a,prob.b\nx,a,"0,9","0,1"\n', r"prob.a is '0,9'"),
        ("image_id,label,prob.a,prob.b\n,a,0.9,0.1\n", "have no image_id: row 1"),
        ("image_id,label,prob.a,prob.b,split\nx,a,0.9,0.1,holdout\n", r"holdout \(1\)"),
    ],
)
def test_a_file_that_is_no_table_of_predictions_says_what_to_do(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "net.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words) as caught:
        read_given([tmp_path / "net.csv"], None)
    assert caught.value.where and caught.value.expected and caught.value.todo


def test_cells_that_are_no_numbers_and_whole_numbers_with_a_point(tmp_path: Path) -> None:
    manifest = make_manifest_table(30, validation=0)
    numbers = {label: str(number) for number, label in enumerate(LABELS)}
    names = {f"{kind}.{label}": f"{kind}.{number}" for kind in ("prob", "logit") for label, number in numbers.items()}
    table = make_predictions(manifest).replace({"label": numbers}).rename(columns=names)
    table.astype({"label": "float64"}).to_parquet(tmp_path / "net.parquet")
    manifest.assign(label=table["label"], age="old").to_csv(tmp_path / "images.csv", index=False)
    given = read_given([tmp_path / "net.parquet"], tmp_path / "images.csv")
    assert given.labels == ("0", "1", "2")
    assert any("60 cells of age" in note and "old" in note for note in given.notes)


def test_a_column_that_is_not_there_is_refused_by_its_nearest_name(paths: tuple[list[Path], Path]) -> None:
    with pytest.raises(InputError, match="no column") as caught:
        judge(*paths, subgroup_attributes=("hospita",))
    assert caught.value.todo == "Did you mean 'hospital'?"
