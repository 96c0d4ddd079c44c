"""Sampling: images from prompts and seeds, equal to diffusers' own pipeline and without its per-image costs."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.errors import InputError
from tenfold.core.seeds import torch_generator
from tenfold.models.conditioning import (
    PromptEmbeddings,
    cut_prompts,
    embed_token_ids,
    encode_prompts,
    token_ids,
    unet_conditioning,
)
from tenfold.models.pipelines import Components

__all__ = [
    "SAMPLERS",
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

_SAMPLERS = {
    "ddim": ("DDIMScheduler", {}),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "euler": ("EulerDiscreteScheduler", {}),
}
SAMPLERS = tuple(_SAMPLERS)


@dataclass(frozen=True)
class SamplingSettings:
    """How latents are drawn; names and meanings are those of diffusers' StableDiffusionPipeline."""

    num_inference_steps: int = 20
    guidance_scale: float = 3.0
    guidance_rescale: float = 0.0
    """0.7 keeps guided images of zero-terminal-SNR checkpoints from over-exposure (Lin et al. 2024, section 3.4)."""
    sampler: str | None = None
    """One of SAMPLERS; None is the checkpoint's own scheduler."""
    negative_prompt: str = ""
    image_size_px: int | None = None
    """None is the size the checkpoint was trained for."""


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
    if embeddings is None:
        embeddings = encode_prompts(components, [*prompts, settings.negative_prompt])
    is_guided = settings.guidance_scale > 1
    told = [settings.negative_prompt] * len(prompts) + list(prompts) if is_guided else prompts
    conditioning = unet_conditioning(components, told, embeddings, image_size_px=settings.image_size_px)

    scheduler = make_scheduler(components, settings.sampler)
    scheduler.set_timesteps(settings.num_inference_steps, device=components.device)
    generators = [torch_generator(seed) for seed in seeds]
    latents: torch.Tensor = _initial_noise(components, generators, settings) * scheduler.init_noise_sigma
    options = step_options(scheduler, generators)
    for timestep in scheduler.timesteps:
        doubled = torch.cat([latents, latents]) if is_guided else latents
        output = components.unet(
            scheduler.scale_model_input(doubled, timestep), timestep, **conditioning, return_dict=False
        )[0]
        if is_guided:
            output = guided(output, settings)
        latents = scheduler.step(output, timestep, latents, **options, return_dict=False)[0]
    return latents


@torch.inference_mode()
def decode_latents(components: Components, latents: torch.Tensor) -> NDArray[np.uint8]:
    """(B, H, W, 3) sRGB pixels of (B, channels, h, w) latents, rounded as diffusers rounds them."""
    scaled = (latents / components.vae.config.scaling_factor).to(components.vae.dtype)
    images = components.vae.decode(scaled, return_dict=False)[0]
    images = (images / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu()
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


def make_scheduler(components: Components, sampler: str | None) -> Any:
    """A fresh scheduler: the checkpoint's own, or the named one with the checkpoint's noise schedule."""
    own = components.scheduler
    if sampler is None:
        return type(own).from_config(own.config)
    if sampler not in _SAMPLERS:
        raise InputError(
            f"unknown sampler {sampler!r}",
            expected=" or ".join(SAMPLERS),
            todo="Leave it out for the checkpoint's own.",
        )
    import diffusers

    name, options = _SAMPLERS[sampler]
    return getattr(diffusers, name).from_config(own.config, **options)


def _initial_noise(
    components: Components, generators: Sequence[torch.Generator], settings: SamplingSettings
) -> torch.Tensor:
    """(B, channels, h, w) standard normal, drawn on the CPU, each image from its own generator."""
    edge_px = settings.image_size_px or components.image_size_px
    if edge_px % components.vae_scale:
        raise InputError(f"images of {edge_px} px cannot be drawn", expected=f"a multiple of {components.vae_scale} px")
    edge = edge_px // components.vae_scale
    shape = (1, components.unet.config.in_channels, edge, edge)
    noise = [torch.randn(shape, generator=generator, dtype=components.dtype) for generator in generators]
    return torch.cat(noise).to(components.device)


def step_options(scheduler: Any, generators: list[torch.Generator]) -> dict[str, Any]:
    """What diffusers' pipeline hands to the scheduler's step, where that takes it."""
    accepted = inspect.signature(scheduler.step).parameters
    options = {"eta": 0.0, "generator": generators}
    return {name: value for name, value in options.items() if name in accepted}


def guided(output: torch.Tensor, settings: SamplingSettings) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans 2022), then the rescaling to the conditional output's spread."""
    unconditional, conditional = output.chunk(2)
    mixed = unconditional + settings.guidance_scale * (conditional - unconditional)
    if settings.guidance_rescale > 0:
        dims = tuple(range(1, mixed.ndim))
        rescaled = mixed * (conditional.std(dim=dims, keepdim=True) / mixed.std(dim=dims, keepdim=True))
        mixed = settings.guidance_rescale * rescaled + (1 - settings.guidance_rescale) * mixed
    return mixed
