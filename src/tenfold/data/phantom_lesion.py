"""The phantom's lesion painter: from clinical features to optical layers, vectorized over lesions.

Coordinates (u, v) are in units of the lesion's radius, so a lesion's structure is the same in all its photographs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tenfold.data.phantom_conditions import FEATURE_INDEX
from tenfold.data.phantom_layers import FIELD_A_START, FIELD_B_START, WAVES, Array, Layer, Lesions, col, step, waves
from tenfold.data.phantom_parts import (
    paint_papules_and_dents,
    paint_pigment_structures,
    paint_rings_and_core,
    paint_satellites,
    paint_scale,
    paint_ulcer,
    paint_vessels,
)


def paint_lesion(
    layer: Layer, rows: NDArray[np.int64], u: Array, v: Array, features: Array, uniforms: Array, texture: Array
) -> None:
    """Adds lesions to the rows of the layer, in place. u, v: (N, H, W); features (N, F); uniforms (N, LESION_UNIFORMS);
    texture: (N, H, W) normal, the photograph's skin texture, used for flaking."""
    paint = Layer.blank(u.shape)
    lesions = _outline(u, v, features, uniforms)
    fill = _arrangement(lesions)
    _pigment(paint, lesions, fill)
    paint_rings_and_core(paint, lesions)
    paint_papules_and_dents(paint, lesions)
    paint_pigment_structures(paint, lesions)
    paint_vessels(paint, lesions, fill)
    paint_ulcer(paint, lesions)
    paint_satellites(paint, lesions)
    paint_scale(paint, lesions, fill, texture)
    np.maximum(paint.mask, lesions.body, out=paint.mask)
    for name in Layer.__dataclass_fields__:
        getattr(layer, name)[rows] = getattr(paint, name)


def _outline(u: Array, v: Array, features: Array, uniforms: Array) -> Lesions:
    """Border by harmonics of the angle; distance 1 is the border."""

    def feature(name: str) -> Array:
        column: Array = features[:, FEATURE_INDEX[name]]
        return column

    turn = uniforms[:, 0] * np.pi
    stretch = 1.0 + feature("elongation")
    cos, sin = col(np.cos(turn)), col(np.sin(turn))
    a, b = (u * cos + v * sin) / col(np.sqrt(stretch)), (v * cos - u * sin) * col(np.sqrt(stretch))
    radius = np.sqrt(a * a + b * b) + np.float32(1e-4)
    c1, s1 = a / radius, b / radius
    border = np.ones_like(radius)
    ck, sk, cj, sj = c1, s1, np.ones_like(c1), np.zeros_like(s1)
    for k in range(2, 8):
        ck, cj = 2 * c1 * ck - cj, ck
        sk, sj = 2 * c1 * sk - sj, sk
        spread = feature("asymmetry") * 0.20 / (k - 1) if k <= 3 else feature("border") * 0.34 / k
        amplitude = spread * (0.5 + uniforms[:, k])
        phase = uniforms[:, k + 8] * 2 * np.pi
        border += ck * col(amplitude * np.cos(phase)) + sk * col(amplitude * np.sin(phase))
    field_a = waves(u, v, uniforms[:, FIELD_A_START : FIELD_A_START + 2 * WAVES], 0.35, 1.1)
    field_b = waves(u, v, uniforms[:, FIELD_B_START : FIELD_B_START + 2 * WAVES], 0.5, 1.6)
    distance = radius / border + field_b * col(0.03 + 0.09 * feature("border"))
    body = step((1.0 - distance) / col(feature("edge")) + 0.5)
    return Lesions(features, uniforms, u, v, distance, body, field_a, field_b)


def _arrangement(lesions: Lesions) -> Array:
    """How much of the body's color shows: rings clear their center, papules and cores stand on a fainter patch."""
    ring, core = lesions.strength("ring"), lesions.strength("core")
    papules = lesions.strength("papules") * (ring == 0)
    inside = step((0.72 - lesions.distance) / 0.22)
    return np.asarray(
        (1.0 - inside * col(0.82 * ring)) * col(1.0 - 0.5 * papules) * (1.0 - col(0.3 * core) * inside),
        dtype=np.float32,
    )


def _pigment(paint: Layer, lesions: Lesions, fill: Array) -> None:
    """Base color, variegation, blue-black areas and the dome."""
    melanin, heme = lesions.strength("melanin"), lesions.strength("heme")
    variegation, lopsided = lesions.strength("variegation"), lesions.strength("asymmetry")
    tilt = lesions.u * col(0.35 * lopsided)
    patches = np.clip(lesions.field_a * 1.1 + tilt, -1.3, 1.3) * col(variegation)
    body = lesions.body * fill
    paint.melanin[...] = body * (col(melanin) * np.clip(1.0 + 0.62 * patches, 0.25, 2.0))
    paint.heme[...] = body * (col(heme) * np.clip(1.0 - 0.4 * patches, 0.3, 1.7))
    blue = lesions.strength("blue")
    paint.blue[...] = lesions.body * step(lesions.field_b * 0.7 + tilt + 0.1) * col(0.75 * blue)
    dome = np.clip(1.0 - lesions.distance * lesions.distance, 0.0, 1.0)
    raised = np.maximum(lesions.strength("plaque"), 0.0)
    paint.height[...] = np.sqrt(dome) * col(0.30 * lesions.strength("relief")) + lesions.body * fill * col(
        0.22 * raised
    )
    paint.height[...] += lesions.field_b * lesions.body * col(0.03 + 0.05 * raised)
    paint.gloss[...] = lesions.body * col(lesions.strength("gloss"))
