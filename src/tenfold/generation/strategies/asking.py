"""Asking: what the requests of one batch ask the samplers for."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.generation.requests import ImageRequest
from tenfold.models.pipelines import Components
from tenfold.models.sampling import SamplingSettings, cut_prompts


def sampling_settings(request: ImageRequest) -> SamplingSettings:
    """How the request's batch is sampled."""
    return SamplingSettings(
        num_inference_steps=request.num_inference_steps or 1,
        guidance_scale=request.guidance_scale or 1.0,
        guidance_rescale=request.guidance_rescale or 0.0,
        sampler=request.sampler,
        negative_prompt=request.negative_prompt or "",
        image_size_px=request.image_size_px,
        guidance_interval=request.guidance_interval,
    )


def prompts_of(requests: Sequence[ImageRequest]) -> list[str]:
    """The requests' prompts; empty where there is none."""
    return [request.prompt or "" for request in requests]


def seeds_of(requests: Sequence[ImageRequest]) -> list[int]:
    """The seeds of the requests' own noise."""
    return [request.seed or 0 for request in requests]


def cut(components: Components, requests: Sequence[ImageRequest]) -> list[str]:
    """Prompts whose ends the model cannot see."""
    return cut_prompts(components, prompts_of(requests))
