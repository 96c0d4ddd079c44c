"""Originals: the real images that a batch starts from, at the size that is drawn, recolored where that is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError, InputError
from tenfold.generation.canvas import read_lesion, read_source
from tenfold.generation.recoloring import recolored, skin_tone, typical_tone
from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import SourceImage, Sources


def read_parents(
    requests: Sequence[ImageRequest], sources: Sequence[Sources], edge_px: int | None
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """(B, S, S, 3) sRGB and, for each, notes of what was changed: the tone that `recolor_to` asks for.

    Raises:
        DataError: an image or its mask cannot be read, or without `edge_px` the images are of several sizes.
    """
    images, notes = [], []
    for request, source in zip(requests, sources, strict=True):
        image = read_source(parent_of(request, source), edge_px)
        note: dict[str, Any] = {}
        if request.recolor_to is not None:
            image, note = _toned(image, request, parent_of(request, source))
        images.append(image)
        notes.append(note)
    sizes = {image.shape[0] for image in images}
    if len(sizes) > 1:
        raise DataError(
            f"the images of one batch are of several sizes: {', '.join(f'{size} px' for size in sorted(sizes))}",
            expected="one size",
            todo="Give image_size_px.",
        )
    return np.stack(images), notes


def parent_of(request: ImageRequest, source: Sources) -> SourceImage:
    """The real image that the request starts from. InputError when the request names none."""
    if source.parent is None:
        raise InputError(
            f"the strategy {request.strategy} starts from a real image, and a request for {request.label} names none",
            expected="parent_id",
        )
    return source.parent


def joined_notes(*parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The notes of each image, from several lists of them."""
    return [{name: value for note in notes for name, value in note.items()} for notes in zip(*parts, strict=True)]


def _toned(
    image: NDArray[np.uint8], request: ImageRequest, parent: SourceImage
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    assert request.recolor_to is not None
    present = skin_tone(image, read_lesion(parent, image.shape[0]))
    wanted = typical_tone(request.recolor_to, request.seed)
    return recolored(image, present.color, wanted), {"tone_measured_on": present.measured_on}
