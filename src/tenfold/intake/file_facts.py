"""File facts: what the file of an image says beside its picture, by which a classifier could tell its origin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.data.images import ImageHeader

if TYPE_CHECKING:
    import pandas as pd

FILE_FACTS = "data/file_facts.parquet"

_SAMPLE_SIDE_PX = 96
_GRAY_TOLERANCE = 4
_BAND_TOLERANCE = 12
_BLACK_BELOW = 32


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Facts of one original. file_bytes is null for images that Tenfold drew itself, jpeg_quality in other formats.

    border_fraction: share of the picture, 0 to 1, in bands of one color along its sides or in black corners. is_gray:
    whether it shows no color, whatever its mode.
    """

    format: str
    mode: str
    width_px: int
    height_px: int
    file_bytes: int | None
    jpeg_quality: int | None
    has_exif: bool
    has_icc: bool
    border_fraction: float
    is_gray: bool
    frames: int


_TYPES = {"str": "string", "int": "Int64", "int | None": "Int64", "bool": "boolean", "float": "Float64"}


def facts_of(header: ImageHeader, picture: Image.Image, file_bytes: int | None) -> FileFacts:
    """The facts of an original from its header and its decoded picture (RGB)."""
    sample = _sample(picture)
    return FileFacts(
        header.format, header.mode, header.width_px, header.height_px, file_bytes, header.jpeg_quality,
        header.has_exif, header.has_icc, round(border_fraction(sample), 4), _is_gray(sample), header.frames,
    )  # fmt: skip


def border_fraction(image: NDArray[np.uint8]) -> float:
    """Share of (H, W, 3) that is border: rows or columns of one color at the sides, and black areas in the corners."""
    border = np.zeros(image.shape[:2], dtype=bool)
    for view, marks in ((image, border), (image.transpose(1, 0, 2), border.T)):
        marks[: _band(view)] = True
        marks[len(view) - _band(view[::-1]) :] = True
    corners = ([0, 0, -1, -1], [0, -1, 0, -1])
    if (image[corners] < _BLACK_BELOW).all(axis=-1).any():
        from scipy.ndimage import label

        areas, _ = label((image < _BLACK_BELOW).all(axis=-1))
        border |= np.isin(areas, np.setdiff1d(areas[corners], 0))
    return float(border.mean())


def folder_of(name: str, label: str) -> str:
    """The folder of an original as seen from the source root, without the one that is named like its class.

    >>> folder_of("images/df/a.jpg", "df"), folder_of("HAM10000_images_part_1/a.jpg", "df"), folder_of("df/a.jpg", "df")
    ('images', 'HAM10000_images_part_1', '')
    """
    return "/".join(part for part in PurePosixPath(name).parts[:-1] if part != label)


def file_facts_table(rows: Iterable[tuple[str, FileFacts, str]]) -> pd.DataFrame:
    """The table of data/file_facts.parquet from (image_id, facts, folder)."""
    import pandas as pd  # here, as the workers that decode images need no tables

    listed = list(rows)
    columns: dict[str, Any] = {"image_id": [row[0] for row in listed]}
    columns |= {field.name: [getattr(row[1], field.name) for row in listed] for field in fields(FileFacts)}
    columns["folder"] = [row[2] for row in listed]
    types = {field.name: _TYPES[str(field.type)] for field in fields(FileFacts)}
    return pd.DataFrame(columns).astype({"image_id": "string", **types, "folder": "string"})


def _sample(picture: Image.Image) -> NDArray[np.uint8]:
    """Pixels of the picture on a grid of at most 96 a side: enough to see borders and color, at no cost."""
    scale = min(1.0, _SAMPLE_SIDE_PX / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return np.asarray(picture if size == picture.size else picture.resize(size, Image.Resampling.NEAREST))


def _is_gray(image: NDArray[np.uint8]) -> bool:
    red, green, blue = (image[..., channel].astype(np.int16) for channel in range(3))
    return bool(np.abs(red - green).max() <= _GRAY_TOLERANCE and np.abs(green - blue).max() <= _GRAY_TOLERANCE)


def _band(image: NDArray[np.uint8]) -> int:
    """Rows from the top that are of one color, the first pixel's."""
    color = image[0, 0].tolist()
    for number, row in enumerate(image):
        # Bytes, as most pictures end at the first row: numpy's start would cost more than the work.
        pixels = row.tobytes()
        for channel, level in enumerate(color):
            levels = pixels[channel :: len(color)]
            if max(levels) > level + _BAND_TOLERANCE or min(levels) < level - _BAND_TOLERANCE:
                return number
    return len(image)
