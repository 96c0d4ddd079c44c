"""Checkpoints are loaded whole or refused, and saved so that plain diffusers loads them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tenfold.core.errors import CheckpointError
from tenfold.core.hashing import sha256_path
from tenfold.models.pipelines import load_components, save_components
from tests.tiny_models import IMAGE_SIZE_PX, VAE_SCALE, make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")


def test_loaded_components_are_frozen_and_quiet(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    components = load_components(tiny)
    assert capfd.readouterr() == ("", "")
    assert not any(parameter.requires_grad for parameter in components.unet.parameters())
    assert not components.unet.training
    assert (components.image_size_px, components.vae_scale) == (IMAGE_SIZE_PX, VAE_SCALE)
    assert components.dtype == torch.float32


def test_a_changed_unet_is_saved_and_the_rest_copied(tiny: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    components = load_components(tiny)
    with torch.no_grad():
        for parameter in components.unet.parameters():
            parameter.add_(0.01)
    for name in ("one", "two"):
        save_components(components, tmp_path / name, source=tiny, trained=("unet",))
    assert sha256_path(tmp_path / "one") == sha256_path(tmp_path / "two")
    assert sha256_path(tmp_path / "one" / "vae") == sha256_path(tiny / "vae")
    assert str(tiny) not in (tmp_path / "one" / "unet" / "config.json").read_text()

    plain = StableDiffusionPipeline.from_pretrained(tmp_path / "one", local_files_only=True)
    for name, tensor in components.unet.state_dict().items():
        assert torch.equal(tensor, plain.unet.state_dict()[name])


def test_half_precision_variants_are_loaded(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "half"))
    components = load_components(tiny, dtype=torch.float16)
    components.unet.save_pretrained(tmp_path / "new", variant="fp16")
    shutil.rmtree(folder / "unet")
    shutil.copytree(tmp_path / "new", folder / "unet")
    assert load_components(folder).dtype == torch.float32


def test_damaged_weights_and_wrong_kinds_are_checkpoint_errors(tiny: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(tiny, tmp_path / "damaged"))
    weights = damaged / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="vae cannot be loaded"):
        load_components(damaged)

    odd = Path(shutil.copytree(tiny, tmp_path / "odd"))
    index = odd / "model_index.json"
    index.write_text(index.read_text().replace("DDIMScheduler", "NoScheduler"))
    with pytest.raises(CheckpointError, match="scheduler cannot be loaded"):
        load_components(odd)


def test_an_inpainting_unet_is_refused(tiny: Path, tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    folder = Path(shutil.copytree(tiny, tmp_path / "inpainting"))
    config = UNet2DConditionModel.load_config(folder / "unet")
    UNet2DConditionModel.from_config({**config, "in_channels": 17}).save_pretrained(folder / "unet")
    with pytest.raises(CheckpointError, match="17 channels"):
        load_components(folder)
