"""Upscale: a pass after any strategy, in which an upscaler enlarges what was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tenfold.core.errors import InputError
from tenfold.core.seeds import derive_seed
from tenfold.generation.requests import ImageRequest
from tenfold.generation.strategies.asking import prompts_of
from tenfold.generation.strategies.result import Drawing
from tenfold.models.upscaling import Upscaler, UpscaleSettings, upscale

STEPS = 20
"""Where a request names none."""


def enlarge(upscaler: Upscaler | None, requests: Sequence[ImageRequest], drawing: Drawing) -> Drawing:
    """The drawing with its images, and masks where it has any, `upscaler.scale` times as large.

    Each image has its own seed for it: `upscale_seed`, or one derived from the first pass's.
    """
    if upscaler is None:
        raise InputError(f"the upscaler {requests[0].upscaler} is asked for and was not loaded")
    seeds = [
        derive_seed(request.seed or 0, "upscale") if request.upscale_seed is None else request.upscale_seed
        for request in requests
    ]
    settings = UpscaleSettings(num_inference_steps=requests[0].upscale_steps or STEPS)
    images = upscale(upscaler, drawing.images, prompts_of(requests), seeds, settings)
    masks = drawing.masks
    if masks is not None:
        masks = masks.repeat(upscaler.scale, axis=1).repeat(upscaler.scale, axis=2)
    return replace(drawing, images=images, masks=masks)
