"""Image-to-image: a picture is covered with noise up to some level and drawn again, equal to diffusers' pipeline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.errors import InputError
from tenfold.models.denoising import begin, denoise, draw_noise, drawn_latents, noised
from tenfold.models.pipelines import Components
from tenfold.models.sampling import SamplingSettings, encode_images


@torch.inference_mode()
def redraw_latents(
    components: Components,
    images: NDArray[np.uint8],
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings,
    *,
    strength: float,
) -> torch.Tensor:
    """Draw (B, H, W, 3) sRGB images again from the noise level of `strength`, as one batch.

    Equal to ``StableDiffusionImg2ImgPipeline(prompts, images, generator=[one CPU generator per seed])``, and to
    StableDiffusionXLImg2ImgPipeline where the checkpoint is SDXL's.

    Args:
        strength: share of the steps that are run, above 0; at 1 what is left of the image is what the schedule leaves
            at its highest noise level.

    Returns:
        (B, channels, h, w) latents, as `decode_latents` takes them.

    Raises:
        InputError: numbers differ, or the strength leaves no step.
    """
    if not len(prompts) == len(seeds) == len(images):
        raise InputError(
            f"{len(images)} images, {len(prompts)} prompts and {len(seeds)} seeds", expected="as many of each"
        )
    course = begin(components, seeds, settings, strength)
    latents = drawn_latents(components, encode_images(components, images), course)
    noise = draw_noise(course, latents.shape[1:], components)
    return denoise(components, noised(course, latents, noise), course, prompts)
