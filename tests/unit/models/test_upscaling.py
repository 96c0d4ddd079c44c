"""Upscalers: equal to diffusers' pipeline, checked when loaded; other units of the latents change nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tenfold.core.errors import CheckpointError, InputError
from tenfold.core.seeds import torch_generator
from tenfold.models.checkpoint_ref import checkpoint_parts
from tenfold.models.perceptual import FeatureMaps
from tenfold.models.pipelines import load_components
from tenfold.models.sampling import encode_images, reconstruct
from tenfold.models.upscaler_building import with_pipeline_scale
from tenfold.models.upscaling import PIPELINE_SCALING_FACTOR, Upscaler, UpscaleSettings, load_upscaler, upscale
from tests.tiny_models import make_tiny_stable_diffusion
from tests.tiny_upscaler import make_tiny_upscaler

PROMPTS = ["a photo of mole", "a photo of rash"]
SEEDS = [5, 6]
LOW = np.random.default_rng(2).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=[False, True], ids=["waves", "table"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_upscaler(tmp_path_factory.mktemp("upscaler") / "tiny", noise_level_table=request.param)


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_it_draws_what_plain_diffusers_draws(folder: Path, guidance_scale: float) -> None:
    from diffusers import StableDiffusionUpscalePipeline
    from PIL import Image

    settings = UpscaleSettings(num_inference_steps=3, guidance_scale=guidance_scale, noise_level=20)
    own = upscale(load_upscaler(folder), LOW, PROMPTS, SEEDS, settings)
    pipeline = StableDiffusionUpscalePipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        PROMPTS, image=[Image.fromarray(image) for image in LOW], num_inference_steps=3, noise_level=20,
        guidance_scale=guidance_scale, generator=[torch_generator(seed) for seed in SEEDS], output_type="np",
    ).images  # fmt: skip
    assert own.shape == (2, 32, 32, 3)
    assert np.abs(own - theirs * 255).max() <= 1


def test_the_result_depends_on_image_noise_level_and_seed(folder: Path) -> None:
    upscaler = load_upscaler(folder)
    plain = UpscaleSettings(num_inference_steps=2)
    one = upscale(upscaler, LOW, PROMPTS, SEEDS, plain)
    assert np.array_equal(one, upscale(upscaler, LOW, PROMPTS, SEEDS, plain))
    others = (
        upscale(upscaler, 255 - LOW, PROMPTS, SEEDS, plain),
        upscale(upscaler, LOW, PROMPTS, SEEDS, UpscaleSettings(num_inference_steps=2, noise_level=60)),
        upscale(upscaler, LOW, PROMPTS, [7, 8], plain),
    )
    assert not any(np.array_equal(one, other) for other in others)


def test_unequal_numbers_and_unknown_noise_levels_are_refused(folder: Path) -> None:
    upscaler = load_upscaler(folder)
    with pytest.raises(InputError, match="2 images, 1 prompts and 2 seeds"):
        upscale(upscaler, LOW, PROMPTS[:1], SEEDS, UpscaleSettings())
    with pytest.raises(InputError, match="a noise level of 61"):
        upscale(upscaler, LOW, PROMPTS, SEEDS, UpscaleSettings(noise_level=61))


def test_other_checkpoints_and_damaged_ones_are_refused(tmp_path: Path, folder: Path) -> None:
    base = make_tiny_stable_diffusion(tmp_path / "base")
    with pytest.raises(CheckpointError, match="lacks low_res_scheduler"):
        load_upscaler(base)
    with pytest.raises(CheckpointError, match="takes 11 channels"):
        load_components(folder)
    shutil.copytree(folder / "low_res_scheduler", base / "low_res_scheduler")
    with pytest.raises(CheckpointError, match="takes 8 channels, not 11"):
        load_upscaler(base)
    assert folder / "low_res_scheduler" in checkpoint_parts(folder)
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    weights = damaged / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="unet cannot be loaded"):
        load_upscaler(damaged)


def test_the_autoencoder_in_other_units_encodes_and_decodes_the_same(tmp_path: Path) -> None:
    base = load_components(make_tiny_stable_diffusion(tmp_path / "base"))
    images = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    other = load_components(tmp_path / "base")
    object.__setattr__(other, "vae", with_pipeline_scale(other.vae))
    assert other.vae.config.scaling_factor == PIPELINE_SCALING_FACTOR
    moments = [encode_images(components, images).chunk(2, dim=1) for components in (base, other)]
    factors = [components.vae.config.scaling_factor for components in (base, other)]
    means = [mean * factor for (mean, _), factor in zip(moments, factors, strict=True)]
    spreads = [(0.5 * log).exp() * factor for (_, log), factor in zip(moments, factors, strict=True)]
    torch.testing.assert_close(means[0], means[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(spreads[0], spreads[1], rtol=1e-4, atol=1e-5)
    assert np.abs(reconstruct(base, images).astype(int) - reconstruct(other, images)).max() <= 1


def test_an_upscaler_tells_its_sizes(folder: Path) -> None:
    upscaler = load_upscaler(folder)
    assert isinstance(upscaler, Upscaler)
    assert (upscaler.scale, upscaler.image_size_px, upscaler.max_noise_level) == (4, 32, 60)


def test_feature_maps_are_taken_at_the_images_own_size() -> None:
    maps = FeatureMaps()
    small, large = (maps(np.zeros((1, size, size, 3), dtype=np.uint8)) for size in (64, 128))
    assert [part.shape[2] for part in small] == [32, 16, 8, 4]
    assert [part.shape[2] for part in large] == [64, 32, 16, 8]
