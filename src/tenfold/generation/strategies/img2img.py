"""Image-to-image: real images covered with noise up to a strength and drawn again as the prompts say."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import Sources
from tenfold.generation.strategies.asking import cut, prompts_of, sampling_settings, seeds_of
from tenfold.generation.strategies.originals import read_parents
from tenfold.generation.strategies.result import Drawing
from tenfold.models.img2img import redraw_latents
from tenfold.models.pipelines import Components
from tenfold.models.sampling import decode_latents

STRENGTH = 0.7
"""Where a request names none."""


def draw(components: Components, requests: Sequence[ImageRequest], sources: Sequence[Sources]) -> Drawing:
    """The requests' images; they share all but label, prompt, skin type, seed and parent."""
    first = requests[0]
    images, notes = read_parents(requests, sources, first.image_size_px or components.image_size_px)
    strength = STRENGTH if first.strength is None else first.strength
    latents = redraw_latents(
        components, images, prompts_of(requests), seeds_of(requests), sampling_settings(first), strength=strength
    )
    return Drawing(decode_latents(components, latents), cut(components, requests), notes=notes)
