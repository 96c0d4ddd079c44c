"""A whole evaluation of a made-up study with known answers, and the faults of its inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tenfold.core.errors import DataError, DesignError, FaultsError
from tenfold.core.progress import NullProgress
from tenfold.evaluation.config import EvaluationConfig, PrimaryComparison
from tenfold.evaluation.contents import Evaluation
from tenfold.evaluation.predictions import load_study
from tenfold.evaluation.run import evaluate
from tests.unit.evaluation.studies_made_up import AT_EIGHT, FOUR_ARMS, LABELS, test_images, write_study

test_images.__test__ = False  # type: ignore[attr-defined]


def evaluated(root: Path, skills: Any = None, *, config: dict[str, Any] | None = None, **kwargs: Any) -> Evaluation:
    study = load_study(write_study(root, FOUR_ARMS if skills is None else skills, **kwargs))
    settings = EvaluationConfig(bootstrap_draws=200, **(config or {}))
    return evaluate(settings, study, test_images(), NullProgress())


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluated(tmp_path_factory.mktemp("study"))


def test_the_arm_that_is_better_helps(evaluation: Evaluation) -> None:
    assert evaluation.verdict.word == "helps"
    assert (evaluation.verdict.arm, evaluation.verdict.training_size) == ("hybrid", 8)
    primary = [row for row in evaluation.comparisons if row.is_primary]
    assert [row.control for row in primary] == ["real_transforms", "real_only", "real_autoencoder"]
    for row in primary:
        assert row.difference.n_images == 120 and row.difference.n_patients == 60 and row.difference.n_seeds == 5
        assert row.difference.low is not None and row.difference.low > 0
        assert row.p_value is not None and row.p_value_holm is not None and row.p_value <= row.p_value_holm


def test_points_are_means_over_seeds_of_the_plain_figures(evaluation: Evaluation, tmp_path: Path) -> None:
    files = write_study(tmp_path, {("hybrid", 8): FOUR_ARMS["hybrid", 8]})
    expected = []
    for path, _ in files:
        table = pd.read_parquet(path).query("split == 'test'")
        aucs = [roc_auc_score(table["label"] == label, table[f"prob.{label}"]) for label in LABELS]
        expected.append(np.mean(aucs))
    summary = next(arm for arm in evaluation.arms if (arm.arm, arm.training_size) == ("hybrid", 8))
    assert summary.metrics["macro_auroc"].value == pytest.approx(np.mean(expected))
    assert summary.metrics["sensitivity.df"].n_patients == 60
    for estimate in summary.metrics.values():
        assert estimate.low is not None and estimate.value is not None and estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high


def test_equal_arms_give_no_evidence_and_worse_ones_harm(tmp_path: Path) -> None:
    controls = {("real_only", 8): 0.8, ("real_transforms", 8): 0.9, ("real_autoencoder", 8): 0.9}
    assert evaluated(tmp_path / "a", {**controls, ("hybrid", 8): 0.9}).verdict.word == "no_evidence"
    worse = evaluated(tmp_path / "b", {**controls, ("hybrid", 8): 0.1})
    assert worse.verdict.word == "harms" and "real_transforms" in worse.verdict.harmful_against


def test_unlike_classifiers_or_confounded_origins_are_not_testable(tmp_path: Path) -> None:
    other = {"hybrid": {"settings": {"model": "embedded:small", "pretrained": True, "max_train_steps": 99}}}
    found = evaluated(tmp_path / "a", AT_EIGHT, changes=other)
    assert found.verdict.word == "not_testable" and "max_train_steps" in found.verdict.sentence
    found = evaluated(tmp_path / "b", AT_EIGHT, changes={"hybrid": {"origin_confound": True}})
    assert found.verdict.word == "not_testable" and "told by its origin" in found.verdict.sentence
    plain = {"model": "embedded:small", "pretrained": False, "max_train_steps": 10}
    found = evaluated(tmp_path / "c", AT_EIGHT, changes={arm: {"settings": plain} for arm, _ in AT_EIGHT})
    assert found.verdict.word == "not_testable" and "archive" in found.verdict.sentence


def test_two_seeds_are_too_few(tmp_path: Path) -> None:
    assert evaluated(tmp_path, AT_EIGHT, seeds=2).verdict.word == "not_testable"


def test_a_missing_control_is_not_testable_and_a_missing_arm_an_error(tmp_path: Path) -> None:
    skills = {key: skill for key, skill in FOUR_ARMS.items() if key[0] != "real_autoencoder"}
    found = evaluated(tmp_path / "a", skills)
    assert found.verdict.word == "not_testable" and "real_autoencoder" in found.verdict.sentence
    only_real = {key: skill for key, skill in FOUR_ARMS.items() if key[0] == "real_only"}
    with pytest.raises(DesignError, match="hybrid"):
        evaluated(tmp_path / "b", only_real)
    with pytest.raises(DesignError, match="at 32 images a class"):
        evaluated(tmp_path / "c", config={"primary": PrimaryComparison(training_size=32)})


def test_confusion_counts_every_seed(evaluation: Evaluation) -> None:
    arms = [matrix.arm for matrix in evaluation.confusion_matrices]
    assert arms == ["hybrid", "real_transforms"]
    assert np.sum(evaluation.confusion_matrices[0].counts) == 120 * 5
    np.testing.assert_array_equal(np.sum(evaluation.confusion_matrices[0].counts, axis=1), [200, 200, 200])


def test_roc_curves_rise_to_one_for_every_class(evaluation: Evaluation) -> None:
    assert {(curve.arm, curve.label) for curve in evaluation.roc_curves} == {
        (arm, label) for arm in ("hybrid", "real_transforms") for label in LABELS
    }
    for curve in evaluation.roc_curves:
        assert curve.true_positive_rate[-1] == 1.0
        area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
        assert area == pytest.approx(curve.auroc.value, abs=0.02)


def test_subgroups_have_counts_a_difference_and_no_rank_when_small(evaluation: Evaluation) -> None:
    values = {row.value for row in evaluation.subgroups if row.attribute == "skin_type_group"}
    assert values == {"I-II", "III-IV", "V-VI"}
    assert {row.attribute for row in evaluation.subgroups} == {"skin_type_group", "skin_type", "sex"}
    for row in evaluation.subgroups:
        assert (row.difference is None) == (row.arm != "hybrid")
        assert row.estimate.n_patients <= 30 and row.estimate.n_images == 2 * row.estimate.n_patients
        assert not (row.is_worst and row.is_underpowered)
        small = row.minimum_detectable_difference is None or row.minimum_detectable_difference > 0.1
        assert row.is_underpowered == small


def test_the_learning_curve_and_the_equivalents(evaluation: Evaluation) -> None:
    points = [p for p in evaluation.learning_curve if p.arm == "real_transforms" and p.metric == "macro_auroc"]
    assert [point.training_size for point in points] == [8, 16, 32]
    worth = {row.arm: row for row in evaluation.equivalents}
    hybrid, fresh = worth["hybrid"], worth["fresh_real"]
    assert hybrid.control == "real_transforms" and hybrid.estimate is not None and 4 < hybrid.estimate < 24
    assert hybrid.low is not None and hybrid.high is not None and hybrid.low <= hybrid.estimate <= hybrid.high
    assert fresh.text.startswith(">= 24")


def test_equivalents_without_a_curve_say_so(tmp_path: Path) -> None:
    found = evaluated(tmp_path, AT_EIGHT)
    assert {row.text for row in found.equivalents} == {
        "not estimable: no control was run at two training sizes or more"
    }


def test_reads_of_the_test_set_are_counted(evaluation: Evaluation) -> None:
    assert evaluation.test_reads == len(FOUR_ARMS) * 5 + 1


def test_origins_are_counted_by_label(evaluation: Evaluation) -> None:
    rows = [row for row in evaluation.origins if row.arm == "hybrid"]
    assert [(row.label, row.real_images, row.synthetic_images) for row in rows] == [(label, 8, 80) for label in LABELS]


def test_a_fall_in_sensitivity_under_rising_accuracy_is_warned_of(tmp_path: Path) -> None:
    files = write_study(tmp_path, AT_EIGHT)
    for path, _ in files:
        if "hybrid" not in str(path):
            continue
        table = pd.read_parquet(path)
        lost = (table["label"] == "df") & (table["image_id"].str.endswith("1"))
        table.loc[lost, ["prob.df", "prob.nevus", "prob.vasc"]] = [0.0, 1.0, 0.0]
        others = table["label"] != "df"
        for label in LABELS:
            table.loc[others, f"prob.{label}"] = (table.loc[others, "label"] == label).astype(float)
        table.to_parquet(path)
    found = evaluate(EvaluationConfig(bootstrap_draws=200), load_study(files), test_images(), NullProgress())
    warned = [warning for warning in found.warnings if warning.control == "real_transforms"]
    assert [warning.label for warning in warned] == ["df"]
    assert "hybrid finds fewer df than real_transforms" in warned[0].text


def test_json_there_and_back(evaluation: Evaluation) -> None:
    plain = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert Evaluation.from_json(plain) == evaluation


def test_two_classes_work_too(tmp_path: Path) -> None:
    files = write_study(tmp_path, AT_EIGHT)
    for path, _ in files:
        table = pd.read_parquet(path).drop(columns="prob.vasc")
        table = table[table["label"] != "vasc"]
        table["prob.nevus"] = 1 - table["prob.df"]
        table.to_parquet(path)
    found = evaluate(EvaluationConfig(bootstrap_draws=200), load_study(files), test_images(), NullProgress())
    assert found.labels == ("df", "nevus") and found.verdict.word in ("helps", "no_evidence")


def test_cells_tested_on_other_images_are_refused(tmp_path: Path) -> None:
    files = write_study(tmp_path, AT_EIGHT)
    first, second, third = (path for path, _ in files[1:4])
    pd.read_parquet(first).iloc[1:].to_parquet(first)
    pd.read_parquet(second).assign(test_sha256="cd" * 32).to_parquet(second)
    pd.read_parquet(third).drop(columns="prob.df").to_parquet(third)
    with pytest.raises(FaultsError, match="3 faults") as raised:
        load_study(files)
    for part in ("test images differ", "hash of the sealed test set", "classes differ"):
        assert part in str(raised.value)


def test_tables_with_missing_columns_rows_or_numbers_are_refused(tmp_path: Path) -> None:
    path, record = write_study(tmp_path, {("hybrid", 8): 1.0}, seeds=1)[0]
    table = pd.read_parquet(path)
    table.drop(columns="test_sha256").to_parquet(path)
    with pytest.raises(DataError, match="lacks test_sha256"):
        load_study([(path, record)])
    table[table["split"] == "val"].to_parquet(path)
    with pytest.raises(DataError, match="no test rows"):
        load_study([(path, record)])
    table.assign(**{"prob.df": np.nan}).to_parquet(path)
    with pytest.raises(DataError, match="no numbers"):
        load_study([(path, record)])
    table.assign(label="other").to_parquet(path)
    with pytest.raises(DataError, match="labels without a probability: other"):
        load_study([(path, record)])
    table.to_parquet(path)
    with pytest.raises(DataError, match="same seeds twice"):
        load_study([(path, record), (path, record)])


def test_notes_name_budgets_validation_and_unknown_attributes(tmp_path: Path) -> None:
    found = evaluated(
        tmp_path,
        AT_EIGHT,
        changes={"hybrid": {"generator_budget": "pooled", "validation_images": 400}},
        config={"subgroup_attributes": ("sex", "clinic")},
    )
    notes = " ".join(found.notes)
    assert "Generator budget pooled" in notes and "hybrid at 8" in notes and "no such column" in notes
