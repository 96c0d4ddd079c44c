"""Embedded weights are checked before use, are small, and load offline with plain diffusers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tenfold.core.errors import CheckpointError
from tenfold.core.files import write_json_atomic
from tenfold.models import embedded
from tenfold.models.embedded import base_path, digests_of, features_path, verified

FOLDER = Path(embedded.__file__).parent


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    for name in ("first.bin", "second.bin"):
        (tmp_path / "base").mkdir(exist_ok=True)
        (tmp_path / "base" / name).write_text(name)
    write_json_atomic(tmp_path / "digests.json", digests_of(tmp_path, ("base",)))
    return tmp_path


def test_whole_files_pass(shipped: Path) -> None:
    assert verified(shipped, "base") == shipped / "base"


def test_missing_and_damaged_files_are_all_named(shipped: Path) -> None:
    (shipped / "base" / "first.bin").unlink()
    (shipped / "base" / "second.bin").write_text("else")
    with pytest.raises(CheckpointError) as caught:
        verified(shipped, "base")
    assert "base/first.bin is missing" in caught.value.what
    assert "base/second.bin is damaged" in caught.value.what
    assert "Install the package again" in caught.value.todo


def test_unknown_model_and_missing_list_are_told(shipped: Path) -> None:
    with pytest.raises(CheckpointError, match="no file of it is listed"):
        verified(shipped, "other")
    (shipped / "digests.json").unlink()
    with pytest.raises(CheckpointError, match="list of embedded files is missing"):
        verified(shipped, "base")


def test_the_shipped_models_are_whole_small_and_half_precision() -> None:
    files = [path for folder in (base_path(), features_path()) for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20e6
    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as weights:
                assert {weights.get_slice(name).get_dtype() for name in weights.keys()} <= {"F16"}  # noqa: SIM118


def test_a_damaged_copy_of_the_shipped_base_is_refused(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "base", tmp_path / "base")
    shutil.copyfile(FOLDER / "digests.json", tmp_path / "digests.json")
    weights = tmp_path / "base" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"unet/diffusion_pytorch_model\.safetensors is damaged"):
        verified(tmp_path, "base")


def test_plain_diffusers_loads_the_base_in_single_precision_and_draws() -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(base_path(), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.unet.dtype == pipeline.vae.dtype == pipeline.text_encoder.dtype == torch.float32
    assert pipeline.tokenizer.model_max_length == 48
    generator = torch.Generator().manual_seed(1)
    images = pipeline("a photo of nevus", num_inference_steps=2, output_type="np", generator=generator).images
    assert images.shape == (1, 64, 64, 3)
