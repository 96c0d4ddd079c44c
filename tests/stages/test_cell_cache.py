"""Cells of equal content are trained once, in one study and over several; damaged or other ones are not taken over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.run import run
from tests.tiny_data import make_tiny_workspace

CLASSIFY = {"max_train_steps": 2, "evaluate_every_steps": 1, "batch_size": 4, "device": "cpu"}


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "ws", image_size_px=64)


def run_study(workspace: Workspace, name: str, *arms: str, **changes: Any) -> Result:
    values = {"arms": arms, "curve_arms": [], "training_sizes": [2], "synthetic_training_sizes": [2], "seeds": 1}
    config = StudyRunConfig.model_validate({"name": name, **values, "classify": CLASSIFY, **changes})
    return run(config, workspace, SerialExecutor(), NullProgress())


def linked(workspace: Workspace, study: str) -> dict[str, str | None]:
    table = pd.read_parquet(workspace.path / f"studies/{study}/results.parquet")
    return {str(row.arm): None if pd.isna(row.linked_from) else str(row.linked_from) for row in table.itertuples()}


def test_an_equal_cell_is_taken_over_with_its_files(tiny: Workspace) -> None:
    changed = {"define": {"changed": {"like": "real_transforms"}}}
    first = run_study(tiny, "main", "real_transforms", "changed", "real_autoencoder", **changed)
    names = {"real_transforms": "main-real-transforms-n2-s0", "changed": "main-changed-n2-s0"}
    found = linked(tiny, "main")
    assert found.pop("real_autoencoder") is None
    trained, copied = sorted(found, key=lambda arm: found[arm] is not None)  # whichever ran first
    assert found == {trained: None, copied: names[trained]}
    again = run_study(tiny, "again", "real_transforms", "real_autoencoder")
    assert (first.summary["linked_cells"], again.summary["linked_cells"]) == (1, 2)  # round trips are equal, too

    folders = [tiny.path / "classifiers" / names[arm] for arm in (trained, copied)]
    tables = [pd.read_parquet(folder / "predictions.parquet") for folder in folders]
    assert [set(table["arm"]) for table in tables] == [{trained}, {copied}]
    pd.testing.assert_frame_equal(*(table.drop(columns="arm") for table in tables))
    assert folders[0].joinpath("model.safetensors").samefile(folders[1] / "model.safetensors")
    record = read_run_record(folders[1])
    assert (record.summary["cell"], record.summary["arm"], record.config["arm"]) == (folders[1].name, copied, copied)
    assert run_study(tiny, "again", "real_transforms", "real_autoencoder").was_finished


def test_other_settings_and_damaged_files_are_trained(tiny: Workspace) -> None:
    run_study(tiny, "main", "real_transforms", "real_only")
    run_study(tiny, "other", "real_transforms", classify={**CLASSIFY, "learning_rate": 0.01})
    assert linked(tiny, "other") == {"real_transforms": None}
    (tiny.path / "classifiers/main-real-only-n2-s0/history.csv").write_text("changed")
    run_study(tiny, "again", "real_transforms", "real_only")
    assert linked(tiny, "again") == {"real_transforms": "main-real-transforms-n2-s0", "real_only": None}


def test_the_same_study_gives_the_same_bits_again(tiny: Workspace, tmp_path: Path) -> None:
    other = make_tiny_workspace(tmp_path / "other", image_size_px=64)
    tables = []
    for workspace in (tiny, other):
        run_study(workspace, "main", "real_strong", "real_composite", "real_autoencoder")
        found = sorted(workspace.path.glob("classifiers/*/predictions.parquet"))
        assert [path.parent.name for path in found] == ["main-real-autoencoder-n2-s0", "main-real-strong-n2-s0"]
        tables.append(pd.concat([pd.read_parquet(path) for path in found]))
    pd.testing.assert_frame_equal(*tables, check_exact=True)
