"""JPEG quality: what an encoder's quality setting was, read off the luminance quantization table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

_STANDARD_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
"""ITU-T T.81, table K.1, which encoders scale by the quality."""


def jpeg_quality_of(table: Sequence[int]) -> int:
    """The quality, 1 to 100, whose scaled standard table is nearest to this luminance table (64 values, any order).

    Exact for files of libjpeg's encoders (Pillow, most cameras' software); the nearest equivalent of others.
    """
    return _quality_of(tuple(table))


@lru_cache(maxsize=1024)  # the files of one camera share their table
def _quality_of(table: tuple[int, ...]) -> int:
    found = np.sort(np.asarray(table, dtype=np.float64))
    distance = np.abs(_sorted_tables() - found).sum(axis=1)
    return int(100 - np.argmin(distance[::-1]))


@cache
def _sorted_tables() -> NDArray[np.float64]:
    """The standard table at qualities 1 to 100 as libjpeg scales it, each sorted: (100, 64)."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)[:, None]
    tables = (np.array(_STANDARD_LUMINANCE)[None, :] * scale + 50) // 100
    return np.sort(np.clip(tables, 1, 255), axis=1).astype(np.float64)
