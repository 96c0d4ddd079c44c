"""`tenfold pretrain`: settings checked, a workspace opened or made, the stage run on its executor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.cli.app import main
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the stage was called with, instead of two hours of training."""
    from tenfold.finetuning import pretrain

    seen: list[dict[str, Any]] = []

    def stand_in(config: Any, workspace: Workspace, executor: Any, progress: Any) -> Result:
        seen.append({"config": config, "workspace": workspace, "workers": executor.worker_count})
        return Result("pretrain", workspace.path / "models" / config.name, {}, {"steps": 1})

    monkeypatch.setattr(pretrain, "run", stand_in)
    return seen


def test_settings_reach_the_stage(
    tmp_path: Path, calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", "denoiser.steps=7", "--set", "data_parallel=2", "--set", "seed=3", "--json"]
    assert main(["pretrain", "--workspace", str(tmp_path / "base"), *words]) == 0
    (call,) = calls
    assert call["config"].denoiser.steps == 7
    assert (call["workers"], call["workspace"].root_seed) == (2, 3)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["folder"].endswith("models/base")


def test_an_existing_workspace_is_used_as_it_is(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    Workspace.create(tmp_path / "ws", name="mine", root_seed=5, data_license="own")
    assert main(["pretrain", "--workspace", str(tmp_path / "ws")]) == 0
    assert (calls[0]["workspace"].name, calls[0]["workers"]) == ("mine", 1)


def test_unknown_settings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "--workspace", str(tmp_path / "ws"), "--set", "denoiser.stps=7", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["todo"] == "Did you mean 'steps'?"
    assert not (tmp_path / "ws").exists()
