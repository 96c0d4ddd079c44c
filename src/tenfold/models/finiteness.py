"""Finiteness: which decoded images held a value that is not finite, which pixels of 8 bits cannot say any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from numpy.typing import NDArray

_noted: ContextVar[NDArray[np.bool_] | None] = ContextVar("not_finite", default=None)


@contextmanager
def noting_not_finite(image_count: int) -> Iterator[NDArray[np.bool_]]:
    """While open, note which of `image_count` images are decoded to anything not finite, in whichever pass.

    Yields (image_count,) bool, which becomes True for these.
    """
    found = np.zeros(image_count, dtype=bool)
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def finite(images: torch.Tensor) -> torch.Tensor:
    """The images (B, ...) with values that are not finite set to 0 (black), having noted whose they were."""
    is_whole = torch.isfinite(images).flatten(1).all(dim=1).cpu().numpy()
    noted = _noted.get()
    if noted is not None and len(noted) == len(is_whole):
        noted |= ~is_whole
    return images if is_whole.all() else images.nan_to_num(0.0, 0.0, 0.0)
