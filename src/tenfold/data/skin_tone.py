"""Skin tone: the individual typology angle (ITA) of the skin around a lesion, and the skin type it suggests.

ITA = arctan((L* - 50) / b*) * 180 / pi (Chardon et al. 1991), on the median color of skin pixels. Cameras and lighting
shift it by many degrees, so a type read off it is an estimate: good for seeing what is missing, never for a headline.
"""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from tenfold.data.phantom_skin import srgb_to_lab

ITA_BOUNDS_DEGREES = (55.0, 41.0, 28.0, 10.0, -30.0)
"""Above the first: type I; above the second: II; ... else VI. The six bins of Chardon 1991 and Del Bino & Bernerd 2013,
one for each Fitzpatrick type as in Groh et al. 2021 and in the phantom."""

SKIN_PRESETS = frozenset({"fitzpatrick17k", "ddi", "ham10000", "isic2020", "phantom"})
"""Formats of sources that hold photographs of skin."""

_SKIN_WORDS = re.compile(r"derm|skin|clinical|phantom", re.IGNORECASE)
_OTHER_WORDS = re.compile(r"histo|patho|microscop|smear|ultraso|x-?ray|radiogra|\bct\b|\bmri?\b", re.IGNORECASE)
_DERMOSCOPY = re.compile(r"derm\w*scop", re.IGNORECASE)

_BORDER_FRACTION = 0.2
_DILATION_FRACTION = 0.04
_SMALLEST_SHARE = 0.02
_FEWEST_PIXELS = 30
_CB = (77.0, 127.0)
_CR = (133.0, 173.0)
_DARKEST, _BRIGHTEST = 20, 250
_LEAST_YELLOW = 5.0


def is_skin_photograph(modality: str | None, source_format: str) -> bool:
    """Whether images are photographs of skin, as their modality says; without one, as their source's format does.

    >>> is_skin_photograph("dermatoscopic", "table"), is_skin_photograph("clinical photo", "folder")
    (True, True)
    >>> is_skin_photograph("histopathology of skin", "ham10000"), is_skin_photograph("chest x-ray", "cxr")
    (False, False)
    >>> is_skin_photograph(None, "ddi"), is_skin_photograph(None, "folder")
    (True, False)
    """
    if not modality:
        return source_format in SKIN_PRESETS
    return bool(_SKIN_WORDS.search(modality)) and not is_without_skin(modality)


def is_without_skin(modality: str) -> bool:
    """Whether the modality says that there is no skin to have a tone; a mere "photo" does not.

    >>> is_without_skin("chest x-ray"), is_without_skin("blood smear"), is_without_skin("photo")
    (True, True, False)
    """
    return bool(_OTHER_WORDS.search(_DERMOSCOPY.sub("derm", modality)))


def skin_ita(image: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None) -> float | None:
    """ITA in degrees, -90 to 90, of `skin_lab`; None where too little skin is to be seen.

    A median b* below 5 is no skin's: the light was tinted (as in much dermatoscopy), and the angle would mean nothing.
    """
    color = skin_lab(image, mask)
    if color is None or color[2] < _LEAST_YELLOW:
        return None
    return math.degrees(math.atan2(color[0] - 50.0, color[2]))


def skin_lab(image: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None) -> NDArray[np.float64] | None:
    """Median CIELAB (3,) of the skin in (H, W, 3) sRGB; None where too little skin is to be seen.

    mask: (H, W), 0 outside the lesion; the skin is looked for outside the mask and a margin around it. Without a mask
    it is looked for in a frame along the border, as lesions are mostly in the middle. Skin is what has the chroma of
    skin (Cb 77 to 127, Cr 133 to 173; Chai & Ngan 1999) and is neither black (corners, hair) nor blown out.
    """
    place = _border(image.shape[:2]) if mask is None or not mask.any() else ~_dilated(mask > 0)
    rgb = image[place].astype(np.float64)
    if not len(rgb):
        return None
    red, green, blue = rgb.T
    cb = 128.0 - 0.168736 * red - 0.331264 * green + 0.5 * blue
    cr = 128.0 + 0.5 * red - 0.418688 * green - 0.081312 * blue
    brightest = rgb.max(axis=1)
    is_skin = (cb >= _CB[0]) & (cb <= _CB[1]) & (cr >= _CR[0]) & (cr <= _CR[1])
    is_skin &= (brightest >= _DARKEST) & (rgb.min(axis=1) < _BRIGHTEST)
    count = int(is_skin.sum())
    if count < max(_FEWEST_PIXELS, _SMALLEST_SHARE * image.shape[0] * image.shape[1]):
        return None
    return np.asarray(np.median(srgb_to_lab(image[place][is_skin]), axis=0))


def skin_type_of_ita(ita_degrees: float) -> int:
    """The Fitzpatrick skin type, 1 to 6, in whose bin the angle lies.

    >>> [skin_type_of_ita(ita) for ita in (60.0, 50.0, 30.0, 20.0, 0.0, -40.0)]
    [1, 2, 3, 4, 5, 6]
    """
    return 1 + sum(ita_degrees <= bound for bound in ITA_BOUNDS_DEGREES)


def _border(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    frame = np.ones(shape[:2], dtype=bool)
    rows, columns = (round(length * _BORDER_FRACTION) for length in shape[:2])
    frame[rows : shape[0] - rows, columns : shape[1] - columns] = False
    return frame


def _dilated(lesion: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation

    steps = max(1, round(_DILATION_FRACTION * max(lesion.shape)))
    return np.asarray(binary_dilation(lesion, iterations=steps), dtype=bool)
