"""Pictures inside the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from tenfold.reports.pictures import LARGEST_SIDE_PX, picture_address


def open_address(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_a_small_image_is_kept_pixel_by_pixel(tmp_path: Path) -> None:
    pixels = np.arange(64 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(64, 64, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    address = picture_address(tmp_path / "a.png")
    assert address is not None and address.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(open_address(address)), pixels)


def test_a_large_image_is_shrunk(tmp_path: Path) -> None:
    Image.new("RGB", (600, 300), "red").save(tmp_path / "a.png")
    address = picture_address(tmp_path / "a.png")
    assert address is not None and address.startswith("data:image/jpeg;base64,")
    assert open_address(address).size == (LARGEST_SIDE_PX, LARGEST_SIDE_PX // 2)


def test_an_unreadable_image_has_no_address(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not an image")
    assert picture_address(tmp_path / "a.png") is None
    assert picture_address(tmp_path / "missing.png") is None
