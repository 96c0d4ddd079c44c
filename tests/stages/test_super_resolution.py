"""The super-resolution stage: what it writes, what it refuses, and that a killed run ends with the same weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from tenfold.core.errors import CheckpointError, DataError, InputError, StageError
from tenfold.core.executor import SerialExecutor
from tenfold.core.hashing import sha256_path
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.finetuning.datasets import ImageSet
from tenfold.finetuning.super_resolution import run
from tenfold.finetuning.super_resolution_config import SuperResolutionConfig
from tenfold.finetuning.super_resolution_objective import SuperResolutionObjective
from tenfold.finetuning.super_resolution_pairs import PairViews, training_views
from tests.image_files import random_image
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion
from tests.tiny_upscaler import make_tiny_upscaler


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_upscaler(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace", image_size_px=48)


def run_tiny(workspace: Workspace, base: Path, **changes: Any) -> Result:
    options: dict[str, Any] = {
        "name": "mine",
        "seed": 5,
        "base_checkpoint": str(base),
        "training_ids": ids_of(workspace, "train"),
        "validation_ids": ids_of(workspace, "val"),
        "validation_steps": 2,
        "max_train_steps": 6,
        "train_batch_size": 4,
        "learning_rate": 1e-3,
        "crops_per_image": 2,
        "checkpointing_steps": 2,
        "num_inference_steps": 2,
        "samples_count": 2,
        "samples_steps": 3,
    }
    return run(SuperResolutionConfig(**(options | changes)), workspace, SerialExecutor(), NullProgress())


def test_it_writes_an_upscaler_that_plain_diffusers_loads(tiny: Workspace, base: Path) -> None:
    from diffusers import StableDiffusionUpscalePipeline

    result = run_tiny(tiny, base)
    folder = result.folder
    pipeline = StableDiffusionUpscalePipeline.from_pretrained(folder, local_files_only=True)
    before = load_file(base / "unet/diffusion_pytorch_model.safetensors")
    changed = [name for name, tensor in pipeline.unet.state_dict().items() if not torch.equal(tensor, before[name])]
    assert len(changed) == len(before)
    for part in ("vae", "text_encoder", "low_res_scheduler"):
        assert sha256_path(folder / part) == sha256_path(base / part)
    assert pipeline.config.max_noise_level == 60

    record = json.loads((folder / "training_rows.json").read_text())
    assert record["image_ids"] == sorted(ids_of(tiny, "train"))
    assert record["validation_ids"] == list(ids_of(tiny, "val"))
    rows = list(csv.DictReader((folder / "losses.csv").open()))
    assert [row["step"] for row in rows if row["validation_loss"]] == ["0", "2", "4", "6"]
    assert all(float(row["loss"]) > 0 for row in rows[1:])
    assert result.summary["views_of_an_image"] == 4
    assert decode_image(folder / "samples.png").shape == (6 * 34 - 2, 2 * 34 - 2, 3)
    assert sorted(path.name for path in (folder / "samples").iterdir()) == [
        f"step-{step:08d}.png" for step in (0, 3, 6)
    ]
    assert (folder / "curves.png").is_file() and not (folder / "checkpoints").exists()
    assert run_tiny(tiny, base).was_finished


def test_it_is_compared_with_bicubic_on_held_out_pairs(tiny: Workspace, base: Path) -> None:
    result = run_tiny(tiny, base)
    similarity = json.loads((result.folder / "similarity.json").read_text())
    assert similarity == result.summary["similarity"]
    assert (similarity["images"], similarity["patients"]) == (4, 4)
    arms = similarity["arms"]
    assert list(arms) == ["after", "after, one step", "autoencoder", "before", "bicubic"]
    for arm, figures in arms.items():
        assert set(figures) == {"psnr_db", "ssim", "feature_distance"}
        for figure in figures.values():
            assert figure["low"] <= figure["value"] <= figure["high"]
            assert ("minus_bicubic" in figure) == (arm != "bicubic")
    rows = list(csv.DictReader((result.folder / "similarity.csv").open()))
    assert len(rows) == 5 * 4
    own = [float(row["psnr_db"]) for row in rows if row["arm"] == "bicubic"]
    assert np.mean(own) == pytest.approx(arms["bicubic"]["psnr_db"]["value"], rel=1e-4)
    # A random network is no upscaler; bicubic of smooth disks is good.
    assert arms["after"]["psnr_db"]["minus_bicubic"]["high"] < 0


def test_training_lowers_the_loss_of_fixed_noise(tiny: Workspace, base: Path) -> None:
    result = run_tiny(
        tiny, base, name="longer", max_train_steps=40, validation_steps=40, learning_rate=3e-3, samples_count=0
    )
    losses = result.summary["validation_loss"]
    assert losses["40"] < 0.97 * losses["0"]
    assert not (result.folder / "samples.png").exists()


def test_killed_at_any_step_it_ends_with_the_same_weights(
    tmp_path: Path, tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"name": "whole", "ema_decay": 0.9, "gradient_accumulation_steps": 2}
    whole = run_tiny(tiny, base, **options)
    other = make_tiny_workspace(tmp_path / "other", image_size_px=48)
    original = SuperResolutionObjective.loss
    for kill_at in (1, 5, 10):

        def loss(self: SuperResolutionObjective, step: int, kill_at: int = kill_at) -> torch.Tensor:
            if step == kill_at:
                raise KeyboardInterrupt
            return original(self, step)

        monkeypatch.setattr(SuperResolutionObjective, "loss", loss)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(other, base, **options)
        assert not (other.path / "models" / "whole" / "run.json").exists()
    monkeypatch.setattr(SuperResolutionObjective, "loss", original)
    resumed = run_tiny(other, base, **options)
    assert dict(resumed.outputs) == dict(whole.outputs)
    assert resumed.summary == whole.summary


def test_gradient_checkpointing_changes_nothing_but_memory(tiny: Workspace, base: Path) -> None:
    options: dict[str, Any] = {"validation_ids": (), "max_train_steps": 2}
    plain = run_tiny(tiny, base, name="plain", **options)
    spared = run_tiny(tiny, base, name="spared", gradient_checkpointing=True, **options)
    assert spared.summary["loss_of_last_tenth"] == pytest.approx(plain.summary["loss_of_last_tenth"], rel=1e-5)
    assert plain.summary["similarity"] is None
    assert not (plain.folder / "similarity.json").exists()


def test_a_lora_is_saved_beside_the_upscaler_that_it_makes(tiny: Workspace, base: Path) -> None:
    from diffusers import StableDiffusionUpscalePipeline

    result = run_tiny(tiny, base, name="adapted", method="lora", lora_rank=4, learning_rate=1e-2)
    before = load_file(base / "unet/diffusion_pytorch_model.safetensors")
    after = load_file(result.folder / "unet/diffusion_pytorch_model.safetensors")
    assert set(after) == set(before)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed and all(".to_" in name for name in changed)
    record = json.loads((result.folder / "adapter.json").read_text())
    assert (record["rank"], record["alpha"], record["parts"]) == (4, 4.0, ["unet"])

    pipeline = StableDiffusionUpscalePipeline.from_pretrained(base, local_files_only=True)
    pipeline.load_lora_weights(result.folder, local_files_only=True)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    theirs = pipeline.unet.state_dict()
    for name in changed:
        torch.testing.assert_close(theirs[name], after[name], rtol=1e-5, atol=1e-6)


def test_one_image_is_enough_to_train(tiny: Workspace, base: Path) -> None:
    result = run_tiny(tiny, base, name="single", training_ids=ids_of(tiny, "train")[:1], max_train_steps=1)
    assert result.summary["training_images"] == 1


def test_the_embedded_upscaler_is_the_default_base(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "workspace", image_size_px=64)
    training, held_out = ids_of(workspace, "train"), ids_of(workspace, "val")[:2]
    config = SuperResolutionConfig(
        name="mine", seed=1, training_ids=training, validation_ids=held_out, max_train_steps=2, num_inference_steps=2
    )
    result = run(config, workspace, SerialExecutor(), NullProgress())
    assert decode_image(result.folder / "samples.png").shape == (6 * 66 - 2, 2 * 66 - 2, 3)
    assert result.summary["similarity"]["arms"]["before"]["psnr_db"]["value"] > 20


def test_images_of_other_splits_are_refused(tiny: Workspace, base: Path) -> None:
    with pytest.raises(DataError, match="split test"):
        run_tiny(tiny, base, name="leak", validation_ids=ids_of(tiny, "test")[:1])
    with pytest.raises(DataError, match="split val"):
        run_tiny(tiny, base, name="leak", training_ids=ids_of(tiny, "val")[:1], validation_ids=())
    with pytest.raises(DataError, match="both a training and a validation image"):
        run_tiny(tiny, base, name="leak", validation_ids=ids_of(tiny, "train")[:1])


def test_what_the_base_has_learned_from_cannot_validate_it(tiny: Workspace, base: Path) -> None:
    ids = ids_of(tiny, "train")
    first = run_tiny(tiny, base, name="first", training_ids=ids[:2], validation_ids=(), max_train_steps=1)
    with pytest.raises(DataError, match="both a training and a validation image"):
        run_tiny(tiny, first.folder, name="second", training_ids=ids[2:4], validation_ids=ids[:1])
    second = run_tiny(tiny, first.folder, name="second", training_ids=ids[2:4], validation_ids=(), max_train_steps=1)
    assert json.loads((second.folder / "training_rows.json").read_text())["image_ids"] == sorted(ids[:4])


def test_bad_settings_and_bases_are_told(tmp_path: Path, tiny: Workspace, base: Path) -> None:
    with pytest.raises(CheckpointError, match="lacks low_res_scheduler"):
        run_tiny(tiny, make_tiny_stable_diffusion(tmp_path / "plain"), name="bad")
    with pytest.raises(InputError, match="max_noise_level 100"):
        run_tiny(tiny, base, name="bad", max_noise_level=100)
    with pytest.raises(InputError, match="noise_level is 20 and max_noise_level 10"):
        run_tiny(tiny, base, name="bad", max_noise_level=10, noise_level=20)
    with pytest.raises(ValidationError, match=r"blur_sigma: the least \(2\.0\) is above the greatest \(1\.0\)"):
        run_tiny(tiny, base, name="bad", blur_sigma=(2.0, 1.0))
    with pytest.raises(ValidationError, match="training_ids"):
        run_tiny(tiny, base, name="bad", training_ids=())


def test_images_smaller_than_the_upscaler_makes_are_refused(tmp_path: Path, base: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "small", image_size_px=16)
    with pytest.raises(DataError, match="the images are 16 x 16 px"):
        run_tiny(workspace, base, validation_ids=())


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_state(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_tiny_workspace(tmp_path / "other", image_size_px=32)
    original = SuperResolutionObjective.loss

    def loss(self: SuperResolutionObjective, step: int) -> torch.Tensor:
        return original(self, step) * (float("nan") if step == 3 else 1.0)

    monkeypatch.setattr(SuperResolutionObjective, "loss", loss)
    with pytest.raises(StageError, match="became nan at step 4"):
        run_tiny(workspace, base)
    assert [path.name for path in (workspace.path / "models/mine/checkpoints").iterdir()] == [
        "step-00000002.safetensors"
    ]


def test_crops_are_cut_only_where_no_crop_is_enlarged() -> None:
    def views(width: int, height: int, **options: Any) -> tuple[ImageSet, int]:
        images = np.stack([random_image(number, width, height) for number in range(2)])
        material = ImageSet(("a", "b"), ("x", "y"), ("p", "q"), images)
        return training_views(material, 32, PairViews(3, **options), seed=1)

    same, count = views(32, 32)
    assert count == 1
    assert np.array_equal(same.images[1], random_image(1, 32, 32))
    cut, count = views(80, 48, mirrors=True, turns=True)
    assert count == 24
    assert cut.images.shape == (48, 32, 32, 3)
    assert cut.image_ids[:24] == ("a",) * 24
    assert np.array_equal(cut.images[3], cut.images[0][:, ::-1])
    assert np.array_equal(cut.images[6], np.rot90(cut.images[0]))
    assert np.array_equal(cut.images, views(80, 48, mirrors=True, turns=True)[0].images)
