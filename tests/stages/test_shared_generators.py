"""Generators and sets of equal content are made once in a workspace; what a study uses is not swept away by another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.errors import InputError
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.studies import parts
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.run import run
from tests.tiny_data import make_tiny_workspace

VALUES: dict[str, Any] = {
    "curve_arms": [],
    "arms": ["hybrid"],
    "training_sizes": [2],
    "synthetic_training_sizes": [2],
    "seeds": 1,
    "synthetic_ratio": 1,
    "classify": {"max_train_steps": 2, "evaluate_every_steps": 1, "batch_size": 4, "device": "cpu"},
    "prior": {"images": 2},
    "finetune": {"max_train_steps": 1, "train_batch_size": 1, "samples_per_class": 0, "device": "cpu"},
    "generate": {"num_inference_steps": 1, "device": "cpu"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the studies main and doses are done; doses asks for more images."""
    workspace = make_tiny_workspace(tmp_path_factory.mktemp("shared") / "ws", image_size_px=64)
    run_study(workspace, "main")
    return workspace


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of what stages really made."""
    names: list[str] = []
    stage_of = parts._stage

    def watched(name: parts.StageName) -> Any:
        def act(config: Any, *rest: Any) -> Any:
            result = stage_of(name)(config, *rest)
            if not result.was_finished:
                names.append(f"{name} {getattr(config, 'cell', None) or config.name}")
            return result

        return act

    monkeypatch.setattr(parts, "_stage", watched)
    yield names


def run_study(workspace: Workspace, name: str, **changes: Any) -> Any:
    config = StudyRunConfig.model_validate({"name": name, **VALUES, **changes})
    return run(config, workspace, SerialExecutor(), NullProgress())


def test_another_study_uses_what_is_made(made: Workspace, ran: list[str]) -> None:
    result = run_study(made, "again")
    assert ran == [] and result.summary["linked_cells"] == 1  # the classifier is equal, too
    assert read_json(made.path / "studies/again/plan.json")["shared"] == [
        "models/main-n2-s0", "synthetic/main-prior", "synthetic/main-n2-s0",
    ]  # fmt: skip
    cells = pd.read_parquet(made.path / "studies/again/cells.parquet")
    assert [list(cells[name][0]) for name in ("generators", "synthetic_sets")] == [["main-n2-s0"]] * 2
    assert "'main'" in result.summary["notes"][-1]
    assert run_study(made, "again").was_finished

    run_study(made, "doses", synthetic_ratio=2)
    assert ran == ["generate doses-n2-s0", "audit doses-n2-s0", "classify doses-hybrid-n2-s0"]
    assert not (made.path / "models/doses-n2-s0").exists()


def test_another_study_with_other_settings_makes_its_own(made: Workspace, ran: list[str]) -> None:
    run_study(made, "longer", finetune={**VALUES["finetune"], "max_train_steps": 2})
    assert {"dreambooth longer-n2-s0", "generate longer-n2-s0"} < set(ran)
    assert read_json(made.path / "studies/longer/plan.json")["shared"] == ["synthetic/main-prior"]


def test_what_another_study_uses_is_not_made_anew(made: Workspace, ran: list[str]) -> None:
    run_study(made, "again")
    run_study(made, "twice")
    ran.clear()
    before = (made.path / "models/main-n2-s0/run.json").read_bytes()
    with pytest.raises(InputError, match=r"synthetic/main-prior would be made anew.*: again.*, twice") as caught:
        run_study(made, "main", prior={"images": 4})
    with pytest.raises(InputError, match=r"models/main-n2-s0 would be made anew.*: again.*, twice"):
        run_study(made, "main", finetune={**VALUES["finetune"], "learning_rate": 0.1})
    assert "studies/again" in caught.value.todo
    assert (made.path / "models/main-n2-s0/run.json").read_bytes() == before
    assert run_study(made, "main").was_finished and ran == []


def test_a_damaged_generator_is_made_again_as_it_was(made: Workspace, ran: list[str]) -> None:
    run_study(made, "again")
    Path(made.path / "models/main-n2-s0/losses.csv").unlink()
    run_study(made, "main")
    assert ran == ["dreambooth main-n2-s0"]
    assert run_study(made, "again").was_finished
