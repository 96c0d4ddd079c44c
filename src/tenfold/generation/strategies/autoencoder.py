"""Autoencoder: real images to latents and back, without noise; the control for what the codec alone changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.data.images import decode_image, resize_and_crop
from tenfold.generation.requests import ImageRequest
from tenfold.models.pipelines import Components
from tenfold.models.sampling import reconstruct


def draw(components: Components, requests: Sequence[ImageRequest], paths: Sequence[Path]) -> NDArray[np.uint8]:
    """(B, H, W, 3) sRGB of the parents at `paths`, scaled to the checkpoint's size before they go through."""
    edge_px = requests[0].image_size_px or components.image_size_px
    images = np.stack([resize_and_crop(decode_image(path), edge_px) for path in paths])
    return reconstruct(components, images)
