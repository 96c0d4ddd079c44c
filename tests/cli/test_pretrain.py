"""`tenfold pretrain`: settings checked, a workspace opened or made, the stage run on its executor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.cli.app import main
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tests.image_files import write_image
from tests.tiny_data import make_tiny_workspace


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


TINY = [
    "image_size_px=16", "autoencoder.block_out_channels=[16, 56, 16]", "autoencoder.latent_channels=2",
    "autoencoder.norm_num_groups=2", "autoencoder.crop_px=8", "denoiser.block_out_channels=[16, 16]",
    "denoiser.attention_heads=2", "denoiser.text_hidden_size=16", "denoiser.vocabulary_size=700",
]  # fmt: skip


def _tiny_settings() -> list[str]:
    return [word for text in TINY for word in ("--set", text)]


def test_a_dry_run_tells_images_and_costs_and_writes_nothing(
    tmp_path: Path, calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        write_image(tmp_path / "all" / f"{number}.png", number)
    (tmp_path / "all" / "0.txt").write_text("a caption")
    words = ["--archive", str(tmp_path / "all"), "--workspace", str(tmp_path / "ws"), *_tiny_settings(), "--dry-run"]
    assert main(["pretrain", *words, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out.splitlines()[-1])["dry_run"]
    assert (plan["archive_images"], plan["captioned_images"]) == (3, 1)
    assert min(plan["parameters"][name] for name in ("autoencoder", "denoiser")) > 1000
    assert plan["seconds"] > 0
    assert any("no sealed split" in caution for caution in plan["cautions"])
    assert not calls
    assert not (tmp_path / "ws").exists()


def test_an_archive_is_imported_and_handed_to_the_stage(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    for number in range(3):
        write_image(tmp_path / "all" / f"{number}.png", number)
    words = ["--archive", str(tmp_path / "all"), "--workspace", str(tmp_path / "ws"), "--name", "own", "--quiet"]
    assert main(["pretrain", *words, "--license", "ours", *_tiny_settings()]) == 0
    (call,) = calls
    assert call["config"].archive == "archives/own/manifest.parquet"
    assert len(read_manifest(call["workspace"].resolve(call["config"].archive))) == 3
    assert call["workspace"].data_license == "ours"


def test_the_workspace_itself_may_be_the_archive(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    workspace = make_tiny_workspace(tmp_path / "ws", image_size_px=16)
    place = str(workspace.path)
    assert main(["pretrain", "--archive", place, "--workspace", place, *_tiny_settings(), "--quiet"]) == 0
    assert calls[0]["config"].archive == "data/manifest.parquet"


def test_too_little_memory_is_told_before_anything_is_written(
    tmp_path: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tenfold.models.memory.memory_at_hand", lambda device: 1000)
    write_image(tmp_path / "all" / "0.png", 0)
    words = ["--archive", str(tmp_path / "all"), "--workspace", str(tmp_path / "ws"), *_tiny_settings(), "--json"]
    assert main(["pretrain", *words]) == 2
    assert "at hand" in json.loads(capsys.readouterr().out.splitlines()[-1])["what"]
    assert not (tmp_path / "ws").exists()
    assert not calls


def test_a_size_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "--workspace", str(tmp_path / "ws"), "--size", "huge", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["expected"] == "small or medium or large"
