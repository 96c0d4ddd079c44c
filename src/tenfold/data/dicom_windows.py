"""DICOM windows: which part of the stored values becomes black to white."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from tenfold.core.errors import DataError
from tenfold.data.import_items import nearest_names

Window = tuple[float, float]
"""Center and width, in the units after rescaling (Hounsfield units in CT)."""

FILE_WINDOW = "file"
"""The word for the window that the file itself proposes."""

CT_WINDOWS: Mapping[str, Window] = MappingProxyType({
    "brain": (40, 80), "subdural": (75, 215), "stroke": (40, 40), "bone": (400, 1800), "lung": (-600, 1500),
    "mediastinum": (50, 350), "abdomen": (50, 400), "liver": (30, 150), "soft_tissue": (40, 400),
})  # fmt: skip
"""Named CT windows (center, width) in Hounsfield units, as commonly taught (subdural: the middle of 50-100/130-300)."""

_NUMBER = r"[+-]?\d+(?:\.\d+)?"


def parse_window(text: str) -> Window | None:
    """The window that a word of `CT_WINDOWS` or ``CENTER/WIDTH`` means; None for ``file``.

    DataError, with the nearest name, for anything else and for a width that is not above 0.
    """
    word = text.strip().lower().replace("-", "_").replace(" ", "_")
    if word == FILE_WINDOW:
        return None
    if word in CT_WINDOWS:
        return CT_WINDOWS[word]
    numbers = re.fullmatch(rf"\s*({_NUMBER})\s*/\s*({_NUMBER})\s*", text)
    if numbers and float(numbers[2]) > 0:
        return float(numbers[1]), float(numbers[2])
    names = [FILE_WINDOW, *CT_WINDOWS]
    raise DataError(
        "the width of a window must be above 0" if numbers else f"there is no window {text!r}",
        where="intake.dicom.window",
        expected=f"one of {', '.join(names)}, or CENTER/WIDTH, e.g. 40/400",
        todo="give a width above 0" if numbers else nearest_names([text], names),
    )


def is_named(text: str) -> bool:
    """Whether the text is the name of a CT window, which has a meaning in Hounsfield units only."""
    return text.strip().lower().replace("-", "_").replace(" ", "_") in CT_WINDOWS


def window_text(window: Window) -> str:
    """``40/400``: center and width, as `parse_window` reads them."""
    return f"{window[0]:g}/{window[1]:g}"
