"""Sampling: images from prompts and seeds, equal to diffusers' own pipeline and without its per-image costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.errors import InputError
from tenfold.models.conditioning import (
    PromptEmbeddings,
    cut_prompts,
    embed_token_ids,
    encode_prompts,
    token_ids,
    unet_conditioning,
)
from tenfold.models.denoising import begin, denoise, draw_noise
from tenfold.models.finiteness import finite
from tenfold.models.guidance import GuidedUnet, SamplingSettings, guided
from tenfold.models.pipelines import Components
from tenfold.models.samplers import SAMPLERS, make_scheduler, step_options

__all__ = [
    "SAMPLERS",
    "GuidedUnet",
    "SamplingSettings",
    "cut_prompts",
    "decode_latents",
    "embed_token_ids",
    "encode_images",
    "encode_prompts",
    "guided",
    "make_scheduler",
    "reconstruct",
    "sample_latents",
    "step_options",
    "token_ids",
    "unet_conditioning",
]


@torch.inference_mode()
def sample_latents(
    components: Components,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings,
    *,
    embeddings: PromptEmbeddings | None = None,
) -> torch.Tensor:
    """Draw one image's latents for each prompt and seed, as one batch.

    Equal to ``StableDiffusionPipeline(prompts, generator=[one CPU generator per seed])`` for the same batch, and to
    StableDiffusionXLPipeline where the checkpoint is SDXL's.

    Args:
        embeddings: what `encode_prompts` gave for all prompts and the negative prompt; None encodes them here.

    Returns:
        (B, channels, h, w) latents in the components' dtype, as `decode_latents` takes them.
    """
    if len(prompts) != len(seeds):
        raise InputError(f"{len(prompts)} prompts and {len(seeds)} seeds", expected="one seed for each prompt")
    edge_px = settings.image_size_px or components.image_size_px
    if edge_px % components.vae_scale:
        raise InputError(f"images of {edge_px} px cannot be drawn", expected=f"a multiple of {components.vae_scale} px")
    edge = edge_px // components.vae_scale
    course = begin(components, seeds, settings, strength=1)
    noise = draw_noise(course, (components.unet.config.in_channels, edge, edge), components)
    latents = noise * course.scheduler.init_noise_sigma
    return denoise(components, latents, course, prompts, embeddings=embeddings)


@torch.inference_mode()
def decode_latents(components: Components, latents: torch.Tensor) -> NDArray[np.uint8]:
    """(B, H, W, 3) sRGB pixels of (B, channels, h, w) latents, rounded as diffusers rounds them."""
    scaled = (latents / components.vae.config.scaling_factor).to(components.vae.dtype)
    images = components.vae.decode(scaled, return_dict=False)[0]
    images = (finite(images) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu()
    pixels: NDArray[np.uint8] = (images * 255).round().to(torch.uint8).numpy()
    return pixels


@torch.no_grad()
def encode_images(components: Components, images: NDArray[np.uint8]) -> torch.Tensor:
    """(B, 2 x channels, h, w) unscaled moments (mean, then log variance) of (B, H, W, 3) pixels."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(components.device, components.vae.dtype) / 127.5 - 1
    moments: torch.Tensor = components.vae.encode(pixels).latent_dist.parameters
    return moments


@torch.inference_mode()
def reconstruct(components: Components, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(B, H, W, 3) pixels through the autoencoder and back, by the mean of its latents: no noise is drawn."""
    means, _ = encode_images(components, images).chunk(2, dim=1)
    return decode_latents(components, means * components.vae.config.scaling_factor)
