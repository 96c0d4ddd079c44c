"""Images: the one way pixels are decoded, resized and written, for real and synthetic images alike.

Whatever takes another way would leave traces by which a classifier can tell the origin.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from tenfold.core.errors import DataError
from tenfold.data.image_bytes import image_bytes, is_in_shard
from tenfold.data.jpeg_quality import jpeg_quality_of

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM")
"""What is decoded; others (EPS and such would start an interpreter) are refused."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".ppm", ".pgm")

MAX_PIXELS = 178_956_970
"""Larger images are refused by their header, as decompression bombs (Pillow's own limit)."""

FAST_PNG = 1
"""The level at which `encode_png` writes many images."""

_WIDE_GRAY = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_REDUCING_GAP = 3.0
_UPRIGHT = 1  # of the EXIF tag Orientation
_ORIENTATION = 0x0112

ResizeMode = Literal["center_crop", "pad"]
ImageSource = Path | bytes


ImageFault = Literal[
    "empty_file", "not_an_image", "too_large", "damaged_image",
    "missing_pixel_data", "unsupported_compression", "unsupported_colors", "constant_image", "not_finite",
]  # fmt: skip


class ImageError(DataError):
    """An image that cannot be read; `reason` is the word for it in quarantine lists."""

    reason: ImageFault = "damaged_image"


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says about itself, read without decoding it; the size is that before any EXIF rotation.

    jpeg_quality: 1 to 100 as the quantization table tells (`jpeg_quality_of`); None in other formats.
    """

    format: str
    width_px: int
    height_px: int
    mode: str
    frames: int
    jpeg_quality: int | None = None
    has_exif: bool = False
    has_icc: bool = False


def read_header(source: ImageSource) -> ImageHeader:
    """Read an image's header. ImageError (a DataError) when unreadable, of a refused format or above `MAX_PIXELS`."""
    with _opened(source) as image, _decoding(source):
        return _header(image)


def decode_image(source: ImageSource) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) uint8 sRGB, upright, of a file or its bytes; ImageError when it cannot be decoded whole.

    EXIF rotation is applied; palette, gray and CMYK become RGB; transparency is laid on white; of an animation the
    first frame is taken. 16-bit gray: divided by 4095 when no pixel exceeds it (12-bit data), else by 65535.
    """
    return np.array(decode_picture(source)[1], dtype=np.uint8)


def decode_picture(source: ImageSource) -> tuple[ImageHeader, Image.Image]:
    """The header, and the pixels of `decode_image` as an RGB picture: the file is opened once and no copy is made."""
    with _opened(source) as image, _decoding(source):
        return _header(image), _to_rgb(_upright(image))


def decode_gray(source: ImageSource) -> Image.Image:
    """A mask's gray levels, upright, as a picture of mode L; ImageError when it cannot be decoded whole.

    Levels up to 255 stay as they are (a mask may number its parts); 16-bit masks beyond are divided by 257. Of a
    colored mask the luminance is taken.
    """
    with _opened(source) as image, _decoding(source):
        return _to_gray(_upright(image))


def resize_and_crop(
    image: NDArray[np.uint8], image_size_px: int, mode: ResizeMode = "center_crop"
) -> NDArray[np.uint8]:
    """A square (image_size_px, image_size_px, 3) uint8 from (H, W, 3); one of that size already is returned as it is.

    center_crop: the largest centered square is resized. pad: the whole image is resized to fit, and its border pixels
    are repeated to fill the square. Resampling is Pillow's antialiased Lanczos.
    """
    if image.shape[:2] == (image_size_px, image_size_px):
        return image
    return square_picture(Image.fromarray(image), image_size_px, mode)


def square_picture(
    picture: Image.Image, image_size_px: int, mode: ResizeMode = "center_crop", *,
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
) -> NDArray[np.uint8]:  # fmt: skip
    """`resize_and_crop` of a picture: (S, S, 3), or (S, S) of a gray one.

    Pictures more than six times as large are first reduced by whole numbers, to three times the wanted size or more:
    the result is the same to the eye at a fraction of the work.
    """
    width, height = picture.size
    if (width, height) == (image_size_px, image_size_px):
        return np.array(picture, dtype=np.uint8)
    gap = None if resampling is Image.Resampling.NEAREST else _REDUCING_GAP
    if mode == "center_crop":
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
        return np.array(picture.resize((image_size_px,) * 2, resampling, box, gap), dtype=np.uint8)
    scale = image_size_px / max(height, width)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.array(picture.resize(fitted, resampling, None, gap), dtype=np.uint8)
    before = [(image_size_px - length) // 2 for length in small.shape[:2]]
    after = [image_size_px - length - start for length, start in zip(small.shape[:2], before, strict=True)]
    margins = [(before[0], after[0]), (before[1], after[1]), (0, 0)][: small.ndim]
    return np.pad(small, margins, mode="edge")


def encode_png(image: NDArray[np.uint8], text: Mapping[str, str] | None = None, *, level: int = 6) -> bytes:
    """PNG bytes of (H, W, 3) or (H, W) uint8, with text chunks in the order of their keys; no time, no other metadata.

    The same pixels, text and level (0 large to 9 slow) give the same bytes; no level changes a pixel. `FAST_PNG` codes
    runs only: in a half to a fifth of level 6's time, as small of photographs, up to half larger of gray pictures.
    """
    chunks = PngImagePlugin.PngInfo()
    for key, value in sorted((text or {}).items()):
        chunks.add_itxt(key, value)
    buffer = io.BytesIO()
    strategy = zlib.Z_RLE if level == FAST_PNG else -1  # -1: Pillow's own choice
    Image.fromarray(image).save(buffer, "PNG", compress_level=level, compress_type=strategy, pnginfo=chunks)
    return buffer.getvalue()


def encode_jpeg(image: NDArray[np.uint8], quality: int, comment: bytes = b"", xmp: bytes = b"") -> bytes:
    """JPEG bytes of (H, W, 3) uint8, chroma not subsampled. Unlike PNG it changes pixels: see `check_one_codec`."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality, subsampling=0, comment=comment, xmp=xmp)
    return buffer.getvalue()


def read_jpeg_comment(source: ImageSource) -> bytes:
    """The comment of a JPEG, empty without one. DataError when it cannot be read."""
    with _opened(source) as image:
        return bytes(image.info.get("comment", b""))


def read_png_text(source: ImageSource) -> dict[str, str]:
    """The text chunks of a PNG. DataError when it cannot be read or is no PNG."""
    with _opened(source) as image:
        if not isinstance(image, PngImagePlugin.PngImageFile):
            raise DataError(f"a {image.format} file holds no PNG text", where=_name(source), expected="a PNG file")
        return {str(key): str(value) for key, value in image.text.items()}


def image_grid(
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], columns: int, gap_px: int = 2
) -> NDArray[np.uint8]:
    """One picture (H, W, 3) of equally large images (N, h, w, 3), row by row on white."""
    stack = np.asarray(images, dtype=np.uint8)
    if stack.ndim != 4 or not len(stack) or columns < 1:
        raise DataError(
            f"no grid can be made of an array of shape {stack.shape} in {columns} columns",
            expected="images (N, h, w, 3) with N of 1 or more, and 1 column or more",
        )
    count, height, width = stack.shape[:3]
    columns = min(columns, count)
    rows = -(-count // columns)
    grid = np.full((rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px, 3), 255, dtype=np.uint8)
    for number, image in enumerate(stack):
        top, left = (number // columns) * (height + gap_px), (number % columns) * (width + gap_px)
        grid[top : top + height, left : left + width] = image
    return grid


@contextmanager
def _opened(source: ImageSource) -> Iterator[Image.Image]:
    try:
        held = source if isinstance(source, bytes) else image_bytes(source) if is_in_shard(source) else None
        if not (source.stat().st_size if held is None and isinstance(source, Path) else held):
            raise _fault("empty_file", "the image file is empty: 0 bytes", source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(source if held is None else io.BytesIO(held), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(source) from error
    except UnidentifiedImageError as error:
        raise _fault("not_an_image", f"the file is none of {', '.join(FORMATS)}", source) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise _fault("damaged_image", f"the image cannot be opened: {error}", source) from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(source)
        with warnings.catch_warnings():
            # Pillow's remarks on odd EXIF or palettes; what matters is whether the pixels come out.
            warnings.simplefilter("ignore")
            yield image


@contextmanager
def _decoding(source: ImageSource) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, struct.error) as error:
        what = f"the image cannot be decoded: {str(error) or type(error).__name__}"
        raise _fault("damaged_image", what, source) from error


def _fault(
    reason: ImageFault, what: str, source: ImageSource, *, expected: str = "a complete image file"
) -> ImageError:
    error = ImageError(what, where=_name(source), expected=expected)
    error.reason = reason
    return error


def _too_large(source: ImageSource) -> ImageError:
    what = "the image is too large: refused by its header, as a decompression bomb would be"
    return _fault("too_large", what, source, expected=f"at most {MAX_PIXELS // 1_000_000} million pixels")


def _header(image: Image.Image) -> ImageHeader:
    tables: Mapping[int, Sequence[int]] = getattr(image, "quantization", None) or {}
    return ImageHeader(
        str(image.format), image.width, image.height, image.mode, int(getattr(image, "n_frames", 1)),
        jpeg_quality=jpeg_quality_of(tables[0]) if image.format in ("JPEG", "MPO") and 0 in tables else None,
        has_exif=bool(image.info.get("exif")), has_icc=bool(image.info.get("icc_profile")),
    )  # fmt: skip


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    is_upright = image.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT
    return image if is_upright else ImageOps.exif_transpose(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _WIDE_GRAY:
        return Image.fromarray(_eight_bits(np.asarray(image).astype(np.int64))).convert("RGB")
    if image.mode == "F":
        raise ValueError("32-bit floating point pixels have no known range")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _to_gray(image: Image.Image) -> Image.Image:
    if image.mode in _WIDE_GRAY:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"gray values from {values.min()} to {values.max()}: more than 16 bits")
        return Image.fromarray((values if values.max() <= 255 else values // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("32-bit floating point pixels have no known range")
    return image if image.mode == "L" else image.convert("RGB").convert("L")


def _eight_bits(values: NDArray[np.int64]) -> NDArray[np.uint8]:
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"gray values from {values.min()} to {values.max()}: more than 16 bits have no known range")
    full = 4095 if values.max() <= 4095 else 65535
    return ((values * 255 + full // 2) // full).astype(np.uint8)


def _name(source: ImageSource) -> str:
    return f"{len(source)} bytes in memory" if isinstance(source, bytes) else str(source)
