"""Preparation: originals become canonical PNG files, in worker processes; what is written already is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.core.files import write_bytes_atomic
from tenfold.core.hashing import sha256_bytes
from tenfold.data.images import ImageError, ResizeMode, decode_image, encode_png, read_header, resize_and_crop
from tenfold.data.near_duplicates import perceptual_hash

_BATCH_IMAGES = 16


@dataclass(frozen=True)
class PreparationTask:
    """A batch of originals and how their canonical images are to be made. images: (original path, target path)."""

    images: tuple[tuple[Path, Path], ...]
    image_size_px: int
    resize_mode: ResizeMode


@dataclass(frozen=True)
class Prepared:
    """A canonical image as written: SHA-256 of its file, perceptual hash, and the size of its original."""

    sha256: str
    phash: str
    original_width_px: int
    original_height_px: int


@dataclass(frozen=True)
class Failed:
    """An original that could not be read: a word and a sentence why."""

    reason: str
    detail: str


def preparation_tasks(
    images: Sequence[tuple[Path, Path]], image_size_px: int, resize_mode: ResizeMode
) -> list[PreparationTask]:
    """Batches of 16 images, in order."""
    return [
        PreparationTask(tuple(images[start : start + _BATCH_IMAGES]), image_size_px, resize_mode)
        for start in range(0, len(images), _BATCH_IMAGES)
    ]


def prepare(task: PreparationTask) -> list[Prepared | Failed]:
    """Write the canonical image of each original, one answer each, in order. Whole ones found there are kept."""
    return list(_prepare_each(task))


def _prepare_each(task: PreparationTask) -> Iterator[Prepared | Failed]:
    for original, target in task.images:
        try:
            data = original.read_bytes()
            header = read_header(data)
            found = _written(target, task.image_size_px)
            if found is None:
                canonical = resize_and_crop(decode_image(data), task.image_size_px, task.resize_mode)
                png = encode_png(canonical)
                write_bytes_atomic(target, png)
            else:
                canonical, png = found
            yield Prepared(sha256_bytes(png), perceptual_hash(canonical), header.width_px, header.height_px)
        except ImageError as error:
            yield Failed(error.reason, error.what)


def _written(target: Path, image_size_px: int) -> tuple[NDArray[np.uint8], bytes] | None:
    """The canonical image of an interrupted import and its bytes, when it is there, whole and of the right size."""
    if not target.is_file():
        return None
    png = target.read_bytes()
    try:
        image = decode_image(png)
    except ImageError:
        return None
    return (image, png) if image.shape[:2] == (image_size_px, image_size_px) else None
