"""Studies with a grid: variants by ratio, share, transforms and budget, the arm chosen on validation, failed cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tenfold.core.progress import NullProgress
from tenfold.evaluation.config import EvaluationConfig, PrimaryComparison
from tenfold.evaluation.contents import CellFailure, Evaluation
from tenfold.evaluation.predictions import load_study, prediction_files
from tenfold.evaluation.run import evaluate
from tests.unit.evaluation.studies_made_up import AT_EIGHT, LABELS, test_images, write_study

test_images.__test__ = False  # type: ignore[attr-defined]

GRID = {
    ("real_only", 8): 0.5,
    ("real_transforms", 8): 0.6,
    ("real_transforms", 16): 1.1,
    ("real_transforms", 32): 1.5,
    ("real_transforms", 64): 1.8,
    ("real_autoencoder", 8): 0.5,
    ("hybrid", 8): 1.5,
    ("hybrid@r2", 8): 1.0,
    ("hybrid@r25", 8): 1.55,
    ("hybrid@r50", 8): 1.55,
    ("hybrid@s0.5", 8): 1.3,
    ("hybrid@strong", 8): 1.9,
    ("hybrid@pooled", 8): 2.0,
    ("hybrid_outpaint", 8): 1.0,
}


def evaluated(root: Path, skills: Any, *, failed: tuple[CellFailure, ...] = (), **primary: Any) -> Evaluation:
    write_study(root, skills)
    return evaluated_again(root, failed=failed, **primary)


def evaluated_again(root: Path, *, failed: tuple[CellFailure, ...] = (), **primary: Any) -> Evaluation:
    cells = pd.read_parquet(root / "studies/main/cells.parquet")
    done = cells[~cells["cell"].isin([failure.cell for failure in failed])]
    config = EvaluationConfig(bootstrap_draws=100, primary=PrimaryComparison(**primary))
    study = load_study(prediction_files(root, done))
    return evaluate(config, study, test_images(), NullProgress(), cells=cells, failed=failed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("grid")
    write_study(root, GRID)
    return root


@pytest.fixture(scope="module")
def grid(folder: Path) -> Evaluation:
    return evaluated_again(folder, margin=0.02)


def test_arms_know_what_they_are(grid: Evaluation) -> None:
    designs = {(design.arm, design.training_size): design for design in grid.designs}
    assert set(designs) == set(GRID)
    variant = designs["hybrid@r25", 8]
    assert variant.is_variant and variant.base_arm == "hybrid" and variant.synthetic_ratio == 25
    assert not designs["hybrid_outpaint", 8].is_variant
    assert designs["hybrid@pooled", 8].generator_budget == "pooled"


def test_families_hold_each_pair_where_it_belongs(grid: Evaluation) -> None:
    families: dict[str, set[tuple[str, str]]] = {}
    for row in grid.comparisons:
        families.setdefault(row.family, set()).add((row.arm, row.control))
    assert families["generator budget"] == {("hybrid@pooled", "hybrid")}
    assert families["other transforms"] == {("hybrid@strong", "hybrid")}
    variants = {arm for arm, _ in GRID if "@" in arm}
    assert families["the grid"] == {(arm, "real_transforms") for arm in variants}
    assert families["other arms"] == {
        (arm, "real_transforms") for arm in ("real_only", "real_autoencoder", "hybrid_outpaint")
    }
    for row in grid.comparisons:
        family = [other for other in grid.comparisons if other.family == row.family]
        assert row.p_value is not None and row.p_value_holm is not None
        assert row.p_value <= row.p_value_holm <= min(1.0, row.p_value * len(family)) + 1e-12


def test_the_ratio_curve_rises_from_its_control_and_saturates(grid: Evaluation) -> None:
    ratio, share = grid.dose_curves
    assert (ratio.kind, ratio.control, ratio.base_arm) == ("ratio", "real_transforms", "hybrid")
    assert [point.arm for point in ratio.points] == [
        "real_transforms", "hybrid@r2", "hybrid", "hybrid@r25", "hybrid@r50",
    ]  # fmt: skip
    assert [point.dose for point in ratio.points] == [0, 2, 10, 25, 50]
    low, value, high = ratio.saturation_low, ratio.saturation, ratio.saturation_high
    assert low is not None and value is not None and high is not None
    assert 1 < low <= value <= high <= 50 and 2 < value < 25
    gains = [point.gain for point in ratio.points[1:]]
    assert all(gain is not None and gain.n_patients == 60 and gain.low is not None for gain in gains)
    assert share.kind == "share" and [point.dose for point in share.points] == [0, 0.25, 0.5]


def test_a_curve_without_any_gain_has_no_saturation_point(tmp_path: Path) -> None:
    flat = dict.fromkeys([("real_transforms", 8), ("real_only", 8), ("hybrid", 8), ("hybrid@r25", 8)], 0.9)
    (curve,) = evaluated(tmp_path, flat).dose_curves
    assert curve.saturation is None and curve.saturation_text.startswith("not estimable")


def test_the_margin_gives_a_word_to_each_comparison_by_the_primary_metric(grid: Evaluation) -> None:
    primary = [row for row in grid.comparisons if row.is_primary]
    assert {row.equivalence for row in primary} == {"non_inferior"} and {row.margin for row in primary} == {0.02}
    for row in grid.comparisons:
        assert (row.equivalence is None) == (row.metric != "macro_auroc")
        assert row.half_width is not None and row.difference.high is not None and row.difference.low is not None
        assert row.half_width == pytest.approx((row.difference.high - row.difference.low) / 2)


def test_a_power_law_goes_through_each_learning_curve(grid: Evaluation) -> None:
    (law,) = grid.power_laws
    assert law.arm == "real_transforms" and law.text.startswith("error = ")
    assert law.exponent is not None and law.exponent.low is not None and law.exponent.low > 0
    points = [point for point in grid.learning_curve if (point.arm, point.metric) == (law.arm, law.metric)]
    figures = {point.training_size: point.estimate.value for point in points}
    assert law.fitted[0] == pytest.approx(figures[8], abs=0.03) and list(law.fitted) == sorted(law.fitted)


def test_every_arm_is_worth_so_many_real_images(grid: Evaluation) -> None:
    worth = {row.arm: row for row in grid.equivalents}
    assert set(worth) == {arm for arm, _ in GRID} - {"real_transforms"}
    better, worse = worth["hybrid@pooled"].estimate, worth["hybrid@r2"].estimate
    assert better is not None and worse is not None and better > worse > 0


def test_validation_images_choose_the_variant_and_test_images_do_not(grid: Evaluation, tmp_path: Path) -> None:
    assert grid.choice is None and grid.verdict.arm == "hybrid"
    write_study(tmp_path, {key: skill for key, skill in GRID.items() if key[1] == 8})
    for path in (tmp_path / "classifiers").glob("main-hybrid-r2-*/predictions.parquet"):
        table = pd.read_parquet(path)
        is_validation = table["split"] == "val"
        for label in LABELS:
            table.loc[is_validation, f"prob.{label}"] = (table.loc[is_validation, "label"] == label).astype(float)
        table.to_parquet(path)
    found = evaluated_again(tmp_path, choose="validation", candidates=("hybrid_outpaint",))
    assert found.choice is not None
    assert found.choice.chosen == found.verdict.arm == "hybrid@r2"
    assert {row.arm for row in found.choice.candidates} == {
        "hybrid", "hybrid@r2", "hybrid@r25", "hybrid@r50", "hybrid@s0.5", "hybrid_outpaint",
    }  # fmt: skip
    best = next(row.estimate for row in found.choice.candidates if row.arm == "hybrid@r2")
    assert (best.value, best.n_images, best.n_patients, best.n_seeds) == (1.0, 6, 3, 5)
    assert "no test image" in found.choice.sentence


def test_failed_cells_are_named_and_the_others_are_scored(folder: Path) -> None:
    cells = pd.read_parquet(folder / "studies/main/cells.parquet")
    lost = cells[(cells["arm"] == "hybrid") & (cells["seed_index"] == 0)].iloc[0]
    found = evaluated_again(folder, failed=(CellFailure(str(lost["cell"]), "hybrid", 8, 0, "the disk is full"),))
    assert [failure.error for failure in found.failures] == ["the disk is full"]
    assert {row.difference.n_seeds for row in found.comparisons if row.is_primary} == {4}
    assert found.verdict.word == "helps"


def test_a_primary_arm_that_failed_whole_is_not_testable(folder: Path) -> None:
    cells = pd.read_parquet(folder / "studies/main/cells.parquet").query("arm == 'hybrid'")
    failed = tuple(CellFailure(str(cell), "hybrid", 8, n, "no generator") for n, cell in enumerate(cells["cell"]))
    found = evaluated_again(folder, failed=failed)
    assert found.verdict.word == "not_testable" and "hybrid at 8 images a class failed" in found.verdict.sentence
    assert not [row for row in found.comparisons if row.is_primary]
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_an_archive_is_testable_only_with_parity(tmp_path: Path) -> None:
    skills = {**{key: skill for key, skill in AT_EIGHT.items() if key[0] != "hybrid"}, ("hybrid@archive", 8): 1.5}
    found = evaluated(tmp_path, skills, arm="hybrid@archive")
    assert found.verdict.word == "not_testable" and "archive budget" in found.verdict.sentence
    assert evaluated_again(tmp_path, arm="hybrid@archive", archive_parity=True).verdict.word == "helps"


def test_an_older_file_without_the_later_fields_is_read(grid: Evaluation) -> None:
    later = ("designs", "choice", "dose_curves", "power_laws", "planned", "failures")
    old = {name: value for name, value in grid.to_json().items() if name not in later}
    old["comparisons"] = [
        {name: value for name, value in row.items() if name not in ("half_width", "margin", "equivalence")}
        for row in old["comparisons"]
    ]
    found = Evaluation.from_json(old)
    assert found.verdict == grid.verdict and found.designs == () and found.comparisons[0].margin is None
    np.testing.assert_equal(found.comparisons[0].difference, grid.comparisons[0].difference)
