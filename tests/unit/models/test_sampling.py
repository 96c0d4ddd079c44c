"""Sampling equals diffusers' own pipeline for the same seeds, and keys noise by seed alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenfold.core.errors import InputError
from tenfold.models.pipelines import Components, load_components
from tenfold.models.sampling import (
    SamplingSettings,
    cut_prompts,
    decode_latents,
    encode_images,
    encode_prompts,
    reconstruct,
    sample_latents,
    unet_conditioning,
)
from tests.tiny_models import make_tiny_sdxl, make_tiny_stable_diffusion

PROMPTS = ["a photo of ohwx rash", "a mole", "a photo of ohwx rash"]
SEEDS = [5, 2**63 - 1, 7]
SCHEDULERS = {
    None: "DDIMScheduler",
    "ddim": "DDIMScheduler",
    "dpmsolver++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "pndm": "PNDMScheduler",
}


@pytest.fixture(scope="module", params=["v_prediction", "epsilon"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return make_tiny_stable_diffusion(folder / "tiny", prediction_type=request.param)


@pytest.fixture(scope="module")
def components(tiny: Path) -> Components:
    return load_components(tiny)


def _by_diffusers(
    tiny: Path, settings: SamplingSettings, scheduler: str, callback: Callable[..., Any] | None = None
) -> Any:
    import diffusers

    options = {"skip_prk_steps": True} if scheduler == "PNDMScheduler" else {}

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(tiny, local_files_only=True)
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config, **options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        PROMPTS,
        negative_prompt=[settings.negative_prompt] * len(PROMPTS),
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        guidance_rescale=settings.guidance_rescale,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type="pt",
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
    ).images


@pytest.mark.parametrize("sampler", list(SCHEDULERS))
def test_equals_the_diffusers_pipeline_for_each_sampler(
    tiny: Path, components: Components, sampler: str | None
) -> None:
    settings = SamplingSettings(num_inference_steps=5, guidance_scale=3.0, sampler=sampler)
    if _is_refused(components, sampler):
        with pytest.raises(InputError, match="ends in pure noise"):
            sample_latents(components, PROMPTS, SEEDS, settings)
        return
    ours = sample_latents(components, PROMPTS, SEEDS, settings)
    theirs = _by_diffusers(tiny, settings, SCHEDULERS[sampler])
    with torch.no_grad():
        decoded = components.vae.decode(ours / components.vae.config.scaling_factor).sample
    assert torch.allclose((decoded / 2 + 0.5).clamp(0, 1), theirs, atol=1e-4)
    pixels = (theirs.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    assert np.abs(decode_latents(components, ours).astype(int) - pixels).max() <= 1
    assert pixels.std() > 10


def _is_refused(components: Components, sampler: str | None) -> bool:
    """PNDM knows no schedule of zero terminal signal-to-noise ratio; all others follow it."""
    return sampler == "pndm" and bool(components.scheduler.config.rescale_betas_zero_snr)


@pytest.mark.parametrize("sampler", list(SCHEDULERS))
def test_one_step_draws_a_picture_by_each_sampler(components: Components, sampler: str | None) -> None:
    if not _is_refused(components, sampler):
        latents = sample_latents(components, PROMPTS, SEEDS, SamplingSettings(1, sampler=sampler))
        assert torch.isfinite(latents).all() and latents.std() > 0.1


@pytest.mark.parametrize("sampler", ["ddim", "dpmsolver++"])
def test_guidance_in_an_interval_equals_diffusers_with_guidance_switched_off(
    tiny: Path, components: Components, sampler: str
) -> None:
    def after_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 1:
            pipeline._guidance_scale = 0.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[-1]
        return tensors

    settings = SamplingSettings(5, 3.0, sampler=sampler, guidance_interval=(0.0, 0.4))
    pixels = decode_latents(components, sample_latents(components, PROMPTS, SEEDS, settings))
    theirs = _by_diffusers(tiny, settings, SCHEDULERS[sampler], after_step)
    assert np.abs(pixels - (theirs.permute(0, 2, 3, 1) * 255).round().numpy()).max() <= 1


def test_steps_outside_the_interval_ask_the_unet_once(components: Components) -> None:
    seen: list[int] = []
    handle = components.unet.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    try:
        settings = SamplingSettings(5, 3.0, guidance_interval=(0.2, 0.6))
        narrow = sample_latents(components, PROMPTS, SEEDS, settings)
    finally:
        handle.remove()
    assert seen == [3, 6, 6, 3, 3]
    whole = sample_latents(components, PROMPTS, SEEDS, SamplingSettings(5, 3.0))
    assert torch.equal(
        whole, sample_latents(components, PROMPTS, SEEDS, SamplingSettings(5, 3.0, guidance_interval=(0.0, 1.0)))
    )
    assert not torch.allclose(whole, narrow, atol=1e-3)


@pytest.mark.parametrize("options", [{"guidance_scale": 1.0}, {"guidance_rescale": 0.7}, {"negative_prompt": "hair"}])
def test_equals_the_diffusers_pipeline_for_each_option(
    tiny: Path, components: Components, options: dict[str, Any]
) -> None:
    settings = SamplingSettings(num_inference_steps=3, **options)
    pixels = decode_latents(components, sample_latents(components, PROMPTS, SEEDS, settings))
    theirs = (_by_diffusers(tiny, settings, "DDIMScheduler").permute(0, 2, 3, 1) * 255).round().numpy()
    assert np.abs(pixels - theirs).max() <= 1


@pytest.fixture(scope="module")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_sdxl(tmp_path_factory.mktemp("sdxl") / "tiny")


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("negative_prompt", [None, "hair"])
def test_sdxl_equals_its_diffusers_pipeline(
    tiny_sdxl: Path, guidance_scale: float, negative_prompt: str | None
) -> None:
    import diffusers

    components = load_components(tiny_sdxl)
    settings = SamplingSettings(3, guidance_scale, negative_prompt=negative_prompt or "")
    ours = sample_latents(components, PROMPTS, SEEDS, settings)
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        PROMPTS,
        negative_prompt=None if negative_prompt is None else [negative_prompt] * len(PROMPTS),
        num_inference_steps=3,
        guidance_scale=guidance_scale,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type="pt",
    ).images
    pixels = (theirs.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    assert np.abs(decode_latents(components, ours).astype(int) - pixels).max() <= 1
    assert pixels.std() > 10


def test_sdxl_is_told_pooled_text_and_sizes(tiny_sdxl: Path) -> None:
    components = load_components(tiny_sdxl)
    told = unet_conditioning(components, ["a mole", "", "a mole"])
    given = unet_conditioning(components, ["a mole", "", "a mole"], encode_prompts(components, ["", "a mole"]))
    assert told["encoder_hidden_states"].shape == (3, 40, 48)
    added = told["added_cond_kwargs"]
    assert added["text_embeds"].shape == (3, 20)
    assert added["time_ids"].tolist() == [[32, 32, 0, 0, 32, 32]] * 3
    assert not told["encoder_hidden_states"][1].any() and not added["text_embeds"][1].any()
    assert torch.allclose(given["encoder_hidden_states"], told["encoder_hidden_states"], atol=1e-5)
    assert torch.allclose(given["added_cond_kwargs"]["text_embeds"], added["text_embeds"], atol=1e-5)
    larger = unet_conditioning(components, ["a mole"], image_size_px=64)
    assert larger["added_cond_kwargs"]["time_ids"].tolist() == [[64, 64, 0, 0, 64, 64]]


def test_sdxl_in_half_precision_keeps_its_autoencoder_whole(tiny_sdxl: Path) -> None:
    components = load_components(tiny_sdxl, dtype=torch.float16)
    assert (components.dtype, components.vae.dtype) == (torch.float16, torch.float32)
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    assert reconstruct(components, images).shape == (1, 32, 32, 3)
    half = torch.zeros((1, 8, 8, 8), dtype=torch.float16)
    assert decode_latents(components, half).shape == (1, 32, 32, 3)
    assert load_components(tiny_sdxl, dtype=torch.bfloat16).vae.dtype == torch.bfloat16


@pytest.mark.parametrize("sampler", [None, "euler_a"])
def test_an_image_keeps_its_noise_in_another_batch(components: Components, sampler: str | None) -> None:
    settings = SamplingSettings(num_inference_steps=3, sampler=sampler)
    together = sample_latents(components, PROMPTS, SEEDS, settings)
    alone = sample_latents(components, PROMPTS[1:2], SEEDS[1:2], settings)
    assert torch.allclose(together[1:2], alone, atol=1e-4)
    again = sample_latents(components, PROMPTS, SEEDS, settings)
    assert torch.equal(together, again)


def test_unique_prompts_are_encoded_once(components: Components) -> None:
    embeddings = encode_prompts(components, PROMPTS)
    assert list(embeddings) == ["a photo of ohwx rash", "a mole"]
    given = sample_latents(
        components, PROMPTS, SEEDS, SamplingSettings(2), embeddings=encode_prompts(components, [*PROMPTS, ""])
    )
    assert torch.equal(given, sample_latents(components, PROMPTS, SEEDS, SamplingSettings(2)))


def test_long_prompts_are_told(components: Components) -> None:
    long = "many words " * 10
    assert cut_prompts(components, ["short", long, long]) == [long]


def test_another_size_is_drawn_on_request(components: Components) -> None:
    latents = sample_latents(components, ["a"], [1], SamplingSettings(2, image_size_px=16))
    assert decode_latents(components, latents).shape == (1, 16, 16, 3)
    with pytest.raises(InputError, match="multiple of 4"):
        sample_latents(components, ["a"], [1], SamplingSettings(2, image_size_px=18))


def test_bad_requests_are_input_errors(components: Components) -> None:
    with pytest.raises(InputError, match="one seed for each prompt"):
        sample_latents(components, ["a", "b"], [1], SamplingSettings(2))
    with pytest.raises(InputError, match="unknown sampler"):
        sample_latents(components, ["a"], [1], SamplingSettings(2, sampler="plms"))


def test_reconstruction_uses_the_mean_of_the_latents(components: Components) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    moments = encode_images(components, images)
    assert moments.shape == (2, 16, 8, 8)
    with torch.no_grad():
        decoded = components.vae.decode(moments[:, :8]).sample
    expected = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()
    reconstructed = reconstruct(components, images)
    assert np.abs(reconstructed - expected).max() <= 1
    assert np.array_equal(reconstructed, reconstruct(components, images))
