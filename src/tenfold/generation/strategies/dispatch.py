"""Dispatch: the strategy that draws a batch, by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import InputError
from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import Sources
from tenfold.models.pipelines import Components


@dataclass(frozen=True)
class Drawing:
    """The pixels of one batch."""

    images: NDArray[np.uint8]
    """(B, H, W, 3) sRGB."""
    cut_prompts: Sequence[str] = ()
    """Prompts whose ends the model could not see."""
    masks: NDArray[np.bool_] | None = None
    """(B, H, W) True on the lesion, where the strategy moved it; None where the parent's mask still holds."""
    first_passes: NDArray[np.uint8] | None = None
    """(B, H, W, 3) sRGB before the second pass, for strategies of two."""
    notes: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """For each image, plain JSON facts that its record keeps (such as the first pass's SHA-256)."""


def draw(
    components: Components | None, requests: Sequence[ImageRequest], sources: Sequence[Sources]
) -> Drawing:
    """Draw requests that share all but label, prompts, seeds, sources and skin types.

    Args:
        components: the checkpoint; None for strategies that need no generator.
        sources: one for each request.
    """
    from tenfold.generation.strategies import autoencoder, text2img

    strategy = requests[0].strategy
    if strategy == "autoencoder":
        assert components is not None
        paths = [source.parent.path for source in sources if source.parent is not None]
        return Drawing(autoencoder.draw(components, requests, paths))
    if strategy == "text2img":
        assert components is not None
        return Drawing(text2img.draw(components, requests), text2img.cut(components, requests))
    raise InputError(f"there is no strategy {strategy!r}", expected="text2img or autoencoder")
