"""Skin colors of the phantom: individual typology angle, CIELAB and linear RGB.

ITA = arctan((L* - 50) / b*) * 180 / pi (Chardon et al. 1991); bins after Chardon 1991 and Del Bino & Bernerd 2013,
taken for Fitzpatrick skin types I-VI as Groh et al. 2021 do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROMAN = ("", "I", "II", "III", "IV", "V", "VI")
TONE_WORDS = ("", "light", "light", "medium", "medium", "dark", "dark")

ITA_BINS_DEGREES = ((0.0, 0.0), (56.0, 68.0), (42.0, 54.0), (29.0, 41.0), (11.0, 27.0), (-26.0, 4.0), (-54.0, -33.0))
"""ITA range drawn for each skin type (index 1-6), inside the published bins so that neighbors stay apart."""

_B_STAR = np.array([[0, 0], [9, 13], [11, 16], [14, 19], [17, 22], [15, 20], [10, 15]], dtype=np.float32)
_A_STAR = np.array([[0, 0], [7, 12], [7, 12], [8, 13], [9, 14], [9, 13], [7, 11]], dtype=np.float32)
_XYZ_TO_RGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]], dtype=np.float64
)
_WHITE_D65 = np.array([0.95047, 1.0, 1.08883])


def skin_rgb(skin_types: NDArray[np.int64], uniforms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear RGB (B, 3) in [0, 1] of skin of types (B,) 1-6, uniforms (B, 3): ITA, b* and a* in its range."""
    ita_bins = np.array(ITA_BINS_DEGREES)[skin_types]
    ita = ita_bins[:, 0] + (ita_bins[:, 1] - ita_bins[:, 0]) * uniforms[:, 0]
    b_range, a_range = _B_STAR[skin_types], _A_STAR[skin_types]
    b_star = b_range[:, 0] + (b_range[:, 1] - b_range[:, 0]) * uniforms[:, 1]
    a_star = a_range[:, 0] + (a_range[:, 1] - a_range[:, 0]) * uniforms[:, 2]
    lightness = 50.0 + b_star * np.tan(np.deg2rad(ita))
    return lab_to_linear_rgb(np.stack([lightness, a_star, b_star], axis=-1))


def lab_to_linear_rgb(lab: NDArray[np.floating]) -> NDArray[np.float32]:
    """CIELAB (..., 3), D65, to linear RGB (..., 3) clipped to [0, 1]."""
    fy = (lab[..., 0] + 16.0) / 116.0
    f = np.stack([fy + lab[..., 1] / 500.0, fy, fy - lab[..., 2] / 200.0], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _WHITE_D65
    rgb = sum(xyz[..., k, None] * _XYZ_TO_RGB[:, k] for k in range(3))
    clipped: NDArray[np.float32] = np.clip(rgb, 0.0, 1.0).astype(np.float32)
    return clipped


def srgb_to_linear(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """sRGB (..., 3) uint8 to linear RGB in [0, 1]."""
    s = image.astype(np.float64) / 255.0
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Linear RGB (..., 3), clipped to [0, 1], to sRGB uint8."""
    clipped = np.clip(linear, 0.0, 1.0)
    s = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(s * 255.0), dtype=np.uint8)


def srgb_to_lab(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """sRGB (..., 3) uint8 to CIELAB (..., 3), D65."""
    linear = srgb_to_linear(image)
    inverse = np.linalg.inv(_XYZ_TO_RGB)
    xyz = sum(linear[..., k, None] * inverse[:, k] for k in range(3)) / _WHITE_D65
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116.0 * f[..., 1] - 16.0, 500.0 * (f[..., 0] - f[..., 1]), 200.0 * (f[..., 1] - f[..., 2])], axis=-1
    )


def measured_ita(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    """Median ITA in degrees of the skin outside the lesion. image: (H, W, 3) sRGB; mask: (H, W), 0 on skin."""
    skin = image[mask == 0]
    lab = np.median(srgb_to_lab(skin if len(skin) else image.reshape(-1, 3)), axis=0)
    return float(np.rad2deg(np.arctan2(lab[0] - 50.0, lab[2])))
