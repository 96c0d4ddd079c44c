"""DICOM gray values: stored values through the modality and VOI transforms to 8-bit gray, and words for which."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tenfold.data.dicom_header import file_window, group_value, numbers, text_of, whole
from tenfold.data.dicom_windows import Window

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PERCENTILES = (0.5, 99.5)
"""Of deep data without any window: what becomes black and white, so that a few extreme pixels do not dim the rest."""

_SMALLEST_RANGE = 1e-30


def gray_picture(dataset: Dataset, stored: NDArray[Any], frame: int, window: Window | None) -> NDArray[np.uint8] | None:
    """Gray (H, W) uint8 of stored values (H, W), in the given window or as the file says; None when not finite.

    Padding is black. See `decode_dicom` for the order of the transforms.
    """
    padding = _padding(dataset, stored)
    values = _modality_values(dataset, stored, frame)
    if not np.isfinite(values).all():
        return None
    fractions = _shown(dataset, values, padding, frame, window)
    if text_of(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1":
        fractions = 1.0 - fractions
    gray: NDArray[np.uint8] = np.rint(np.clip(fractions, 0.0, 1.0) * 255.0).astype(np.uint8)
    if padding is not None:
        gray[padding] = 0
    return gray


def _shown(
    dataset: Dataset, values: NDArray[Any], padding: NDArray[np.bool_] | None, frame: int, window: Window | None
) -> NDArray[np.float32]:
    """Fractions of white (H, W), partly outside [0, 1]."""
    if window is not None:
        return _linear(values, window)
    if dataset.get("VOILUTSequence"):
        return _voi_table(dataset, values)
    group = group_value(dataset, frame, "FrameVOILUTSequence")
    own = (None if group is None else file_window(group)) or file_window(dataset)
    function = (text_of(group, "VOILUTFunction") if group else "") or text_of(dataset, "VOILUTFunction")
    if own is not None:
        return _window_of_file(values, own, function.upper())
    if is_ready_to_show(dataset):
        full = float((1 << (whole(dataset, "BitsStored") or 8)) - 1)
        return np.asarray(values / full, dtype=np.float32)
    inside = values if padding is None or padding.all() else values[~padding]
    low, high = (float(bound) for bound in np.percentile(inside, PERCENTILES))
    if low == high:
        low, high = float(inside.min()), float(inside.max())
    return np.asarray((values - low) / max(high - low, _SMALLEST_RANGE), dtype=np.float32)


def is_ready_to_show(dataset: Dataset) -> bool:
    """Whether stored values are gray levels already: unsigned, of 8 bits or fewer, and not rescaled."""
    slope, intercept = _rescale(dataset, None)
    bits = whole(dataset, "BitsStored") or 16
    is_plain = slope == 1.0 and intercept == 0.0 and not dataset.get("ModalityLUTSequence")
    return bits <= 8 and not whole(dataset, "PixelRepresentation") and is_plain


def _padding(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where pixels only fill the frame (CT's corners), by PixelPaddingValue and its range."""
    first, last = whole(dataset, "PixelPaddingValue"), whole(dataset, "PixelPaddingRangeLimit")
    if first is None:
        return None
    low, high = sorted((first, first if last is None else last))
    padding: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return padding if padding.any() and not padding.all() else None


def _modality_values(dataset: Dataset, stored: NDArray[Any], frame: int) -> NDArray[Any]:
    """Values in the file's units (Hounsfield units in CT): by table, or by slope and intercept in float32."""
    if dataset.get("ModalityLUTSequence"):
        from pydicom.pixels.processing import apply_modality_lut

        return np.asarray(apply_modality_lut(stored.astype(np.int32), dataset))
    slope, intercept = _rescale(dataset, frame)
    values: NDArray[Any] = stored.astype(np.float64 if stored.dtype.itemsize > 2 else np.float32)
    values *= slope
    values += intercept
    return values


def _rescale(dataset: Dataset, frame: int | None) -> tuple[float, float]:
    group = group_value(dataset, frame, "PixelValueTransformationSequence")
    place = dataset if group is None else group
    return _number(place, "RescaleSlope", 1.0), _number(place, "RescaleIntercept", 0.0)


def _number(dataset: Dataset, keyword: str, default: float) -> float:
    """The tag's number; NaN when it is there but is no finite number; a slope of 0 would erase the image: 1."""
    if not text_of(dataset, keyword):
        return math.nan if dataset.get_item(keyword) is not None and dataset.get_item(keyword).value else default
    found = numbers(dataset, keyword)
    return found[0] if found else math.nan


def _voi_table(dataset: Dataset, values: NDArray[Any]) -> NDArray[np.float32]:
    from pydicom.pixels.processing import apply_voi

    shown = apply_voi(np.rint(values).astype(np.int32), dataset)
    depth = int(numbers(dataset["VOILUTSequence"].value[0], "LUTDescriptor")[2])
    return np.asarray(shown, dtype=np.float32) / float(2**depth - 1)


def _window_of_file(values: NDArray[Any], window: Window, function: str) -> NDArray[np.float32]:
    """DICOM PS3.3 C.11.2.1.3: LINEAR (the default), LINEAR_EXACT or SIGMOID."""
    center, width = window
    if function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -80, 80))), dtype=np.float32)
    if function == "LINEAR_EXACT":
        return np.asarray((values - center) / width + 0.5, dtype=np.float32)
    return _linear(values, window)


def _linear(values: NDArray[Any], window: Window) -> NDArray[np.float32]:
    """DICOM PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5), a step where the width is 1 or less."""
    center, width = window
    if width <= 1:
        return np.asarray(values > center - 0.5, dtype=np.float32)
    return np.asarray((values - (center - 0.5)) / (width - 1.0) + 0.5, dtype=np.float32)
