"""Images of the workspace as small data addresses for the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tenfold.core.errors import DataError
from tenfold.data.image_bytes import image_bytes

LARGEST_SIDE_PX = 128
LARGEST_EXACT_SIDE_PX = 64
_JPEG_QUALITY = 90


def picture_address(path: Path) -> str | None:
    """A `data:` address of the image, at most `LARGEST_SIDE_PX` on a side; None when it cannot be read.

    Images of up to `LARGEST_EXACT_SIDE_PX` are kept pixel by pixel (PNG); larger ones become JPEG.
    """
    try:
        with Image.open(io.BytesIO(image_bytes(path))) as opened:
            image = opened.convert("RGB")
    except (OSError, DataError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    buffer = io.BytesIO()
    if max(image.size) <= LARGEST_EXACT_SIDE_PX:
        image.save(buffer, format="PNG", optimize=True)
        return data_address(buffer.getvalue(), "image/png")
    image.thumbnail((LARGEST_SIDE_PX, LARGEST_SIDE_PX), Image.Resampling.LANCZOS)
    image.save(buffer, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return data_address(buffer.getvalue(), "image/jpeg")


def workspace_picture(folder: Path, path: str | None) -> str | None:
    """The address of a picture by its path in the workspace `folder`; None where none is, or it leads out of there."""
    if not path:
        return None
    try:
        place = (folder / path).resolve()
    except (OSError, ValueError):
        return None
    return picture_address(place) if place.is_relative_to(folder) else None


def data_address(data: bytes, media_type: str) -> str:
    """The bytes as a `data:` address.

    >>> data_address(b"abc", "text/plain")
    'data:text/plain;base64,YWJj'
    """
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
