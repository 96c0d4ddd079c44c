"""DICOM pixels: one frame of a file as an 8-bit RGB picture, as a reader's screen would show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tenfold.data.dicom_decoding import decode_frame
from tenfold.data.dicom_gray import gray_picture
from tenfold.data.dicom_header import check_image, fault, frame_count, quiet_reading, read_dataset, text_of, whole
from tenfold.data.images import ImageError, ImageSource
from tenfold.data.import_items import PixelChoice

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_422", "YBR_PARTIAL_420")
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_PALETTE = "PALETTE COLOR"


def decode_dicom(source: ImageSource, choice: PixelChoice | None = None) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) uint8 sRGB of one frame of a DICOM file or its bytes.

    Without a chosen frame the first is taken. Gray values go through the modality transform (slope and intercept, or
    table), then the VOI transform: the chosen window, else the file's table or window, else of 8-bit data the stored
    range and of deeper data the 0.5th to 99.5th percentile of the frame without its padding; MONOCHROME1 is inverted.
    Palettes and YBR colors become RGB; windows do not touch colors. ImageError when the file is no DICOM, is damaged or
    truncated, has no pixels, needs a decoder that is not installed, or shows one value or values that are no numbers.
    """
    choice = choice or PixelChoice()
    dataset = read_dataset(source)
    check_image(dataset, source)
    frame = _checked_frame(dataset, choice.frame, source)
    colors = text_of(dataset, "PhotometricInterpretation").upper() or "MONOCHROME2"
    if colors not in (*_GRAY, *_COLORS, _PALETTE):
        raise fault("unsupported_colors", "the DICOM image has colors of a kind that is not read", source,
                    expected=", ".join((*_GRAY, *_COLORS, _PALETTE)))  # fmt: skip
    pixels = decode_frame(dataset, source, frame)
    if not np.isfinite(pixels).all():
        raise fault("not_finite", "the DICOM pixels hold values that are no numbers (NaN or infinite)", source)
    with quiet_reading(source, "the DICOM pixels cannot be shown: a table or value of the header is damaged"):
        picture = _picture(dataset, pixels, colors, frame, choice)
    if picture is None:
        raise fault("not_finite", "the DICOM pixels become no numbers by the file's rescale values", source)
    if (picture == picture[0, 0]).all():
        raise _constant(pixels, choice, source)
    return np.ascontiguousarray(picture)


def _checked_frame(dataset: Dataset, frame: int | None, source: ImageSource) -> int:
    count = frame_count(dataset)
    if frame is not None and not 0 <= frame < count:
        what = f"the DICOM file has {count} frames, so there is no frame {frame + 1}"
        raise fault("damaged_image", what, source, expected=f"a frame from 1 to {count}")
    return frame or 0


def _picture(
    dataset: Dataset, pixels: NDArray[Any], colors: str, frame: int, choice: PixelChoice
) -> NDArray[np.uint8] | None:
    """None when the transforms give values that are no numbers."""
    if colors == _PALETTE:
        return _palette_picture(dataset, pixels)
    if colors in _GRAY:
        if pixels.ndim == 3:  # three samples that say they are gray
            pixels = pixels[..., 0]
        gray = gray_picture(dataset, pixels, frame, choice.window)
        return None if gray is None else np.repeat(gray[..., None], 3, axis=2)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    bits = whole(dataset, "BitsStored") or 8
    return _eight_bits(pixels[..., :3], 2**bits - 1)


def _palette_picture(dataset: Dataset, indices: NDArray[Any]) -> NDArray[np.uint8]:
    """Colors of the palette. Entries of 8 bits that lie in 16-bit tables are known by none exceeding 255."""
    from pydicom.pixels.processing import apply_color_lut

    colors = np.asarray(apply_color_lut(indices, dataset))[..., :3]
    if colors.dtype.itemsize == 2 and not dataset.original_encoding[1]:
        colors = colors.byteswap()  # tables of big-endian files are handed on as they lie in the file
    return _eight_bits(colors, 255 if colors.max() <= 255 else 65535)


def _eight_bits(values: NDArray[Any], full: int) -> NDArray[np.uint8]:
    if full == 255 and values.dtype == np.uint8:
        return values
    scaled = values.astype(np.float64) * (255.0 / full)
    picture: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return picture


def _constant(pixels: NDArray[Any], choice: PixelChoice, source: ImageSource) -> ImageError:
    if (pixels == pixels[0, 0]).all():
        what = "the DICOM image is constant: every pixel has the same value"
    elif choice.window is not None:
        center, width = choice.window
        what = f"the DICOM image is constant in the window {center:g}/{width:g}: all its values lie outside"
    else:
        what = "the DICOM image is constant as its own window shows it: all its values lie outside"
    return fault("constant_image", what, source, expected="an image with a visible content")
