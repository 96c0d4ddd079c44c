"""Autoencoder: real images to latents and back, without noise; the control for what the codec alone changes."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import Sources
from tenfold.generation.strategies.originals import read_parents
from tenfold.generation.strategies.result import Drawing
from tenfold.models.pipelines import Components
from tenfold.models.sampling import reconstruct


def draw(components: Components, requests: Sequence[ImageRequest], sources: Sequence[Sources]) -> Drawing:
    """The parents, scaled to the checkpoint's size before they go through."""
    images, _ = read_parents(requests, sources, requests[0].image_size_px or components.image_size_px)
    return Drawing(reconstruct(components, images))
