"""Painting: parts of real images painted anew and pasted into them: inpainting, outpainting, both in turn."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import InputError
from tenfold.generation.canvas import inside, outside, paste
from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import SourceImage, Sources
from tenfold.generation.strategies.asking import cut, prompts_of, sampling_settings, seeds_of
from tenfold.generation.strategies.originals import joined_notes, parent_of, read_parents
from tenfold.generation.strategies.result import Drawing
from tenfold.models.inpainting import Painting, Surroundings, inpaint_images
from tenfold.models.pipelines import Components
from tenfold.models.sampling import decode_latents

INPAINT_STRENGTH = 0.97
OUTPAINT_STRENGTH = 0.95
"""Those of `sagers2023`, where a request names none."""

Region = Callable[[ImageRequest, SourceImage, int], NDArray[np.bool_]]


def inpaint(components: Components, requests: Sequence[ImageRequest], sources: Sequence[Sources]) -> Drawing:
    """Paint the masked part anew; all else stays as it is in the parent, bit by bit."""
    return _one_pass(components, requests, sources, inside, INPAINT_STRENGTH)


def outpaint(components: Components, requests: Sequence[ImageRequest], sources: Sequence[Sources]) -> Drawing:
    """Paint all but the masked part and its border anew; these stay as they are in the parent, bit by bit."""
    return _one_pass(components, requests, sources, outside, OUTPAINT_STRENGTH)


def in_then_outpaint(components: Components, requests: Sequence[ImageRequest], sources: Sequence[Sources]) -> Drawing:
    """Paint the masked part anew, then all but that part and its border: only the border is still the parent's."""
    first = requests[0]
    images, notes = read_parents(requests, sources, first.image_size_px or components.image_size_px)
    strengths = (_given(first.strength, INPAINT_STRENGTH), _given(first.outpaint_strength, OUTPAINT_STRENGTH))
    between = _paint(components, requests, images, _regions(inside, requests, sources, images), strengths[0])
    second = [replace(request, seed=_given(request.outpaint_seed, request.seed)) for request in requests]
    drawn = _paint(components, second, between, _regions(outside, requests, sources, images), strengths[1])
    digests = [{"first_pass_pixels_sha256": hashlib.sha256(image.tobytes()).hexdigest()} for image in between]
    return Drawing(drawn, cut(components, requests), first_passes=between, notes=joined_notes(notes, digests))


def _one_pass(
    components: Components,
    requests: Sequence[ImageRequest],
    sources: Sequence[Sources],
    region: Region,
    usual_strength: float,
) -> Drawing:
    first = requests[0]
    images, notes = read_parents(requests, sources, first.image_size_px or components.image_size_px)
    strength = _given(first.strength, usual_strength)
    drawn = _paint(components, requests, images, _regions(region, requests, sources, images), strength)
    return Drawing(drawn, cut(components, requests), notes=notes)


def _regions(
    region: Region, requests: Sequence[ImageRequest], sources: Sequence[Sources], images: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """(B, S, S), True where each image is painted."""
    return np.stack(
        [
            region(request, parent_of(request, source), images.shape[1])
            for request, source in zip(requests, sources, strict=True)
        ]
    )


def _paint(
    components: Components,
    requests: Sequence[ImageRequest],
    images: NDArray[np.uint8],
    regions: NDArray[np.bool_],
    strength: float,
) -> NDArray[np.uint8]:
    """(B, S, S, 3): the images with their regions painted anew."""
    first = requests[0]
    painting = Painting(_surroundings(first), strength)
    latents = inpaint_images(
        components, (images, regions), prompts_of(requests), seeds_of(requests), sampling_settings(first), painting
    )
    painted = decode_latents(components, latents)
    return np.stack(
        [
            paste(image, new, region, request.mask_feather_px)
            for image, new, region, request in zip(images, painted, regions, requests, strict=True)
        ]
    )


def _surroundings(request: ImageRequest) -> Surroundings:
    if request.surroundings in (None, "noisy"):
        return "noisy"
    if request.surroundings == "clean":
        return "clean"
    raise InputError(f"surroundings={request.surroundings}", expected="clean, noisy or nothing")


def _given(value: Any, usual: Any) -> Any:
    return usual if value is None else value
