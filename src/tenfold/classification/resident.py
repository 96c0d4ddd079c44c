"""Decoded images that stay in the process: cells of a study on a warm worker share their pixels."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pandas as pd
import psutil
from numpy.typing import NDArray

from tenfold.core.executor import usable_cores
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import load_images
from tenfold.data.images import decode_image

MOST_BYTES = 4 << 30
_SHARE_OF_MEMORY = 0.25
"""Of what is free when the first image is kept, shared by one worker for each core."""


def resident_images(workspace: Workspace, manifest: pd.DataFrame) -> NDArray[np.uint8]:
    """What `data.datasets.load_images` gives (checks and errors too), decoding only what this process has not yet.

    Images are known by the workspace, the path and the row's sha256; rows without a sha256 are decoded each time. The
    least recently used go when the room is full.
    """
    return load_images(workspace, manifest, _RESIDENT.decode)


class ResidentImages:
    """Decoded images up to `most_bytes` (None: by the memory that is free)."""

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most_bytes = most_bytes
        self._images: OrderedDict[tuple[str, str, str], NDArray[np.uint8]] = OrderedDict()
        self._bytes = 0

    def decode(self, workspace: Workspace, path: str, sha256: str | None) -> NDArray[np.uint8]:
        """The image, read-only, as `data.images.decode_image` gives it, and as it raises."""
        if not sha256:
            return decode_image(workspace.resolve(path))
        key = (str(workspace.path), path, sha256)
        if key in self._images:
            self._images.move_to_end(key)
            return self._images[key]
        image = decode_image(workspace.resolve(path))
        image.setflags(write=False)
        self._images[key] = image
        self._bytes += image.nbytes
        while self._bytes > self._room() and len(self._images) > 1:
            self._bytes -= self._images.popitem(last=False)[1].nbytes
        return image

    def _room(self) -> int:
        if self._most_bytes is None:
            free = psutil.virtual_memory().available / usable_cores()
            self._most_bytes = min(MOST_BYTES, int(_SHARE_OF_MEMORY * free))
        return self._most_bytes


_RESIDENT = ResidentImages()
