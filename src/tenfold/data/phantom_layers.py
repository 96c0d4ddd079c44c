"""The phantom's optical layers and the small fields that lesions are painted with.

Arrays are float32; lesion coordinates (u, v) are in units of the lesion's radius.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.data.phantom_conditions import FEATURE_INDEX

Array = NDArray[np.float32]

MAX_PAPULES, MAX_SATELLITES, MAX_GLOBULES = 9, 8, 14
WAVES = 6
FIELD_A_START, FIELD_B_START, FIELD_C_START = 24, 24 + 2 * WAVES, 24 + 4 * WAVES
PAPULES_START = 24 + 6 * WAVES
SATELLITES_START = PAPULES_START + 3 * MAX_PAPULES
GLOBULES_START = SATELLITES_START + 3 * MAX_SATELLITES
LESION_UNIFORMS = GLOBULES_START + 3 * MAX_GLOBULES
"""Uniforms in [0, 1) that fix one lesion's geometry."""


@dataclass(frozen=True)
class Layer:
    """Optical layers over the skin, each (B, H, W).

    Melanin and heme: dose; white, crust and blue: opacity in [0, 1]; height: in an arbitrary unit; gloss, mask: [0, 1].
    """

    melanin: Array
    heme: Array
    white: Array
    crust: Array
    blue: Array
    height: Array
    gloss: Array
    mask: Array

    @staticmethod
    def blank(shape: tuple[int, ...]) -> Layer:
        """Healthy skin."""
        return Layer(*(np.zeros(shape, dtype=np.float32) for _ in range(8)))


@dataclass(frozen=True)
class Lesions:
    """A batch of lesions while being painted: N rows, maps (N, H, W)."""

    features: Array
    uniforms: Array
    u: Array
    v: Array
    distance: Array
    body: Array
    field_a: Array
    field_b: Array

    def strength(self, name: str) -> Array:
        """The feature's column (N,)."""
        column: Array = self.features[:, FEATURE_INDEX[name]]
        return column


def nearest_spot(
    lesions: Lesions, rows: NDArray[np.int64], angle: Array, reach: Array, radius: Array, number: Array
) -> Array:
    """Squared distance (N, H, W) to a lesion's nearest spot in units of that spot's radius; huge without spots."""
    u, v = lesions.u[rows], lesions.v[rows]
    px, py = (np.cos(angle) * reach).astype(np.float32), (np.sin(angle) * reach).astype(np.float32)
    inverse = (1.0 / (radius * radius)).astype(np.float32)
    inverse = np.where(np.arange(inverse.shape[1]) < number[:, None], inverse, np.float32(1e6))
    nearest = np.full_like(u, 1e6)
    for k in range(inverse.shape[1]):
        du, dv = u - px[:, k, None, None], v - py[:, k, None, None]
        du *= du
        dv *= dv
        du += dv
        du *= inverse[:, k, None, None]
        np.minimum(nearest, du, out=nearest)
    return nearest


def waves(u: Array, v: Array, uniforms: Array, low: float, high: float) -> Array:
    """A smooth random field (N, H, W), spread about 1: plane waves of ``low`` to ``high`` cycles per lesion radius."""
    total = np.zeros_like(u)
    for k in range(WAVES):
        frequency = 2 * np.pi * (low + (high - low) * k / (WAVES - 1))
        angle = uniforms[:, 2 * k] * 2 * np.pi
        wave = u * col(np.cos(angle) * frequency)
        wave += v * col(np.sin(angle) * frequency)
        wave += col(uniforms[:, 2 * k + 1] * 2 * np.pi)
        total += np.cos(wave, out=wave)
    return total * np.float32(np.sqrt(2 / WAVES))


def step(t: NDArray[np.floating]) -> Array:
    """Smoothstep of t clipped to [0, 1]."""
    t = np.clip(t, 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def col(values: NDArray[np.floating]) -> Array:
    """Per-image scalars (N,) as (N, 1, 1) float32."""
    return np.asarray(values, dtype=np.float32)[:, None, None]
