"""Text-to-image: pixels from prompts and seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tenfold.generation.requests import ImageRequest
from tenfold.models.pipelines import Components
from tenfold.models.sampling import SamplingSettings, cut_prompts, decode_latents, sample_latents


def draw(components: Components, requests: Sequence[ImageRequest]) -> NDArray[np.uint8]:
    """(B, H, W, 3) sRGB of the requests, which share all but label, prompt, skin type and seed."""
    first = requests[0]
    settings = SamplingSettings(
        num_inference_steps=first.num_inference_steps or 1,
        guidance_scale=first.guidance_scale or 1.0,
        guidance_rescale=first.guidance_rescale or 0.0,
        sampler=first.sampler,
        negative_prompt=first.negative_prompt or "",
        image_size_px=first.image_size_px,
    )
    prompts = [request.prompt or "" for request in requests]
    latents = sample_latents(components, prompts, [request.seed or 0 for request in requests], settings)
    return decode_latents(components, latents)


def cut(components: Components, requests: Sequence[ImageRequest]) -> list[str]:
    """Prompts whose ends the model cannot see."""
    return cut_prompts(components, [request.prompt or "" for request in requests])
