"""The inpainting stage: what it writes, what it refuses, and that a killed run ends with the same weights."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from tenfold.core.errors import CheckpointError, DataError, FaultsError, InputError
from tenfold.core.executor import SerialExecutor
from tenfold.core.hashing import sha256_path
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image, encode_png
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.data.splits import read_sealed_split, seal_split
from tenfold.finetuning.inpainting import run_inpainting
from tenfold.finetuning.inpainting_config import InpaintingConfig
from tenfold.finetuning.inpainting_objective import InpaintingObjective
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_inpainting import make_tiny_inpainting
from tests.tiny_models import make_tiny_stable_diffusion
from tests.tiny_upscaler import make_tiny_upscaler


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inpainting checkpoint: 4 latent channels, 9 of the UNet."""
    return make_tiny_inpainting(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("plain") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return _workspace(tmp_path_factory.mktemp("data") / "workspace")


def _workspace(path: Path, masks: Mapping[int, np.ndarray | None] | None = None) -> Workspace:
    """A tiny workspace whose images have the disk's mask; `masks` replaces those of training images by number."""
    workspace = make_tiny_workspace(path)
    manifest_path = workspace.path / "data" / "manifest.parquet"
    manifest = read_manifest(manifest_path)
    training = ids_of(workspace, "train")
    given = {training[number]: mask for number, mask in (masks or {}).items()}
    (workspace.path / "data" / "masks").mkdir()
    paths: list[str | None] = []
    for image_id in manifest["image_id"]:
        mask = given.get(image_id, _disk())
        paths.append(None if mask is None else f"data/masks/{image_id}.png")
        if mask is not None:
            (workspace.path / f"data/masks/{image_id}.png").write_bytes(encode_png(mask))
    assignments = read_sealed_split(workspace.path / "data" / "splits.json").assignments
    manifest["mask_path"] = pd.Series(paths, dtype=manifest["mask_path"].dtype)
    write_manifest(manifest, manifest_path)
    (workspace.path / "data" / "splits.json").unlink()
    seal_split(workspace.path / "data" / "splits.json", manifest, pd.Series(assignments), seed=0)
    return workspace


def _disk() -> np.ndarray:
    grid = np.mgrid[:32, :32] - 15.5
    return np.where(np.hypot(*grid) < 9, 255, 0).astype(np.uint8)


def run_tiny(workspace: Workspace, base: Path, **changes: Any) -> Result:
    options: dict[str, Any] = {
        "name": "mine",
        "seed": 5,
        "base_checkpoint": str(base),
        "training_ids": ids_of(workspace, "train"),
        "validation_ids": ids_of(workspace, "val"),
        "validation_steps": 2,
        "max_train_steps": 4,
        "train_batch_size": 4,
        "learning_rate": 1e-3,
        "crops_per_image": 2,
        "checkpointing_steps": 2,
        "samples_per_class": 1,
    }
    return run_inpainting(InpaintingConfig(**(options | changes)), workspace, SerialExecutor(), NullProgress())


def test_it_writes_an_inpainting_checkpoint_that_plain_diffusers_paints_with(tiny: Workspace, base: Path) -> None:
    from diffusers import StableDiffusionInpaintPipeline

    result = run_tiny(tiny, base, samples_steps=2)
    folder = result.folder
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(folder, local_files_only=True)
    assert pipeline.unet.config.in_channels == 9
    before = load_file(base / "unet/diffusion_pytorch_model.safetensors")
    changed = [name for name, tensor in pipeline.unet.state_dict().items() if not torch.equal(tensor, before[name])]
    assert len(changed) == len(before)
    for part in ("vae", "text_encoder"):
        assert sha256_path(folder / part) == sha256_path(base / part)
    pipeline.set_progress_bar_config(disable=True)
    image = torch.rand(1, 3, 32, 32)
    hole = torch.ones(1, 1, 32, 32)
    painted = pipeline("a mole", image=image, mask_image=hole, num_inference_steps=2, height=32, width=32)
    assert painted.images[0].size == (32, 32)

    record = json.loads((folder / "training_rows.json").read_text())
    assert record["image_ids"] == sorted(ids_of(tiny, "train"))
    assert record["validation_ids"] == list(ids_of(tiny, "val"))
    prompts = json.loads((folder / "prompts.json").read_text())
    assert {label: len(listed) for label, listed in prompts["prompts"].items()} == {"mole": 4, "rash": 4}
    usage = json.loads((folder / "inpainting.json").read_text())
    assert usage == {"unet": "inpainting", "surroundings": None, "masks": "random", "mask_dilation": None}
    rows = list(csv.DictReader((folder / "losses.csv").open()))
    assert [row["step"] for row in rows if row["validation_loss"]] == ["0", "2", "4"]
    # A line for each label: image, with its hole, the base's answer, the tuned one's.
    assert decode_image(folder / "samples.png").shape == (2 * 34 - 2, 4 * 34 - 2, 3)
    assert sorted(path.name for path in (folder / "samples").iterdir()) == [
        f"step-{step:08d}.png" for step in (0, 2, 4)
    ]
    assert not (folder / "checkpoints").exists()
    assert run_tiny(tiny, base, samples_steps=2).was_finished


@pytest.mark.parametrize("kind", ["base", "plain"])
def test_training_lowers_the_loss_of_fixed_noise(kind: str, tiny: Workspace, request: pytest.FixtureRequest) -> None:
    result = run_tiny(
        tiny,
        request.getfixturevalue(kind),
        name=f"longer-{kind}",
        masks="lesion",
        max_train_steps=30,
        validation_steps=30,
        learning_rate=3e-3,
        samples_per_class=0,
    )
    losses = result.summary["validation_loss"]
    assert losses["30"] < 0.97 * losses["0"]
    assert result.summary["unet"] == ("inpainting" if kind == "base" else "text2img")
    assert result.summary["surroundings"] == (None if kind == "base" else "clean")
    assert 0.25 < result.summary["mean_lesion_share"] < 0.45
    assert not (result.folder / "samples.png").exists()


@pytest.mark.parametrize("kind", ["base", "plain"])
def test_killed_at_any_step_it_ends_with_the_same_weights(
    kind: str, tmp_path: Path, tiny: Workspace, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = request.getfixturevalue(kind)
    options: dict[str, Any] = {"name": f"whole-{kind}", "ema_decay": 0.9, "masks": "lesion"}
    whole = run_tiny(tiny, checkpoint, **options)
    other = _workspace(tmp_path / "other")
    original = InpaintingObjective.loss
    for kill_at in (1, 3):

        def loss(self: InpaintingObjective, step: int, kill_at: int = kill_at) -> torch.Tensor:
            if step == kill_at:
                raise KeyboardInterrupt
            return original(self, step)

        monkeypatch.setattr(InpaintingObjective, "loss", loss)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(other, checkpoint, **options)
    with pytest.raises(InputError, match="unfinished training with other settings") as caught:
        run_tiny(other, checkpoint, **(options | {"masks": "random"}))
    assert 'masks: "lesion" in the checkpoint, "random" now' in caught.value.where
    monkeypatch.setattr(InpaintingObjective, "loss", original)
    resumed = run_tiny(other, checkpoint, **options)
    assert dict(resumed.outputs) == dict(whole.outputs)
    assert resumed.summary == whole.summary


def test_an_adapter_and_the_choice_of_a_step(tiny: Workspace, base: Path) -> None:
    from diffusers import StableDiffusionInpaintPipeline

    result = run_tiny(tiny, base, name="adapter", method="lora", lora_rank=2, checkpoint_choice="validation")
    folder = result.folder
    losses = result.summary["validation_loss"]
    step = result.summary["weights_of_step"]
    assert step in (2, 4) and losses[str(step)] == min(losses["2"], losses["4"])
    assert json.loads((folder / "choice.json").read_text())["step"] == step
    assert not (folder / "unet").exists() and not (folder / "weights").exists()
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(base, local_files_only=True)
    pipeline.load_lora_weights(folder)
    assert pipeline.get_active_adapters()


def test_unfit_masks_are_refused_and_empty_ones_may_be_random(tmp_path: Path, base: Path) -> None:
    workspace = _workspace(tmp_path / "bad", {0: np.zeros((32, 32), np.uint8), 1: None})
    first, second = ids_of(workspace, "train")[:2]
    with pytest.raises(FaultsError) as caught:
        run_tiny(workspace, base, masks="lesion")
    assert f"image {first} cannot teach its lesion's place: its mask is empty" in str(caught.value)
    assert f"image {second} cannot teach its lesion's place: it has no mask" in str(caught.value)
    result = run_tiny(
        workspace, base, masks="lesion", images_without_mask="random", max_train_steps=1, samples_per_class=0
    )
    (note,) = result.summary["notes"]
    assert note.startswith("2 images are masked at random") and f"{first} (its mask is empty)" in note

    other = _workspace(tmp_path / "other", {2: np.ones((16, 32), np.uint8)})
    with pytest.raises(DataError, match="is 32 x 16 px") as fault:
        run_tiny(other, base, masks="lesion")
    assert fault.value.expected == "32 x 32 px, as its image"
    # Random masks do not look at the files.
    run_tiny(other, base, max_train_steps=1, samples_per_class=0)


def test_images_of_other_splits_are_refused(tiny: Workspace, base: Path) -> None:
    with pytest.raises(FaultsError, match="of the split test"):
        run_tiny(tiny, base, name="leak", training_ids=ids_of(tiny, "test"))
    with pytest.raises(FaultsError, match="of the split test"):
        run_tiny(tiny, base, name="leak", validation_ids=ids_of(tiny, "test"), masks="lesion")
    with pytest.raises(DataError, match="both a training and a validation image"):
        run_tiny(tiny, base, name="leak", validation_ids=ids_of(tiny, "train"))
    with pytest.raises(DataError, match="which no training image shows"):
        run_tiny(tiny, base, name="leak", training_ids=ids_of(tiny, "train", "mole"))


def test_options_that_do_not_fit_are_refused(tmp_path: Path, tiny: Workspace, base: Path) -> None:
    with pytest.raises(InputError, match="surroundings=clean is given"):
        run_tiny(tiny, base, name="odd", surroundings="clean")
    with pytest.raises(ValidationError, match="focus"):
        run_tiny(tiny, base, name="odd", focus="mask")
    with pytest.raises(ValidationError, match="images_without_mask belongs to masks=lesion"):
        run_tiny(tiny, base, name="odd", images_without_mask="random")
    with pytest.raises(CheckpointError, match="takes 11 channels"):
        run_tiny(tiny, make_tiny_upscaler(tmp_path / "upscaler"), name="odd")


def test_a_base_that_was_fine_tuned_keeps_its_record(tiny: Workspace, plain: Path) -> None:
    training = ids_of(tiny, "train")
    first = run_tiny(tiny, plain, name="first", training_ids=training[:2] + training[4:6], samples_per_class=0)
    second = run_tiny(tiny, first.folder, name="second", training_ids=training, surroundings="noisy")
    record = json.loads((second.folder / "training_rows.json").read_text())
    assert record["image_ids"] == sorted(training)
    assert json.loads((second.folder / "inpainting.json").read_text())["surroundings"] == "noisy"
