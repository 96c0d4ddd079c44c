"""DreamBooth with a LoRA, of Stable Diffusion and of SDXL: trained, resumed, read by diffusers, drawn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenfold.core.executor import SerialExecutor
from tenfold.core.hashing import sha256_path
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.data.manifest import manifest_rows, read_manifest
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.dreambooth import run
from tenfold.finetuning.dreambooth_objective import DreamBoothObjective
from tenfold.generation.config import GenerateConfig
from tenfold.generation.run import run as generate
from tenfold.models.adapter_ref import read_adapter_record
from tenfold.models.checkpoint_ref import checkpoint_sha256
from tests.tiny_data import ids_of, make_tiny_workspace
from tests.tiny_models import make_tiny_sdxl, make_tiny_stable_diffusion


@pytest.fixture(scope="module", params=[make_tiny_stable_diffusion, make_tiny_sdxl], ids=["sd", "sdxl"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(request.param(tmp_path_factory.mktemp("base") / "tiny"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Workspace:
    return make_tiny_workspace(tmp_path_factory.mktemp("data") / "workspace")


def _run(workspace: Workspace, base: Path, **changes: Any) -> Result:
    options: dict[str, Any] = {
        "name": "mine",
        "seed": 5,
        "method": "lora",
        "lora_rank": 2,
        "lora_text_encoder": True,
        "base_checkpoint": str(base),
        "training_ids": ids_of(workspace, "train"),
        "validation_ids": ids_of(workspace, "val"),
        "max_train_steps": 2,
        "train_batch_size": 4,
        "learning_rate": 3e-2,
        "text_encoder_lr": 3e-2,
        "crops_per_image": 2,
        "checkpointing_steps": 1,
        "samples_per_class": 1,
    }
    return run(DreamBoothConfig(**(options | changes)), workspace, SerialExecutor(), NullProgress())


def test_two_steps_make_an_adapter_that_diffusers_and_generation_draw_from(tiny: Workspace, base: Path) -> None:
    from diffusers import DiffusionPipeline

    result = _run(tiny, base)
    parts = {"unet", "text_encoder", *(["text_encoder_2"] if (base / "text_encoder_2").is_dir() else [])}
    record = read_adapter_record(result.folder)
    assert record is not None
    assert (record.base_sha256, record.rank, set(record.parts)) == (checkpoint_sha256(base), 2, parts)
    assert not (result.folder / "unet").exists() and not (result.folder / "checkpoints").exists()
    losses = json.loads((result.folder / "run.json").read_text())["summary"]["validation_loss"]
    assert losses["0"] != losses["2"]

    drawing = GenerateConfig(
        name="drawn", seed=1, checkpoint=str(base), adapter="models/mine", labels=("mole",), images_per_class=2,
        num_inference_steps=2,
    )  # fmt: skip
    drawn = generate(drawing, tiny, SerialExecutor(), NullProgress())
    rows = list(manifest_rows(read_manifest(drawn.folder / "manifest.parquet")))
    pipeline = DiffusionPipeline.from_pretrained(base, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)

    def theirs() -> np.ndarray:
        images = pipeline(
            [row["prompt"] for row in rows],
            num_inference_steps=2,
            guidance_scale=3.0,
            generator=[torch.Generator().manual_seed(int(row["seed"])) for row in rows],
            output_type="np",
        ).images
        return np.asarray((images * 255).round())

    ours = np.stack([decode_image(tiny.path / row["path"]) for row in rows])
    assert np.abs(ours - theirs()).max() > 1
    pipeline.load_lora_weights(result.folder, local_files_only=True)
    assert np.abs(ours - theirs()).max() <= 1


def test_killed_it_ends_with_the_same_adapter(
    tmp_path: Path, tiny: Workspace, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _run(tiny, base, name="whole", max_train_steps=3)
    other = make_tiny_workspace(tmp_path / "other")
    original = DreamBoothObjective.loss

    def killed(self: DreamBoothObjective, step: int) -> torch.Tensor:
        if step == 2:
            raise KeyboardInterrupt
        return original(self, step)

    monkeypatch.setattr(DreamBoothObjective, "loss", killed)
    with pytest.raises(KeyboardInterrupt):
        _run(other, base, name="whole", max_train_steps=3)
    monkeypatch.setattr(DreamBoothObjective, "loss", original)
    resumed = _run(other, base, name="whole", max_train_steps=3)
    name = "pytorch_lora_weights.safetensors"
    assert sha256_path(whole.folder / name) == sha256_path(resumed.folder / name)
    assert dict(resumed.outputs) == dict(whole.outputs)
