"""Inpainting: a part of an image is painted anew, by inpainting UNets as diffusers does it and by plain ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.errors import InputError
from tenfold.core.seeds import torch_generator
from tenfold.models.conditioning import PromptEmbeddings, encode_prompts, unet_conditioning
from tenfold.models.pipelines import Components
from tenfold.models.sampling import SamplingSettings, guided, make_scheduler, step_options

Surroundings = Literal["clean", "noisy"]
"""How a plain UNet sees what is known: clean at all noise levels, or as noisy as what is painted (diffusers' way)."""


@dataclass(frozen=True)
class KnownPart:
    """What is given of some images.

    An inpainting UNet reads `masks` and `masked_latents`; a plain one is shown `latents` outside the masks.
    """

    latents: torch.Tensor
    """(B, C, h, w) scaled, of the whole images."""
    masks: torch.Tensor
    """(B, 1, h, w) float, 1 where it is painted anew."""
    masked_latents: torch.Tensor | None
    """(B, C, h, w) scaled, of the images with their masked pixels gray; None for plain UNets."""


def is_inpainting_unet(components: Components) -> bool:
    """Whether the UNet takes noisy latents, a mask and the masked image's latents (9 channels in Stable Diffusion)."""
    return int(components.unet.config.in_channels) == 2 * int(components.vae.config.latent_channels) + 1


@torch.no_grad()
def encode_masked_images(
    components: Components, images: NDArray[np.uint8], masks: NDArray[np.bool_]
) -> torch.Tensor:
    """(B, 2 x channels, h, w) unscaled moments of (B, H, W, 3) pixels, gray where the (B, H, W) masks are True."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    pixels = pixels * torch.from_numpy(~masks)[:, None]
    moments: torch.Tensor = components.vae.encode(
        pixels.to(components.device, components.vae.dtype)
    ).latent_dist.parameters
    return moments


@torch.inference_mode()
def inpaint_latents(
    components: Components,
    known: KnownPart,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings,
    *,
    surroundings: Surroundings = "noisy",
    embeddings: PromptEmbeddings | None = None,
) -> torch.Tensor:
    """Paint the masked part of each image anew, from pure noise, as one batch.

    Equal to ``StableDiffusionInpaintPipeline`` at strength 1 for inpainting UNets, which also redraw what is known, and
    for plain ones whose surroundings are noisy; plain UNets keep the known latents as they are.

    Args:
        surroundings: how a plain UNet sees what is known: as it was trained. Inpainting UNets do not ask.

    Returns:
        (B, C, h, w) latents, as `decode_latents` takes them.
    """
    if not len(prompts) == len(seeds) == len(known.latents):
        raise InputError(
            f"{len(known.latents)} images, {len(prompts)} prompts and {len(seeds)} seeds", expected="as many of each"
        )
    if embeddings is None:
        embeddings = encode_prompts(components, [*prompts, settings.negative_prompt])
    is_guided = settings.guidance_scale > 1
    told = [settings.negative_prompt] * len(prompts) + list(prompts) if is_guided else prompts
    conditioning = unet_conditioning(components, told, embeddings)
    scheduler = make_scheduler(components, settings.sampler)
    scheduler.set_timesteps(settings.num_inference_steps, device=components.device)
    generators = [torch_generator(seed) for seed in seeds]
    noise = torch.cat([torch.randn((1, *known.latents.shape[1:]), generator=generator) for generator in generators])
    noise = noise.to(known.latents)
    latents: torch.Tensor = noise * scheduler.init_noise_sigma
    options = step_options(scheduler, generators)
    is_plain = not is_inpainting_unet(components)
    for number, timestep in enumerate(scheduler.timesteps):
        seen = unet_input(scheduler.scale_model_input(latents, timestep), known, surroundings)
        seen = torch.cat([seen, seen]) if is_guided else seen
        output = components.unet(seen, timestep, **conditioning, return_dict=False)[0]
        if is_guided:
            output = guided(output, settings)
        latents = scheduler.step(output, timestep, latents, **options, return_dict=False)[0]
        if is_plain:
            is_last = number + 1 == len(scheduler.timesteps)
            around = known.latents
            if surroundings == "noisy" and not is_last:
                around = scheduler.add_noise(known.latents, noise, scheduler.timesteps[number + 1 : number + 2])
            latents = known.masks * latents + (1 - known.masks) * around
    return latents


def unet_input(noisy: torch.Tensor, known: KnownPart, surroundings: Surroundings) -> torch.Tensor:
    """What the UNet is shown of (B, C, h, w) noisy latents: the same in training and in sampling."""
    if known.masked_latents is not None:
        return torch.cat([noisy, known.masks, known.masked_latents], dim=1)
    if surroundings == "clean":
        return known.masks * noisy + (1 - known.masks) * known.latents
    return noisy
