"""DICOM decoding: the stored values of one frame, and clear words where they cannot be had."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tenfold.data.dicom_header import (
    DEFLATED,
    INSTALL_HINT,
    fault,
    frame_count,
    opened,
    read_dataset,
    text_of,
    transfer_syntax,
    uid_of,
    whole,
)
from tenfold.data.images import ImageError, ImageSource

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_PIXELS = {"PixelData", "FloatPixelData", "DoubleFloatPixelData"}
_PARTIAL = ("YBR_PARTIAL_422", "YBR_PARTIAL_420")


def decode_frame(dataset: Dataset, source: ImageSource, frame: int) -> NDArray[Any]:
    """Stored values (H, W) or (H, W, samples) of a frame, colors as RGB; only that frame is decoded.

    ImageError when the pixels are missing, cut off, damaged or compressed in a way no installed decoder reads.
    """
    syntax = transfer_syntax(dataset)
    refuse_unreadable(syntax, whole(dataset, "BitsStored") or 8, source)
    _refuse_truncated(dataset, syntax, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(dataset, syntax, source, frame)
    except ImageError:
        raise
    except Exception as error:  # decoders raise nearly every type over damaged data; their texts may quote the header
        if _says_no_pixels(error):
            raise _missing(source) from None
        what = "the DICOM pixels cannot be decoded: the file is truncated or damaged"
        if is_compressed(syntax) and _missing_decoders(syntax):
            what += f", or it needs another decoder ({INSTALL_HINT})"
        raise fault("damaged_image", what, source) from None


def refuse_unreadable(syntax: str, bits: int, source: ImageSource) -> None:
    """ImageError when no installed decoder reads this transfer syntax at this depth."""
    from pydicom.pixels.decoders.base import get_decoder

    uid = uid_of(syntax)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoder = get_decoder(uid)
    except NotImplementedError:
        name = uid.name if uid.is_transfer_syntax else "an unknown transfer syntax"
        raise fault(
            "unsupported_compression",
            f"the DICOM pixels are stored as {name}, which is not read",
            source,
            expected="single images: export video clips as frames",
        ) from None
    only_pillow = tuple(decoder.available_plugins) == ("pillow",)
    if not decoder.is_available or (syntax == _JPEG_EXTENDED and bits > 8 and only_pillow):
        raise fault(
            "unsupported_compression",
            f"the DICOM pixels are compressed as {uid.name}, for which no decoder is installed: "
            f"install it with {INSTALL_HINT}",
            source,
            expected="pixels that are not compressed, or by RLE, JPEG baseline or JPEG 2000",
        )


def is_compressed(syntax: str) -> bool:
    """Whether the transfer syntax compresses pixels (a deflated file is compressed as a whole, not its pixels)."""
    uid = uid_of(syntax)
    return bool(uid.is_transfer_syntax and uid.is_encapsulated)


def _decoded(dataset: Dataset, syntax: str, source: ImageSource, frame: int) -> NDArray[Any]:
    from pydicom.pixels.utils import pixel_array

    has_syntax = bool(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID"))
    if has_syntax and syntax.encode() != DEFLATED:
        try:
            with opened(source) as stream:
                values = pixel_array(stream, index=frame)
        except (ValueError, AttributeError):
            values = _by_whole_file(source, syntax, frame)
    else:
        values = _by_whole_file(source, syntax, frame)
    if text_of(dataset, "PhotometricInterpretation").upper() in _PARTIAL and not is_compressed(syntax):
        return _rgb_of_partial(values)
    return values


def _by_whole_file(source: ImageSource, syntax: str, frame: int) -> NDArray[Any]:
    """The slower way, for files that are deflated, say no transfer syntax, or mix encodings."""
    from pydicom.pixels.utils import pixel_array

    dataset = read_dataset(source, with_pixels=True)
    if not _PIXELS & set(dataset.dir()):
        raise _missing(source)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = uid_of(syntax)
    return pixel_array(dataset, index=frame)


def _refuse_truncated(dataset: Dataset, syntax: str, source: ImageSource) -> None:
    """A file of uncompressed pixels can be no smaller than they are."""
    if is_compressed(syntax) or syntax.encode() == DEFLATED:
        return
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    samples, bits = whole(dataset, "SamplesPerPixel") or 1, whole(dataset, "BitsAllocated") or 8
    pixels = (whole(dataset, "Rows") or 0) * (whole(dataset, "Columns") or 0) * frame_count(dataset)
    half = 3 if text_of(dataset, "PhotometricInterpretation").upper().endswith("_422") else 0
    needed = pixels * samples * bits // 8 if not half else pixels * 2 * bits // 8
    if size >= needed:
        return
    if _has_no_pixels(source):
        raise _missing(source)
    what = f"the DICOM file is truncated: it has {size} bytes, and its pixels alone need {needed}"
    raise fault("damaged_image", what, source)


def _has_no_pixels(source: ImageSource) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = read_dataset(source, with_pixels=True)
        except ImageError:
            return False
    return not _PIXELS & set(found.dir())


def _says_no_pixels(error: Exception) -> bool:
    return isinstance(error, AttributeError) and "no pixel data" in str(error).lower()


def _missing(source: ImageSource) -> ImageError:
    return fault("missing_pixel_data", "the DICOM file has a header but no pixel data", source)


def _missing_decoders(syntax: str) -> bool:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEGBaseline8Bit, RLELossless

    return syntax not in (RLELossless, JPEGBaseline8Bit) and bool(get_decoder(syntax).missing_dependencies)


def _rgb_of_partial(values: NDArray[Any]) -> NDArray[np.uint8]:
    """RGB of YBR with the range of studios: luma 16-235, chroma 16-240 (ITU-R BT.601; DICOM PS3.3 C.7.6.3.1.2)."""
    luma = 1.1644 * (values[..., 0].astype(np.float32) - 16.0)
    blue, red = values[..., 1].astype(np.float32) - 128.0, values[..., 2].astype(np.float32) - 128.0
    colors = np.stack([luma + 1.5960 * red, luma - 0.3918 * blue - 0.8130 * red, luma + 2.0172 * blue], axis=-1)
    rgb: NDArray[np.uint8] = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
    return rgb
