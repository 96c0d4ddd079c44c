"""`tenfold generate`, `regenerate` and `gallery` on a tiny checkpoint: drawn, resumed, sharded, made again, shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.cli.app import main
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.data.manifest import read_manifest
from tenfold.generation.config import GenerateConfig
from tenfold.recipes.generation import workers_for
from tests.tiny_data import make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion

PROMPTS = ["--prompt", "mole=a photo of a mole", "--prompt", "rash=a photo of a rash on the {site}"]
FAST = ["--executor", "serial", "--set", "num_inference_steps=2", "--set", "sampler=ddim", "--set", "device=cpu"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("generate") / "ws")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return ["--checkpoint", str(make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny"))]


def _run(capsys: pytest.CaptureFixture[str], workspace: Workspace, *words: str) -> tuple[int, Any]:
    """The exit code and the last JSON line."""
    code = main([*words, "-w", str(workspace.path), "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_set_is_drawn_shown_resumed_and_made_again(
    tiny: Workspace, base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", "--name", "drawn", *base, *PROMPTS, "--per-class", "3", *FAST]
    code, told = _run(capsys, tiny, *words)
    assert code == 0
    assert told["summary"]["images"] == {"mole": 3, "rash": 3}
    assert Path(told["gallery"]).is_file()
    rows = read_manifest(tiny.path / "synthetic/drawn/manifest.parquet")
    assert set(rows.loc[rows["label"] == "rash", "prompt"]) == {"a photo of a rash on the arm"}

    assert main([*words, "-w", str(tiny.path)]) == 0
    shown = capsys.readouterr().out
    assert "Finished before: 3 of mole, 3 of rash" in shown
    assert "review them before they train anything" in shown

    image_id, out = str(rows["image_id"].iloc[0]), tmp_path / "again.png"
    code, report = _run(capsys, tiny, "regenerate", image_id, "--out", str(out))
    assert (code, report["verdict"]) == (0, "identical")
    assert (decode_image(out) == decode_image(tiny.path / str(rows["path"].iloc[0]))).all()

    code, page = _run(capsys, tiny, "gallery", "drawn", "--per-group", "2")
    assert code == 0
    assert Path(page["gallery"]).read_text(encoding="utf-8").count("<figure>") == 4


def test_a_dry_run_tells_counts_time_and_disk_and_writes_nothing(
    tiny: Workspace, base: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tiny.path.rglob("*"))
    words = ["generate", "--name", "planned", *base, *PROMPTS, "--total", "1000", "--skin-types", "1,6", *FAST]
    code, told = _run(capsys, tiny, *words, "--dry-run")
    assert code == 0
    estimate = told["dry_run"]
    assert estimate["images"] == 1000
    assert sum(row["images"] for row in estimate["rows"]) == 1000
    assert estimate["seconds"] > 0 and estimate["megabytes"] > 0
    assert main([*words, "--dry-run", "-w", str(tiny.path)]) == 0
    assert "In all 1000 images" in capsys.readouterr().out
    assert sorted(tiny.path.rglob("*")) == before


def test_shards_of_several_commands_make_the_set_of_one(
    tiny: Workspace, base: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", *base, *PROMPTS, "--per-class", "4", *FAST, "--set", "batch_size=2"]
    words += ["--set", "images_per_shard=2"]
    code, told = _run(capsys, tiny, *words, "--name", "parts", "--shard", "2/2")
    assert (code, "gallery" in told) == (0, False)
    assert not (tiny.path / "synthetic/parts/run.json").exists()
    code, told = _run(capsys, tiny, *words, "--name", "parts", "--shard", "1/2")
    assert (code, "gallery" in told) == (0, True)
    assert _run(capsys, tiny, *words, "--name", "whole")[0] == 0
    parts, whole = (read_manifest(tiny.path / f"synthetic/{name}/manifest.parquet") for name in ("parts", "whole"))
    assert list(parts["sha256"]) == list(whole["sha256"])


def test_settings_come_from_a_file_and_options_go_before_it(
    tiny: Workspace, base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("name: filed\nseed: 11\nimages_per_class: 50\nprompts:\n  mole: [a photo of a mole]\n")
    words = ["generate", "--config", str(plan), *base, "--per-class", "1", *FAST]
    code, told = _run(capsys, tiny, *words)
    assert (code, told["summary"]["images"]) == (0, {"mole": 1})
    assert json.loads((tiny.path / "synthetic/filed/run.json").read_text())["config"]["seed"] == 11
    plan.write_text("name: filed\nimages_per_clas: 50\n")
    code, error = _run(capsys, tiny, *words)
    assert code == 2
    assert f"{plan}:2" in error["where"] and "images_per_class" in json.dumps(error)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--per-class", "0"], "no images are asked for"),
        (["--per-class", "2", "--total", "5"], "give one amount"),
        (["--prompt", "a photo"], "names no class and prompt"),
        (["--prompt", "mole=a photo on the {sight}"], "site"),
        (["--per-prompt", "many"], "no number of images"),
        (["--skin-types", "one"], "are no numbers"),
        (["--strategy", "sideways"], "text2img"),
        (["--shard", "3/2"], "3/2"),
        (["--checkpoint", "models/nothing"], "models/nothing"),
        (["--executor", "threads"], "unknown executor"),
        (["--labels", "freckle"], "freckle"),
    ],
)
def test_bad_words_are_told_with_exit_code_2(
    tiny: Workspace, base: list[str], capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    given = [] if "--prompt" in words else PROMPTS
    code, error = _run(capsys, tiny, "generate", "--name", "bad", *base, *given, *FAST, *words)
    assert code == 2
    assert said in json.dumps(error)
    assert not (tiny.path / "synthetic/bad/manifest.parquet").exists()


def test_unknown_images_and_sets_are_told(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = _run(capsys, tiny, "regenerate", "f" * 16)
    assert code == 2
    assert "f" * 16 in json.dumps(error)
    code, error = _run(capsys, tiny, "gallery", "nothing")
    assert (code, "no finished synthetic set" in error["what"]) == (2, True)


@pytest.mark.parametrize(
    ("options", "executor", "asked", "workers"),
    [
        ({}, "processes", None, 3), ({}, "processes", 5, 5), ({}, "ray", None, None), ({}, "serial", None, None),
        ({"device": "cuda:1"}, "processes", None, 1), ({"device": "cpu"}, "processes", None, None),
        ({"strategy": "recolor", "skin_types": (5,)}, "processes", None, None),
    ],
)  # fmt: skip
def test_processes_are_as_many_as_the_cuda_devices_that_they_draw_on(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], executor: str, asked: int | None, workers: int | None
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    settings = {"name": "drawn", "seed": 1, "prompts": {"mole": ("a mole",)}, "images_per_class": 1, **options}
    if "strategy" in options:
        settings |= {"prompts": {}, "images_per_class": None}
    assert workers_for(GenerateConfig.model_validate(settings), executor, asked) == workers
