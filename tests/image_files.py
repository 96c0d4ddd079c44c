"""Small image files and folders for tests of intake: random, and the same each time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def random_image(number: int, width: int = 40, height: int = 32) -> NDArray[np.uint8]:
    """Blocks of random colors, so that no two numbers are near-duplicates."""
    blocks = np.random.default_rng(number).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST))


def write_image(path: Path, number: int, width: int = 40, height: int = 32) -> Path:
    """Write a random image in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random_image(number, width, height)).save(path)
    return path


def write_class_folders(root: Path, counts: Mapping[str, int], suffix: str = ".png") -> Path:
    """One folder per class with that many different images, named image_0 and so on."""
    number = sum(map(ord, root.name)) * 1000
    for label, count in counts.items():
        for k in range(count):
            number += 1
            write_image(root / label / f"image_{k}{suffix}", number)
    return root
