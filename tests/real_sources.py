"""Real images and their lesion masks as files, for strategies that start from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tenfold.data.images import encode_png
from tenfold.data.phantom import make_cohort
from tenfold.generation.sources import SourceImage

SIZE = 32


def write_source(
    folder: Path, image_id: str, image: np.ndarray, mask: np.ndarray | None, skin_type: int | None = None
) -> SourceImage:
    """The image's file, and the mask's where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{image_id}.png"
    path.write_bytes(encode_png(image))
    mask_path = None
    if mask is not None:
        mask_path = folder / f"{image_id}-mask.png"
        mask_path.write_bytes(encode_png(mask))
    return SourceImage(image_id, path, mask_path, skin_type)


def phantom_sources(
    folder: Path, count: int, *, skin_type: int = 2, image_size_px: int = SIZE, name: str = "cohort"
) -> list[SourceImage]:
    """Phantom images of one tone with their masks; the same lesions in whatever tone."""
    photos = make_cohort({"melanoma": count}, seed=3, image_size_px=image_size_px, skin_types=(skin_type,), name=name)
    return [
        write_source(folder, f"{name}-{number}-{skin_type}", photo.image, photo.mask, skin_type)
        for number, photo in enumerate(photos)
    ]
