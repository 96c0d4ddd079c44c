"""Vectorized rendering of phantom photographs: skin, lesion, light and camera, over a whole batch.

Everything is float32 numpy over (B, H, W). An image depends on its own row of the inputs only. Lesions are an optical
layer on the skin: reflectance = skin * exp(-melanin * absorbance - heme * absorbance), so that dark skin shows red
lesions as violaceous, plus a height field lit from one side, plus opaque things (scale, crust, hair).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.data.phantom_conditions import FEATURE_INDEX
from tenfold.data.phantom_layers import LESION_UNIFORMS, Array, Layer, col
from tenfold.data.phantom_lesion import paint_lesion

MAX_HAIRS = 11
PHOTO_UNIFORMS = 32 + 5 * MAX_HAIRS
NOISE_FIELDS = 4
"""Normal fields per photograph: skin texture, then sensor noise for R, G and B."""
COARSE_CELLS = 9
CHUNK_IMAGES = 16
"""Images rendered together; small enough for the processor's cache, without effect on the result."""


@dataclass(frozen=True)
class RenderInputs:
    """Everything a batch of photographs is made of; B rows, uniforms in [0, 1)."""

    features: Array
    """(B, len(FEATURES)) clinical features; size 0 means healthy skin."""
    lesion_uniforms: Array
    """(B, LESION_UNIFORMS) geometry of the lesion, the same in all its photographs."""
    skin: Array
    """(B, 3) linear RGB of the skin."""
    darkness: Array
    """(B,) 0 on types I-IV, 0.6 on V and 1 on VI: how far heme reads as violaceous."""
    hair: Array
    """(B, 2) hair density in [0, 1] and hair lightness in [0, 1]."""
    photo_uniforms: Array
    """(B, PHOTO_UNIFORMS) view, light, camera and hair of this photograph."""
    noise: Array
    """(B, NOISE_FIELDS, H, W) standard normal."""
    coarse: Array
    """(B, 2, COARSE_CELLS, COARSE_CELLS) standard normal, low-frequency mottling of the skin."""


def render(inputs: RenderInputs) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Photographs (B, H, W, 3) sRGB uint8 and lesion masks (B, H, W) uint8, 0 or 255."""
    count, _, size_px, _ = inputs.noise.shape
    images = np.empty((count, size_px, size_px, 3), dtype=np.uint8)
    masks = np.empty((count, size_px, size_px), dtype=np.uint8)
    for start in range(0, count, CHUNK_IMAGES):
        part = slice(start, min(start + CHUNK_IMAGES, count))
        chunk = RenderInputs(**{name: getattr(inputs, name)[part] for name in inputs.__dataclass_fields__})
        images[part], masks[part] = _render_chunk(chunk)
    return images, masks


def _render_chunk(inputs: RenderInputs) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    photo = inputs.photo_uniforms
    size_px = inputs.noise.shape[-1]
    axis = ((np.arange(size_px, dtype=np.float32) + 0.5) / size_px * 2 - 1).astype(np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")

    texture = smooth3(inputs.noise[:, 0])
    mottling = upsample(inputs.coarse, size_px)
    layer = Layer.blank(inputs.noise[:, 0].shape)
    diseased = np.flatnonzero(inputs.features[:, FEATURE_INDEX["size"]] > 0)
    if diseased.size:
        u, v = _view(x, y, photo[diseased], inputs.features[diseased, FEATURE_INDEX["size"]])
        paint_lesion(
            layer, diseased, u, v, inputs.features[diseased], inputs.lesion_uniforms[diseased], texture[diseased]
        )

    reflectance = _skin_and_lesion(inputs, layer, texture, mottling)
    _draw_hair(reflectance, x, y, inputs)
    lit = _light(reflectance, layer, x, y, photo)
    return _camera(lit, inputs), (layer.mask > 0.5).astype(np.uint8) * np.uint8(255)


def _view(x: Array, y: Array, photo: Array, size: Array) -> tuple[Array, Array]:
    """Lesion coordinates (B, H, W) in lesion radii: shift, small rotation and scale of the photograph."""
    turn = (photo[:, 0] - 0.5) * 0.9
    scale = size * (0.9 + 0.2 * photo[:, 1])
    reach = 0.5 * np.clip(1.05 - scale, 0.15, 0.6)
    dx = x - col((photo[:, 2] * 2 - 1) * reach)
    dy = y - col((photo[:, 3] * 2 - 1) * reach)
    cos, sin = col(np.cos(turn) / scale), col(np.sin(turn) / scale)
    return dx * cos + dy * sin, dy * cos - dx * sin


def _skin_and_lesion(inputs: RenderInputs, layer: Layer, texture: Array, mottling: Array) -> list[Array]:
    """Linear reflectance, three (B, H, W) planes."""
    photo, dark = inputs.photo_uniforms, inputs.darkness
    pores = np.clip(texture - 1.35, 0.0, 1.2) * col(0.06 + 0.16 * photo[:, 4])
    melanin = (
        layer.melanin
        + mottling[:, 0] * col(0.03 + 0.04 * photo[:, 5])
        + texture * col(0.012 + 0.022 * photo[:, 6])
        + pores
    )
    heme = layer.heme + mottling[:, 1] * col(0.03 + 0.05 * photo[:, 7])
    melanin_absorbance = (0.62, 0.92, 1.15)
    heme_absorbance = (0.16 + 0.5 * dark, 0.95 - 0.1 * dark, 0.75 - 0.22 * dark)
    scale_color = (0.66, 0.59, 0.54)
    crust_color = (0.20, 0.055, 0.04)
    planes = []
    for k in range(3):
        plane = col(inputs.skin[:, k]) * np.exp(
            -melanin * np.float32(melanin_absorbance[k]) - heme * col(heme_absorbance[k])
        )
        plane += layer.crust * (np.float32(crust_color[k]) * col(1.0 - 0.45 * dark) - plane)
        plane += layer.blue * (np.float32((0.052, 0.055, 0.078)[k]) * col(1.0 - 0.5 * dark) - plane)
        plane += layer.white * (np.float32(scale_color[k]) * col(0.42 + 1.0 * inputs.skin[:, 0]).clip(0.0, 1.0) - plane)
        planes.append(plane)
    return planes


def _draw_hair(planes: list[Array], x: Array, y: Array, inputs: RenderInputs) -> None:
    """Blends curved hairs over the planes, in place; number, width and opacity follow patient and photo."""
    photo = inputs.photo_uniforms
    size_px = x.shape[0]
    density, lightness = inputs.hair[:, 0], inputs.hair[:, 1]
    number = np.floor(np.clip(density * 1.35 - 0.68 + 0.4 * (photo[:, 8] - 0.5), 0.0, 1.0) * MAX_HAIRS)
    main_angle = photo[:, 9] * np.pi
    for k in range(MAX_HAIRS):
        rows = np.flatnonzero(number > k)
        if not rows.size:
            return
        h = photo[rows, 32 + 5 * k : 37 + 5 * k]
        angle = main_angle[rows] + (h[:, 0] - 0.5) * 1.5
        cos, sin = col(np.cos(angle)), col(np.sin(angle))
        along = x * cos + y * sin - col((h[:, 1] - 0.5) * 1.4)
        across = y * cos - x * sin - col((h[:, 2] * 2 - 1) * 1.1) - col((h[:, 3] - 0.5) * 0.9) * along * along
        width = col(0.010 + 0.016 * photo[rows, 10] * (0.6 + 0.8 * h[:, 4]))
        pixel = np.float32(2.0 / size_px)
        alpha = np.clip((width - np.abs(across)) / pixel + 0.5, 0.0, 1.0) * np.clip(
            (col(0.5 + 0.7 * h[:, 4]) - np.abs(along)) * 8, 0.0, 1.0
        )
        alpha *= np.minimum(1.0, 2 * width / pixel) * col(0.5 + 0.4 * photo[rows, 11])
        for plane, dark_hair, fair_hair in zip(planes, (0.030, 0.022, 0.018), (0.30, 0.20, 0.10), strict=True):
            color = col(dark_hair + (fair_hair - dark_hair) * lightness[rows])
            plane[rows] += alpha * (color - plane[rows])


def _light(planes: list[Array], layer: Layer, x: Array, y: Array, photo: Array) -> list[Array]:
    """Relief shading, specular shine, exposure, illumination gradient, color cast and vignette."""
    size_px = x.shape[0]
    angle = photo[:, 12] * 2 * np.pi
    slope = central_differences(layer.height)
    shade = (slope[0] * col(np.cos(angle)) + slope[1] * col(np.sin(angle))) * np.float32(size_px / 64)
    shade = np.clip(shade * col(1.4 + 1.2 * photo[:, 13]), -0.42, 0.5)
    shine = np.clip(shade - 0.16, 0.0, 0.4) * layer.gloss * np.float32(0.6)
    gradient = (x * col(np.cos(angle)) + y * col(np.sin(angle))) * col(0.04 + 0.18 * photo[:, 14])
    corner = (x * x + y * y) * col(0.14 * np.clip(photo[:, 15] * 1.6 - 0.6, 0.0, 1.0))
    light = (1.0 + gradient) * (1.0 - corner) * (1.0 + shade)
    exposure = 0.90 + 0.20 * photo[:, 16]
    warm, green = (photo[:, 17] - 0.5) * 0.12, (photo[:, 18] - 0.5) * 0.05
    gains = (exposure * (1 + warm), exposure * (1 + green), exposure * (1 - warm))
    return [plane * light * col(gain) + shine for plane, gain in zip(planes, gains, strict=True)]


def _camera(planes: list[Array], inputs: RenderInputs) -> NDArray[np.uint8]:
    """Slight blur, tone curve, saturation, sensor noise and 8-bit sRGB."""
    photo = inputs.photo_uniforms
    size_px = inputs.noise.shape[-1]
    soft = col(np.clip(photo[:, 19] * 1.1 - 0.25, 0.0, 0.8))
    coded: list[Array] = []
    for plane in planes:
        blurred = smooth3(plane, gain=1.0)
        focused = np.clip(plane + soft * (blurred - plane), 0.0, 1.0)
        power = np.float32(1.055) * np.power(focused, np.float32(1 / 2.4))
        coded.append(np.asarray(power - np.float32(0.055) * np.minimum(1.0, focused * 50), dtype=np.float32))
    gray = (coded[0] + coded[1] + coded[2]) / 3
    saturation = col(0.88 + 0.22 * photo[:, 20])
    grain = col(0.004 + 0.014 * photo[:, 21])
    output = np.empty((len(photo), size_px, size_px, 3), dtype=np.uint8)
    shared = inputs.noise[:, 1]
    for k, plane in enumerate(coded):
        value = np.asarray(gray + saturation * (plane - gray), dtype=np.float32)
        noise = shared if k == 0 else shared * np.float32(0.6) + inputs.noise[:, 1 + k] * np.float32(0.6)
        noisy = value + grain * noise * (1.15 - 0.5 * value)
        output[..., k] = np.clip(noisy * 255 + 0.5, 0.0, 255.0)
    return output


def smooth3(field: Array, gain: float = 2.0) -> Array:
    """Binomial 3x3 smoothing (1 2 1) of (B, H, W) with edges repeated, times gain (2 keeps white noise visible)."""
    out = field * np.float32(0.5)
    out[:, 1:] += field[:, :-1] * np.float32(0.25)
    out[:, :1] += field[:, :1] * np.float32(0.25)
    out[:, :-1] += field[:, 1:] * np.float32(0.25)
    out[:, -1:] += field[:, -1:] * np.float32(0.25)
    wide = out * np.float32(0.5)
    wide[:, :, 1:] += out[:, :, :-1] * np.float32(0.25)
    wide[:, :, :1] += out[:, :, :1] * np.float32(0.25)
    wide[:, :, :-1] += out[:, :, 1:] * np.float32(0.25)
    wide[:, :, -1:] += out[:, :, -1:] * np.float32(0.25)
    return wide * np.float32(gain)


def central_differences(field: Array) -> tuple[Array, Array]:
    """Differences of (B, H, W) along x and along y, 0 on the frame's edge."""
    dx, dy = np.zeros_like(field), np.zeros_like(field)
    np.subtract(field[:, :, 2:], field[:, :, :-2], out=dx[:, :, 1:-1])
    np.subtract(field[:, 2:, :], field[:, :-2, :], out=dy[:, 1:-1, :])
    return dx, dy


def upsample(coarse: Array, size_px: int) -> Array:
    """Smooth (cosine-weighted) enlargement of (B, C, N, N) to (B, C, size_px, size_px)."""
    cells = coarse.shape[-1]
    position = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px * (cells - 1)
    low = np.clip(np.floor(position).astype(np.int64), 0, cells - 2)
    t = position - low
    t = (t * t * (3 - 2 * t)).astype(np.float32)
    rows = coarse[:, :, low, :] * (1 - t)[:, None] + coarse[:, :, low + 1, :] * t[:, None]
    fine: Array = rows[..., low] * (1 - t) + rows[..., low + 1] * t
    return fine


__all__ = ["LESION_UNIFORMS", "MAX_HAIRS", "NOISE_FIELDS", "PHOTO_UNIFORMS", "RenderInputs", "render"]
