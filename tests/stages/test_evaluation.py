"""The evaluation stage: its file, its identity, and what it says of an unfinished study."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tenfold.core.errors import DataError
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import make_manifest, write_manifest
from tenfold.evaluation.config import EvaluationConfig
from tenfold.evaluation.contents import Evaluation
from tenfold.evaluation.run import run
from tests.unit.evaluation import studies_made_up

CONFIG = EvaluationConfig(bootstrap_draws=100)


@pytest.fixture
def study(workspace: Workspace) -> Workspace:
    studies_made_up.write_study(workspace.path, studies_made_up.AT_EIGHT)
    rows = studies_made_up.test_images().to_dict("records")
    manifest = make_manifest({**row, "path": f"{row['image_id']}.png", "sha256": "0" * 64} for row in rows)
    write_manifest(manifest, workspace.resolve("data/manifest.parquet"))
    return workspace


def evaluated(workspace: Workspace, config: EvaluationConfig = CONFIG) -> Result:
    return run(config, workspace, SerialExecutor(), NullProgress())


def test_it_writes_one_file_and_a_verdict(study: Workspace) -> None:
    result = evaluated(study)
    assert list(result.outputs) == ["evaluation/main/evaluation.json"]
    evaluation = Evaluation.from_json(read_json(result.folder / "evaluation.json"))
    assert result.summary["verdict"] == evaluation.verdict.word == "helps"
    assert result.summary["n_test_patients"] == 60 and result.summary["test_reads"] == 26
    assert {row.attribute for row in evaluation.subgroups} == {"skin_type_group", "skin_type", "sex"}
    inputs = read_run_record(result.folder).inputs
    assert "studies/main/cells.parquet" in inputs and len(inputs) == 2 + 2 * 25


def test_it_is_recognized_and_repeats_itself(study: Workspace) -> None:
    first = evaluated(study)
    assert evaluated(study).was_finished
    (first.folder / "run.json").unlink()
    assert evaluated(study).outputs == first.outputs
    other = evaluated(study, EvaluationConfig(bootstrap_draws=100, seed=1))
    assert not other.was_finished and other.outputs != first.outputs


def test_an_unfinished_cell_is_named(study: Workspace) -> None:
    cell = next(iter(sorted((study.path / "classifiers").iterdir())))
    (cell / "run.json").unlink()
    with pytest.raises(DataError, match=f"1 of 25 cells are not finished: {cell.name}"):
        evaluated(study)


def test_a_study_that_was_not_run(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no table of cells"):
        evaluated(workspace)
    folder = workspace.resolve("studies/main")
    folder.mkdir(parents=True)
    pd.DataFrame({"cell": pd.Series([], dtype="string")}).to_parquet(folder / "cells.parquet")
    write_manifest(make_manifest([]), workspace.resolve("data/manifest.parquet"))
    with pytest.raises(DataError, match="no cells"):
        evaluated(workspace)


def results_of(study: Workspace, errors: dict[str, str]) -> None:
    """results.parquet as a study with these failed cells leaves it, whose folders are not finished."""
    folder = study.path / "studies/main"
    cells = pd.read_parquet(folder / "cells.parquet")
    table = cells[["cell", "arm", "training_size", "seed_index"]].assign(error=cells["cell"].map(errors))
    table.assign(is_done=table["error"].isna()).to_parquet(folder / "results.parquet")
    for cell in errors:
        (study.path / "classifiers" / cell / "run.json").unlink()


def test_failed_cells_are_left_out_until_they_are_there(study: Workspace) -> None:
    cell = "main-hybrid-n8-s0"
    results_of(study, {cell: "killed"})
    first = Evaluation.from_json(read_json(evaluated(study).folder / "evaluation.json"))
    assert [(failure.cell, failure.error) for failure in first.failures] == [(cell, "killed")]
    (study.path / "classifiers" / cell / "run.json").write_text("{}")
    results_of(study, {})
    result = evaluated(study)
    assert not result.was_finished
    assert Evaluation.from_json(read_json(result.folder / "evaluation.json")).failures == ()


def test_a_study_of_which_everything_failed_says_the_first_reason(study: Workspace) -> None:
    cells = pd.read_parquet(study.path / "studies/main/cells.parquet")["cell"]
    results_of(study, dict.fromkeys(cells, "no memory"))
    with pytest.raises(DataError, match="all 25 cells of the study failed, the first with: no memory"):
        evaluated(study)


def test_what_the_test_set_can_show_comes_of_the_plan(study: Workspace) -> None:
    plan = {
        "test_images": 120,
        "test_patients": 60,
        "minimum_detectable": {"accuracy": 0.162, "auroc": {"df": 0.2}, "text": "80 % power"},
    }
    (study.path / "studies/main/plan.json").write_text(json.dumps(plan))
    planned = Evaluation.from_json(read_json(evaluated(study).folder / "evaluation.json")).planned
    assert [(row.metric, row.difference, row.n_patients) for row in planned] == [
        ("accuracy", 0.162, 60),
        ("auroc.df", 0.2, 60),
    ]
