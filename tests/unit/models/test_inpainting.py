"""Painting a part anew: equal to diffusers' pipeline, and what plain UNets keep of the known part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tenfold.core.errors import CheckpointError, InputError
from tenfold.core.seeds import torch_generator
from tenfold.models.inpainting import (
    KnownPart,
    Painting,
    Surroundings,
    encode_masked_images,
    inpaint_images,
    inpaint_latents,
    is_inpainting_unet,
    unet_input,
)
from tenfold.models.pipelines import Components, load_components
from tenfold.models.sampling import SamplingSettings, encode_images
from tests.tiny_inpainting import make_tiny_inpainting
from tests.tiny_upscaler import make_tiny_upscaler

PROMPTS = ["a photo of mole", "a photo of rash"]
SEEDS = [5, 6]
KINDS = ("text2img", "inpainting")
IMAGES = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
MASKS = np.zeros((2, 32, 32), dtype=np.bool_)
MASKS[0, 8:24, 4:20] = True
MASKS[1, 0:16, 16:32] = True


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_inpainting(tmp_path_factory.mktemp("inpainting") / "tiny")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_inpainting(tmp_path_factory.mktemp("plain") / "tiny", in_channels=4)


def _known(components: Components) -> KnownPart:
    factor = components.vae.config.scaling_factor
    latents = encode_images(components, IMAGES).chunk(2, dim=1)[0] * factor
    cells = torch.from_numpy(MASKS[:, ::4, ::4].copy())[:, None].float()
    if not is_inpainting_unet(components):
        return KnownPart(latents, cells, None)
    return KnownPart(latents, cells, encode_masked_images(components, IMAGES, MASKS).chunk(2, dim=1)[0] * factor)


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("kind", ["inpainting", "plain"])
def test_it_paints_what_plain_diffusers_paints(
    kind: str, guidance_scale: float, request: pytest.FixtureRequest
) -> None:
    from diffusers import StableDiffusionInpaintPipeline

    folder = request.getfixturevalue(kind)
    components = load_components(folder, kinds=KINDS)
    known = _known(components)
    settings = SamplingSettings(num_inference_steps=4, guidance_scale=guidance_scale)
    own = inpaint_latents(components, known, PROMPTS, SEEDS, settings)
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        PROMPTS,
        image=known.latents if kind == "plain" else torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255,
        mask_image=torch.from_numpy(MASKS)[:, None].float(),
        masked_image_latents=known.latents if known.masked_latents is None else known.masked_latents,
        strength=1.0,
        height=32,
        width=32,
        num_inference_steps=4,
        guidance_scale=guidance_scale,
        generator=[torch_generator(seed) for seed in SEEDS],
        output_type="latent",
    ).images
    assert torch.allclose(own, theirs, atol=1e-4)


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("sampler", [None, "euler"])
@pytest.mark.parametrize("kind", ["inpainting", "plain"])
def test_pixels_are_painted_as_plain_diffusers_paints_them(
    kind: str, sampler: str | None, strength: float, request: pytest.FixtureRequest
) -> None:
    from diffusers import EulerDiscreteScheduler, StableDiffusionInpaintPipeline

    folder = request.getfixturevalue(kind)
    components = load_components(folder, kinds=KINDS)
    settings = SamplingSettings(num_inference_steps=6, sampler=sampler, negative_prompt="hair")
    own = inpaint_images(components, (IMAGES, MASKS), PROMPTS, SEEDS, settings, Painting(strength=strength))
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(folder, local_files_only=True)
    if sampler == "euler":
        pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        PROMPTS,
        negative_prompt=["hair"] * 2,
        image=torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255,
        mask_image=torch.from_numpy(MASKS)[:, None].float(),
        strength=strength,
        height=32,
        width=32,
        num_inference_steps=6,
        guidance_scale=3.0,
        generator=[torch_generator(seed) for seed in SEEDS],
        output_type="latent",
    ).images
    assert torch.allclose(own, theirs, atol=1e-3)


@pytest.mark.parametrize("kind", ["inpainting", "plain"])
def test_companions_change_nothing_but_last_bits(kind: str, request: pytest.FixtureRequest) -> None:
    components = load_components(request.getfixturevalue(kind), kinds=KINDS)
    settings, painting = SamplingSettings(num_inference_steps=4), Painting("clean", 0.75)
    both = inpaint_images(components, (IMAGES, MASKS), PROMPTS, SEEDS, settings, painting)
    alone = inpaint_images(components, (IMAGES[1:], MASKS[1:]), PROMPTS[1:], SEEDS[1:], settings, painting)
    assert torch.allclose(both[1:], alone, atol=1e-4)


@pytest.mark.parametrize("surroundings", ["clean", "noisy"])
def test_plain_unets_keep_what_is_known(plain: Path, surroundings: Surroundings) -> None:
    components = load_components(plain)
    known = _known(components)
    settings = SamplingSettings(num_inference_steps=3)
    painted = inpaint_latents(components, known, PROMPTS, SEEDS, settings, surroundings=surroundings)
    outside = known.masks.expand_as(painted) == 0
    assert torch.equal(painted[outside], known.latents[outside])
    assert not torch.isclose(painted[~outside], known.latents[~outside]).any(dim=0).all()


def test_clean_surroundings_change_what_is_painted(plain: Path) -> None:
    components, settings = load_components(plain), SamplingSettings(num_inference_steps=3)
    known = _known(components)
    noisy = inpaint_latents(components, known, PROMPTS, SEEDS, settings)
    clean = inpaint_latents(components, known, PROMPTS, SEEDS, settings, surroundings="clean")
    assert not torch.allclose(noisy, clean, atol=1e-3)
    seen = unet_input(torch.zeros_like(known.latents), known, "clean")
    assert torch.equal(seen, (1 - known.masks) * known.latents)


def test_masked_pixels_are_gray_to_the_autoencoder(inpainting: Path) -> None:
    components = load_components(inpainting, kinds=KINDS)
    other = IMAGES.copy()
    other[MASKS] = 255 - other[MASKS]
    assert torch.equal(encode_masked_images(components, IMAGES, MASKS), encode_masked_images(components, other, MASKS))
    nothing = encode_masked_images(components, IMAGES, np.zeros_like(MASKS))
    assert torch.allclose(nothing, encode_images(components, IMAGES), atol=1e-5)


def test_other_kinds_of_checkpoints_are_refused(tmp_path: Path, inpainting: Path, plain: Path) -> None:
    with pytest.raises(CheckpointError, match="takes 9 channels where the autoencoder has 4"):
        load_components(inpainting)
    with pytest.raises(CheckpointError, match="takes 4 channels"):
        load_components(plain, kinds=("inpainting",))
    upscaler = make_tiny_upscaler(tmp_path / "upscaler")
    with pytest.raises(CheckpointError, match="takes 11 channels") as caught:
        load_components(upscaler, kinds=KINDS)
    assert caught.value.expected.startswith("a text-to-image or inpainting checkpoint")


def test_unequal_numbers_are_refused(plain: Path) -> None:
    components = load_components(plain)
    with pytest.raises(InputError, match="2 images, 1 prompts and 2 seeds"):
        inpaint_latents(components, _known(components), PROMPTS[:1], SEEDS, SamplingSettings())
