"""Image-to-image equals diffusers' own pipeline, and a strength that leaves no step is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tenfold.core.errors import InputError
from tenfold.core.seeds import torch_generator
from tenfold.models.denoising import steps_run
from tenfold.models.img2img import redraw_latents
from tenfold.models.pipelines import Components, load_components
from tenfold.models.sampling import SamplingSettings, decode_latents
from tests.tiny_models import make_tiny_sdxl, make_tiny_stable_diffusion

PROMPTS = ["a photo of mole", "a photo of rash"]
SEEDS = [5, 6]
IMAGES = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["v_prediction", "epsilon"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return make_tiny_stable_diffusion(folder / "tiny", prediction_type=request.param)


@pytest.fixture(scope="module")
def components(tiny: Path) -> Components:
    return load_components(tiny)


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("strength", [0.3, 0.8, 1.0])
def test_it_draws_what_plain_diffusers_draws(
    tiny: Path, components: Components, strength: float, guidance_scale: float
) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    settings = SamplingSettings(num_inference_steps=6, guidance_scale=guidance_scale, negative_prompt="hair")
    latents = redraw_latents(components, IMAGES, PROMPTS, SEEDS, settings, strength=strength)
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(tiny, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        PROMPTS,
        negative_prompt=["hair"] * 2,
        image=torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255,
        strength=strength,
        num_inference_steps=6,
        guidance_scale=guidance_scale,
        generator=[torch_generator(seed) for seed in SEEDS],
        output_type="pt",
    ).images
    pixels = (theirs.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    assert np.abs(decode_latents(components, latents).astype(int) - pixels).max() <= 1
    assert pixels.std() > 10


def test_sdxl_equals_its_diffusers_pipeline(tmp_path: Path) -> None:
    from diffusers import StableDiffusionXLImg2ImgPipeline

    folder = make_tiny_sdxl(tmp_path / "tiny")
    components = load_components(folder)
    latents = redraw_latents(components, IMAGES, PROMPTS, SEEDS, SamplingSettings(5), strength=0.6)
    pipeline = StableDiffusionXLImg2ImgPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        PROMPTS,
        image=torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255,
        strength=0.6,
        num_inference_steps=5,
        guidance_scale=3.0,
        generator=[torch_generator(seed) for seed in SEEDS],
        output_type="latent",
    ).images
    assert torch.allclose(latents, theirs, atol=1e-3)


def test_companions_change_nothing_but_last_bits(components: Components) -> None:
    settings = SamplingSettings(num_inference_steps=4)
    both = redraw_latents(components, IMAGES, PROMPTS, SEEDS, settings, strength=0.5)
    alone = redraw_latents(components, IMAGES[1:], PROMPTS[1:], SEEDS[1:], settings, strength=0.5)
    assert torch.allclose(both[1:], alone, atol=1e-4)


def test_steps_are_counted_as_diffusers_counts_them() -> None:
    assert [steps_run(50, strength) for strength in (0.02, 0.5, 0.97, 1.0)] == [1, 25, 48, 50]
    assert steps_run(1, 1.0) == 1


@pytest.mark.parametrize(("steps", "strength"), [(20, 0.0), (20, 0.04), (1, 0.9)])
def test_a_strength_that_leaves_no_step_is_refused(components: Components, steps: int, strength: float) -> None:
    with pytest.raises(InputError, match="leaves none of") as caught:
        redraw_latents(components, IMAGES, PROMPTS, SEEDS, SamplingSettings(steps), strength=strength)
    assert caught.value.expected == f"at least {1 / steps:g}"


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_strengths_beyond_their_range_are_refused(strength: float) -> None:
    with pytest.raises(InputError, match=f"a strength of {strength:g}"):
        steps_run(20, strength)


def test_unequal_numbers_are_refused(components: Components) -> None:
    with pytest.raises(InputError, match="2 images, 1 prompts and 2 seeds"):
        redraw_latents(components, IMAGES, PROMPTS[:1], SEEDS, SamplingSettings(), strength=0.5)
