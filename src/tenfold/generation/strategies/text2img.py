"""Text-to-image: pixels from prompts and seeds."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.generation.requests import ImageRequest
from tenfold.generation.strategies.asking import cut, prompts_of, sampling_settings, seeds_of
from tenfold.generation.strategies.result import Drawing
from tenfold.models.pipelines import Components
from tenfold.models.sampling import decode_latents, sample_latents


def draw(components: Components, requests: Sequence[ImageRequest]) -> Drawing:
    """The requests' images; they share all but label, prompt, skin type and seed."""
    settings = sampling_settings(requests[0])
    latents = sample_latents(components, prompts_of(requests), seeds_of(requests), settings)
    return Drawing(decode_latents(components, latents), cut(components, requests))
