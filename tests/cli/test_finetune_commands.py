"""`tenfold finetune`: images from the sealed split, memory told and refused, prior images drawn, the model trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.cli.app import main
from tenfold.core.run_record import begin_stage
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.intake.config import IntakeConfig
from tenfold.recipes.finetuning import Chosen, order_finetuning
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion

FEW = ["--images-per-class", "2", "--validation-per-class", "1", "--steps", "2", "--set", "train_batch_size=2"]
FEW += ["--set", "crops_per_image=1", "--set", "device=cpu"]
PRIOR = ["--prior-images", "2", "--set", "prior.num_inference_steps=2", "--set", "prior_batch_size=1"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("finetune") / "ws", image_size_px=64)


def _run(capsys: pytest.CaptureFixture[str], kind: str, workspace: Workspace, *words: str) -> tuple[int, Any]:
    """The exit code and the last JSON line."""
    code = main(["finetune", kind, "--workspace", str(workspace.path), *words, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_dreambooth_draws_prior_images_and_trains(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--name", "db", *FEW, *PRIOR, "--set", "samples_per_class=1"]
    code, told = _run(capsys, "dreambooth", tiny, *words)
    assert code == 0
    (model,) = told["models"]
    folder = Path(model["folder"])
    assert folder == tiny.path / "models" / "db"
    assert (model["summary"]["training_images"], model["summary"]["prior_images"]) == (4, 2)
    assert {"curves.png", "samples.png", "losses.csv"} <= {path.name for path in folder.iterdir()}
    config = json.loads((folder / "run.json").read_text())["config"]
    assert set(config["training_ids"]) <= set(ids_of(tiny, "train"))
    assert set(config["validation_ids"]) <= set(ids_of(tiny, "val"))

    prior = read_manifest(tiny.path / "synthetic" / "db-prior" / "manifest.parquet")
    assert sorted(prior["label"]) == ["mole", "rash"]
    assert sorted(prior["prompt"]) == ["a photo of mole", "a photo of rash"]

    written = (folder / "run.json").stat().st_mtime_ns
    assert main(["finetune", "dreambooth", "-w", str(tiny.path), *words]) == 0
    shown = capsys.readouterr().out
    assert "Finished before" in shown
    assert "curves.png" in shown
    assert (folder / "run.json").stat().st_mtime_ns == written

    code, error = _run(capsys, "dreambooth", tiny, *words, "--set", "learning_rate=0.5")
    assert (code, error["event"]) == (2, "error")
    assert "learning_rate 0.0001, now 0.5" in error["what"]
    assert (folder / "run.json").stat().st_mtime_ns == written


def test_one_adapter_a_class_with_its_own_prior_images(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--name", "each", "--per-class", "--method", "lora", *FEW, *PRIOR, "--set", "samples_per_class=0"]
    code, told = _run(capsys, "dreambooth", tiny, *words)
    assert code == 0
    assert [Path(model["folder"]).name for model in told["models"]] == ["each-mole", "each-rash"]
    for model in told["models"]:
        assert (Path(model["folder"]) / "pytorch_lora_weights.safetensors").is_file()
        assert (model["summary"]["training_images"], model["summary"]["prior_images"]) == (2, 1)


def test_all_adapters_at_once(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--name", "all", "--per-class", "--together", "--method", "lora", *FEW, *PRIOR]
    words += ["--set", "samples_per_class=0"]
    code, told = _run(capsys, "dreambooth", tiny, *words, "--dry-run")
    assert (code, told["dry_run"]["together"]) == (0, True)
    apart = [word for word in words if word != "--together"]
    _, one_by_one = _run(capsys, "dreambooth", tiny, *apart, "--dry-run")
    both, each = (plan["dry_run"]["memory"]["total_bytes"] for plan in (told, one_by_one))
    assert each < both < 2 * each

    code, told = _run(capsys, "dreambooth", tiny, *words)
    assert code == 0
    folders = [Path(model["folder"]) for model in told["models"]]
    assert [folder.name for folder in folders] == ["all-mole", "all-rash"]
    assert all((folder / "pytorch_lora_weights.safetensors").is_file() for folder in folders)
    assert [model["summary"]["prior_images"] for model in told["models"]] == [1, 1]
    written = [(folder / "run.json").stat().st_mtime_ns for folder in folders]
    code, error = _run(capsys, "dreambooth", tiny, *apart)
    assert (code, "together_with" in error["what"]) == (2, True)
    assert main(["finetune", "dreambooth", "-w", str(tiny.path), *words]) == 0
    assert "all at once" in capsys.readouterr().out
    assert written == [(folder / "run.json").stat().st_mtime_ns for folder in folders]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--method", "lora"], "--per-class"), (["--per-class"], "method=full"),
     (["--per-class", "--method", "lora", "--classes", "mole"], "1 adapters")],
)  # fmt: skip
def test_adapters_that_cannot_be_trained_at_once_are_refused(
    words: list[str], said: str, tiny: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = _run(capsys, "dreambooth", tiny, "--name", "no", "--together", *FEW, *words)
    assert code == 2
    assert said in json.dumps(error)


def test_classes_are_called_what_the_import_called_them(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "ws")
    nouns = {"mole": "dark spot", "rash": "red patch", "scar": "old wound"}
    begin_stage(workspace, "intake", "data/intake", IntakeConfig(class_nouns=nouns), [], seed=0).finish([], {})
    chosen = Chosen("db", images_per_class=2, prior_images=2)
    order = order_finetuning(
        "dreambooth", workspace.path, chosen, [], {"class_nouns": ("--nouns", {"rash": "eruption"})}
    )
    config: Any = order.configs[0]
    assert config.class_nouns == {"mole": "dark spot", "rash": "eruption"}
    assert order.prior is not None
    assert order.prior.prompts == {"mole": ("a photo of dark spot",), "rash": ("a photo of eruption",)}
    painter: Any = order_finetuning("inpainting", workspace.path, chosen).configs[0]
    assert painter.class_nouns == {"mole": "dark spot", "rash": "red patch"}


@pytest.mark.parametrize("kind", ["inpainting", "super-resolution"])
def test_the_other_kinds_train(kind: str, tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--set", "num_inference_steps=2"] if kind == "super-resolution" else ["--set", "samples_per_class=0"]
    code, told = _run(capsys, kind, tiny, "--name", kind, "--classes", "mole", *FEW, *more)
    assert code == 0
    assert Path(told["models"][0]["folder"]) == tiny.path / "models" / kind
    assert told["models"][0]["summary"]["training_images"] == 2


def test_a_dry_run_tells_memory_and_images_and_writes_nothing(
    tiny: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tiny.path.rglob("*"))
    code, told = _run(capsys, "dreambooth", tiny, "--name", "dry", "--images-per-class", "3", "--dry-run")
    plan = told["dry_run"]
    assert code == 0
    assert (plan["training_images"], plan["prior_images"]) == ({"mole": 3, "rash": 3}, 48)
    memory = plan["memory"]
    assert memory["fits"] is True
    assert memory["total_bytes"] == sum(memory["parts"].values()) > 10**8
    _, fewer = _run(capsys, "dreambooth", tiny, "--name", "dry-2", "--images-per-class", "2", "--dry-run")
    assert set(fewer["dry_run"]["training_ids"]) < set(plan["training_ids"])
    assert main(["finetune", "dreambooth", "-w", str(tiny.path), "--name", "dry", "--images-per-class", "3", "-q",
                 "--dry-run"]) == 0  # fmt: skip
    assert sorted(tiny.path.rglob("*")) == before


def test_what_does_not_fit_is_refused_with_plans_that_would(
    tiny: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.models.memory.memory_at_hand", lambda device: 1000 * 2**20)
    words = ["--name", "big", "--images-per-class", "2", "--set", "train_batch_size=64", "--prior-images", "0"]
    code, error = _run(capsys, "dreambooth", tiny, *words)
    assert (code, error["error"]) == (2, "MemoryShortage")
    assert error["proposals"]
    assert all(one["total_bytes"] <= 1000 * 2**20 for one in error["proposals"])
    assert not (tiny.path / "models" / "big").exists()
    assert main(["finetune", "dreambooth", "-w", str(tiny.path), *words, "--dry-run"]) == 2
    shown = capsys.readouterr()
    assert "together" in shown.out
    assert "accumulation" in shown.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--classes", "mole,wart"], "wart"),
        (["--images-per-class", "11"], "11 images per class are not there"),
        (["--set", "max_train_stepz=2"], "max_train_stepz"),
        (["--prior-images", "0", "--set", "prior.guidance_scale=2"], "none are drawn"),
        (["--base", "models/absent"], "does not exist"),
        (["--nouns", "mole"], "no pair"),
    ],
)
def test_bad_input_is_refused_with_exit_code_2(
    words: list[str], said: str, tiny: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [] if "--images-per-class" in words else ["--images-per-class", "2"]
    code, error = _run(capsys, "dreambooth", tiny, "--name", "bad", *few, *words)
    assert code == 2
    assert said in json.dumps(error)
    assert not (tiny.path / "models" / "bad").exists()


def test_images_without_a_split_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make_tiny_workspace(tmp_path / "ws")
    (workspace.path / "data" / "splits.json").unlink()
    code, error = _run(capsys, "inpainting", workspace, "--name", "none")
    assert code == 2
    assert "tenfold data split" in error["todo"]


def test_two_runs_in_one_workspace_do_not_mix(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with tiny.lock():
        code, error = _run(capsys, "dreambooth", tiny, "--name", "second", *FEW, "--prior-images", "0")
    assert code == 2 and "in use by process" in error["what"]
    assert not (tiny.path / "models" / "second").exists()


def test_a_folder_beside_the_one_who_types_is_a_base(
    tiny: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_tiny_stable_diffusion(tmp_path / "own-base")
    monkeypatch.chdir(tmp_path)
    words = ["--name", "here", *FEW, "--prior-images", "0", "--dry-run"]
    code, told = _run(capsys, "dreambooth", tiny, "--base", "own-base", *words)
    assert (code, told["dry_run"]["base_checkpoint"]) == (0, str(base))
    code, error = _run(capsys, "dreambooth", tiny, "--base", "other-base", *words)
    assert code == 2 and "does not exist" in error["what"]


def test_a_tracker_that_is_not_installed_is_told_before_prior_images_are_drawn(
    tiny: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.finetuning.accelerating.get_available_trackers", list)
    words = ["--name", "tracked", *FEW, *PRIOR, "--set", "trackers=[tensorboard]"]
    code, error = _run(capsys, "dreambooth", tiny, *words)
    assert code == 2 and "its package is not installed" in error["what"]
    assert not (tiny.path / "synthetic" / "tracked-prior").exists()
