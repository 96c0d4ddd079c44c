"""Inpainting: a part of an image is painted anew, by inpainting UNets as diffusers does it and by plain ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.errors import InputError
from tenfold.data.mask_arrays import cells_sampled, cells_touched
from tenfold.models.denoising import Course, begin, denoise, draw_noise, drawn_latents, noised
from tenfold.models.pipelines import Components
from tenfold.models.sampling import SamplingSettings, encode_images

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
def encode_masked_images(components: Components, images: NDArray[np.uint8], masks: NDArray[np.bool_]) -> torch.Tensor:
    """(B, 2 x channels, h, w) unscaled moments of (B, H, W, 3) pixels, gray where the (B, H, W) masks are True."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    pixels = pixels * torch.from_numpy(~masks)[:, None]
    moments: torch.Tensor = components.vae.encode(
        pixels.to(components.device, components.vae.dtype)
    ).latent_dist.parameters
    return moments


def known_part(
    components: Components, latents: torch.Tensor, images: NDArray[np.uint8] | None, masks: NDArray[np.bool_]
) -> KnownPart:
    """What is known of (B, H, W, 3) images with (B, C, h, w) scaled latents where (B, H, W) masks hide a part.

    Masked images are encoded by the mean of their latents: no noise is drawn. `images` are None for plain UNets.
    """
    cells = _on_grid(components, masks, latents)
    if not is_inpainting_unet(components):
        return KnownPart(latents, cells, None)
    assert images is not None
    means = encode_masked_images(components, images, masks).chunk(2, dim=1)[0]
    return KnownPart(latents, cells, (means * float(components.vae.config.scaling_factor)).to(latents))


@dataclass(frozen=True)
class Painting:
    """How a part is painted anew.

    surroundings: how a plain UNet sees what is known: as it was trained. Inpainting UNets do not ask.
    strength: share of the steps that are run, above 0; at 1 the painting starts from pure noise.
    """

    surroundings: Surroundings = "noisy"
    strength: float = 1.0


@torch.inference_mode()
def inpaint_latents(
    components: Components,
    known: KnownPart,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings,
    *,
    surroundings: Surroundings = "noisy",
) -> torch.Tensor:
    """Paint the masked part of each image anew, from pure noise, as one batch.

    Equal to ``StableDiffusionInpaintPipeline`` at strength 1 for inpainting UNets, which also redraw what is known, and
    for plain ones whose surroundings are noisy; plain UNets keep the known latents as they are.

    Returns:
        (B, C, h, w) latents, as `decode_latents` takes them.
    """
    _check_numbers(len(known.latents), prompts, seeds)
    course = begin(components, seeds, settings, 1.0)
    noise = draw_noise(course, known.latents.shape[1:], components)
    return _painted(components, known, noise, course, prompts, Painting(surroundings))


@torch.inference_mode()
def inpaint_images(
    components: Components,
    holed: tuple[NDArray[np.uint8], NDArray[np.bool_]],
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings,
    painting: Painting,
) -> torch.Tensor:
    """`inpaint_latents` of pixels: the images (B, H, W, 3) sRGB and what is painted anew of them, (B, H, W).

    Equal to ``StableDiffusionInpaintPipeline(prompts, images, masks, strength=...)`` with one CPU generator per seed:
    latents are drawn from what the autoencoder gives, not their mean. Of a plain UNet's masks every cell of the
    latents' grid that is touched is painted, so that equality holds for masks along the grid.

    Raises:
        InputError: numbers differ, or the strength leaves no step.
    """
    images, masks = holed
    _check_numbers(len(images), prompts, seeds)
    course = begin(components, seeds, settings, painting.strength)
    is_inpainting = is_inpainting_unet(components)
    moments = encode_images(components, images)
    # In diffusers' order, so that each generator's draws mean the same: image, noise, masked image.
    latents = moments.chunk(2, dim=1)[0].to(components.dtype)
    if painting.strength < 1 or not is_inpainting:
        latents = drawn_latents(components, moments, course)
    noise = draw_noise(course, latents.shape[1:], components)
    masked = None
    if is_inpainting:
        masked = drawn_latents(components, encode_masked_images(components, images, masks), course)
    known = KnownPart(latents, _on_grid(components, masks, latents), masked)
    return _painted(components, known, noise, course, prompts, painting)


def unet_input(noisy: torch.Tensor, known: KnownPart, surroundings: Surroundings) -> torch.Tensor:
    """What the UNet is shown of (B, C, h, w) noisy latents: the same in training and in sampling."""
    if known.masked_latents is not None:
        return torch.cat([noisy, known.masks, known.masked_latents], dim=1)
    if surroundings == "clean":
        return known.masks * noisy + (1 - known.masks) * known.latents
    return noisy


def _painted(
    components: Components,
    known: KnownPart,
    noise: torch.Tensor,
    course: Course,
    prompts: Sequence[str],
    painting: Painting,
) -> torch.Tensor:
    def see(scaled: torch.Tensor) -> torch.Tensor:
        return unet_input(scaled, known, painting.surroundings)

    def mend(latents: torch.Tensor, number: int) -> torch.Tensor:
        around = known.latents
        if painting.surroundings == "noisy" and number + 1 < len(course.timesteps):
            around = course.scheduler.add_noise(around, noise, course.timesteps[number + 1 : number + 2])
        return known.masks * latents + (1 - known.masks) * around

    is_pure = painting.strength == 1
    start = noise * course.scheduler.init_noise_sigma if is_pure else noised(course, known.latents, noise)
    is_plain = known.masked_latents is None
    return denoise(components, start, course, prompts, see=see, mend=mend if is_plain else None)


def _on_grid(components: Components, masks: NDArray[np.bool_], like: torch.Tensor) -> torch.Tensor:
    seen = cells_sampled if is_inpainting_unet(components) else cells_touched
    return torch.from_numpy(np.ascontiguousarray(seen(masks, components.vae_scale)))[:, None].to(like)


def _check_numbers(count: int, prompts: Sequence[str], seeds: Sequence[int]) -> None:
    if not len(prompts) == len(seeds) == count:
        raise InputError(f"{count} images, {len(prompts)} prompts and {len(seeds)} seeds", expected="as many of each")
