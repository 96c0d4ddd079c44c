"""The DreamBooth stage: what it writes, what it refuses, and that a killed run ends with the same weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tenfold.core.errors import CheckpointError, DataError, StageError, TenfoldError
from tenfold.core.executor import SerialExecutor
from tenfold.core.hashing import sha256_path
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.finetuning import loop
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.dreambooth import run
from tenfold.finetuning.dreambooth_objective import DreamBoothObjective
from tenfold.generation.config import GenerateConfig
from tenfold.generation.run import run as generate
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Workspace:
    """A workspace with four prior images."""
    workspace = make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")
    prior = GenerateConfig(
        name="prior",
        seed=3,
        checkpoint=str(base),
        prompts={"prior": ("a photo of skin",)},
        images_per_class=4,
        num_inference_steps=2,
    )
    generate(prior, workspace, SerialExecutor(), NullProgress())
    return workspace


def _config(workspace: Workspace, base: Path, **changes: Any) -> DreamBoothConfig:
    options: dict[str, Any] = {
        "name": "mine",
        "seed": 5,
        "base_checkpoint": str(base),
        "training_ids": ids_of(workspace, "train"),
        "validation_ids": ids_of(workspace, "val"),
        "validation_steps": 2,
        "prior_manifest": "synthetic/prior/manifest.parquet",
        "max_train_steps": 6,
        "train_batch_size": 4,
        "prior_batch_size": 2,
        "learning_rate": 1e-3,
        "crops_per_image": 2,
        "checkpointing_steps": 2,
        "samples_per_class": 2,
    }
    return DreamBoothConfig(**(options | changes))


def _run(workspace: Workspace, base: Path, **changes: Any) -> Result:
    return run(_config(workspace, base, **changes), workspace, SerialExecutor(), NullProgress())


def test_it_writes_a_checkpoint_that_plain_diffusers_loads(tiny: Workspace, base: Path) -> None:
    from diffusers import StableDiffusionPipeline

    result = _run(tiny, base)
    folder = result.folder
    pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    before = load_file(base / "unet/diffusion_pytorch_model.safetensors")
    changed = [name for name, tensor in pipeline.unet.state_dict().items() if not torch.equal(tensor, before[name])]
    assert len(changed) == len(before)
    assert sha256_path(folder / "vae") == sha256_path(base / "vae")
    assert sha256_path(folder / "text_encoder") == sha256_path(base / "text_encoder")

    record = json.loads((folder / "training_rows.json").read_text())
    assert record["image_ids"] == sorted(ids_of(tiny, "train"))
    assert record["validation_ids"] == list(ids_of(tiny, "val"))
    assert len(record["prior_ids"]) == 4
    assert record["rows"][0]["prompt"].startswith("a photo of ohwx mole, red")
    prompts = json.loads((folder / "prompts.json").read_text())
    assert prompts["identifiers"] == {"mole": "ohwx", "rash": "zwxq"}
    assert {label: len(listed) for label, listed in prompts["prompts"].items()} == {"mole": 4, "rash": 4}

    rows = list(csv.DictReader((folder / "losses.csv").open()))
    assert [row["step"] for row in rows] == [str(step) for step in range(7)]
    assert [row["step"] for row in rows if row["validation_loss"]] == ["0", "2", "4", "6"]
    assert all(float(row["loss"]) > 0 for row in rows[1:])
    assert decode_image(folder / "samples.png").shape == (2 * 34 - 2, 4 * 34 - 2, 3)
    assert not (folder / "checkpoints").exists()
    assert result.summary["training_images"] == 8
    # The tiny tokenizer reads 40 bytes: all of these captions are longer.
    assert result.summary["cut_prompts"] == list(dict.fromkeys(row["prompt"] for row in record["rows"]))
    assert _run(tiny, base).was_finished


def test_training_lowers_the_loss_of_fixed_noise(tiny: Workspace, base: Path) -> None:
    result = _run(tiny, base, name="longer", max_train_steps=40, validation_steps=40, learning_rate=3e-3)
    losses = result.summary["validation_loss"]
    assert losses["40"] < 0.97 * losses["0"]


@pytest.mark.parametrize("train_text_encoder", [False, True])
def test_killed_at_any_step_it_ends_with_the_same_weights(
    tmp_path: Path, tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch, train_text_encoder: bool
) -> None:
    name = f"whole-{train_text_encoder}"
    options: dict[str, Any] = {"name": name, "train_text_encoder": train_text_encoder, "ema_decay": 0.9}
    whole = _run(tiny, base, **options)
    other = make_tiny_workspace(tmp_path / "other")
    (other.path / "synthetic").symlink_to(tiny.path / "synthetic")

    original = DreamBoothObjective.loss
    for kill_at in (1, 2, 5):

        def loss(self: DreamBoothObjective, step: int, kill_at: int = kill_at) -> torch.Tensor:
            if step == kill_at:
                raise KeyboardInterrupt
            return original(self, step)

        monkeypatch.setattr(DreamBoothObjective, "loss", loss)
        with pytest.raises(KeyboardInterrupt):
            _run(other, base, **options)
        assert not (other.path / "models" / name / "run.json").exists()
    monkeypatch.setattr(DreamBoothObjective, "loss", original)
    resumed = _run(other, base, **options)
    assert dict(resumed.outputs) == dict(whole.outputs)
    assert resumed.summary == whole.summary


def test_a_trained_text_encoder_is_saved_too(tiny: Workspace, base: Path) -> None:
    result = _run(tiny, base, name="text", train_text_encoder=True, text_encoder_lr=1e-3, max_train_steps=2)
    before = load_file(base / "text_encoder/model.safetensors")
    after = load_file(result.folder / "text_encoder/model.safetensors")
    assert set(before) == set(after)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_it_goes_on_from_a_model_of_the_workspace_and_keeps_its_ancestors(tiny: Workspace, base: Path) -> None:
    mole, rash = ids_of(tiny, "train", "mole"), ids_of(tiny, "train", "rash")
    options: dict[str, Any] = {
        "validation_ids": (),
        "prior_manifest": None,
        "max_train_steps": 1,
        "samples_per_class": 0,
    }
    first = _run(tiny, base, name="first", training_ids=mole, **options)
    # As if its own base had been pretrained on an archive, of which one image was imported later.
    record = json.loads((first.folder / "training_rows.json").read_text())
    record["archive_image_ids"] = ["f" * 16, rash[0]]
    (first.folder / "training_rows.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="both a training and a validation image"):
        _run(tiny, base, name="third", base_checkpoint="models/first", training_ids=mole, validation_ids=rash[:1],
             prior_manifest=None)  # fmt: skip
    second = _run(tiny, base, name="second", base_checkpoint="models/first", training_ids=rash, **options)
    record = json.loads((second.folder / "training_rows.json").read_text())
    assert record["image_ids"] == sorted((*mole, *rash))
    assert record["archive_image_ids"] == ["f" * 16]
    assert not (second.folder / "samples.png").exists()
    with pytest.raises(DataError, match="both a training and a validation image"):
        _run(tiny, base, name="third", base_checkpoint="models/first", training_ids=rash, validation_ids=mole[:1])


def test_images_outside_the_training_split_are_refused(tiny: Workspace, base: Path) -> None:
    test_id = ids_of(tiny, "test")[0]
    with pytest.raises(TenfoldError, match="of the split test"):
        _run(tiny, base, name="leak", training_ids=(*ids_of(tiny, "train"), test_id))
    with pytest.raises(TenfoldError, match="of the split test"):
        _run(tiny, base, name="leak", validation_ids=(test_id,))
    with pytest.raises(DataError, match="both a training and a validation image"):
        _run(tiny, base, name="leak", validation_ids=ids_of(tiny, "train")[:1])
    with pytest.raises(DataError, match="which no training image shows"):
        _run(tiny, base, name="leak", training_ids=ids_of(tiny, "train", "mole"), prior_manifest=None)


def test_a_missing_base_is_a_checkpoint_error(tiny: Workspace, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        _run(tiny, tmp_path / "none")


def test_a_loss_that_is_no_number_stops_the_run(tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = DreamBoothObjective.loss

    def broken(self: DreamBoothObjective, step: int) -> torch.Tensor:
        return original(self, step) * (float("nan") if step == 3 else 1.0)

    monkeypatch.setattr(DreamBoothObjective, "loss", broken)
    with pytest.raises(StageError, match="nan at step 4"):
        _run(tiny, base, name="nan")
    assert loop.newest_checkpoint(tiny.path / "models/nan/checkpoints") is not None
