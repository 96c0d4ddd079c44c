"""Composite: real lesions set into other real images; a control without a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tenfold.core.errors import InputError
from tenfold.generation.canvas import needed_lesion, read_lesion, read_source
from tenfold.generation.compositing import composite
from tenfold.generation.recoloring import recolored, skin_tone, typical_tone
from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import Sources
from tenfold.generation.strategies.originals import parent_of, read_parents
from tenfold.generation.strategies.result import Drawing


def draw(requests: Sequence[ImageRequest], sources: Sequence[Sources]) -> Drawing:
    """Each parent's lesion in its background, and where it lies there.

    With `recolor_to` the background is given that tone first, and the lesion follows it.
    """
    # The tone is the background's affair.
    images, _ = read_parents(
        [replace(request, recolor_to=None) for request in requests], sources, requests[0].image_size_px
    )
    made, notes = [], []
    for request, source, image in zip(requests, sources, images, strict=True):
        if source.background is None:
            raise InputError("the strategy composite needs a background", expected="background_id")
        edge_px = image.shape[0]
        lesion = needed_lesion(parent_of(request, source), edge_px)
        background, other = read_source(source.background, edge_px), read_lesion(source.background, edge_px)
        if request.recolor_to is not None:
            wanted = typical_tone(request.recolor_to, request.seed)
            background = recolored(background, skin_tone(background, other).color, wanted)
        made.append(composite(image, lesion, background, other, request.mask_dilate_px))
        notes.append({"moved_px": list(made[-1].moved_px), "filled_background": other is not None})
    return Drawing(np.stack([one.image for one in made]), masks=np.stack([one.lesion for one in made]), notes=notes)
