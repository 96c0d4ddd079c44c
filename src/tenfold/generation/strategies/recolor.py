"""Recolor: real images with another skin tone, their lesions' contrast kept; a control without a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tenfold.core.errors import InputError
from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import Sources
from tenfold.generation.strategies.originals import read_parents
from tenfold.generation.strategies.result import Drawing


def draw(requests: Sequence[ImageRequest], sources: Sequence[Sources]) -> Drawing:
    """The parents in the tone of `recolor_to`, or else of the request's skin type."""
    toned = [replace(request, recolor_to=request.recolor_to or request.skin_type) for request in requests]
    if any(request.recolor_to is None for request in toned):
        raise InputError("the strategy recolor is asked for no tone", expected="recolor_to, a skin type of 1 to 6")
    images, notes = read_parents(toned, sources, requests[0].image_size_px)
    return Drawing(images, notes=notes)
