"""Screening: images that cannot be what was asked for, and the other seeds that a second draw takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tenfold.core.seeds import derive_seed
from tenfold.generation.requests import ImageRequest

NOT_FINITE = "not_finite"
BLACK = "black"
CONSTANT = "constant"
SATURATED = "saturated"

_BLACKEST_MAXIMUM = 8
_LEAST_SPREAD = 2.0
_MOST_CLIPPED = 0.75
_SEED_FIELDS = ("seed", "outpaint_seed", "upscale_seed")


def fault_of(image: NDArray[np.uint8], *, is_finite: bool = True) -> str | None:
    """What is wrong with the pixels (H, W, 3), as one word; None when they may pass.

    black: no value above 8. constant: a standard deviation below 2 levels in every channel. saturated: three quarters
    of all values clipped at 0 or 255, which no photograph on a white or black ground reaches in all three channels
    without being blank.
    """
    if not is_finite:
        return NOT_FINITE
    if int(image.max()) <= _BLACKEST_MAXIMUM:
        return BLACK
    if float(image.reshape(-1, image.shape[-1]).std(axis=0).max()) < _LEAST_SPREAD:
        return CONSTANT
    if np.count_nonzero((image == 0) | (image == 255)) > _MOST_CLIPPED * image.size:
        return SATURATED
    return None


def redraw_seeds(request: ImageRequest, attempt: int) -> dict[str, int]:
    """The seeds of the `attempt`-th second draw (from 1), by field; empty where nothing is drawn by chance.

    Masks keep their seeds: the picture is at fault, not the place.
    """
    seeds = {name: getattr(request, name) for name in _SEED_FIELDS}
    return {name: derive_seed(seed, "redraw", attempt) for name, seed in seeds.items() if seed is not None}


def with_seeds(request: ImageRequest, seeds: Mapping[str, int]) -> ImageRequest:
    """The request as it is drawn the second time; its image keeps the name of the first."""
    return ImageRequest.from_dict({**request.as_dict(), **seeds})
