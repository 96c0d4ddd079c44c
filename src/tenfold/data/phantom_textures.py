"""General procedural textures: pictures that are not skin, so that an autoencoder also carries other modalities.

Dead leaves (Lee, Mumford & Huang 2001), 1/f noise (Field 1987), gradients, shapes, cells on white, gray anatomy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_CELL_COLOR = np.array([0.75, 0.5, 0.6], dtype=np.float32)
_NUCLEUS_COLOR = np.array([0.42, 0.25, 0.55], dtype=np.float32)

TEXTURES = (
    "dead leaves",
    "cloud noise",
    "a gradient",
    "shapes",
    "stripes",
    "cells on white",
    "gray anatomy",
    "speckle",
)
_COLORABLE = {"dead leaves", "cloud noise", "a gradient", "shapes", "stripes"}


def draw_texture(rng: np.random.Generator, size_px: int) -> tuple[NDArray[np.uint8], str, str]:
    """One texture (H, W, 3) uint8, its kind (one of TEXTURES) and its caption, from the image's own generator."""
    kind = TEXTURES[int(rng.integers(len(TEXTURES)))]
    axis = ((np.arange(size_px, dtype=np.float32) + 0.5) / size_px * 2 - 1).astype(np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    image = _DRAWERS[kind](rng, x, y)
    gray = kind not in _COLORABLE or rng.random() < 0.3
    if gray and kind != "cells on white":
        image = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    noise = rng.standard_normal((size_px, size_px, 1), dtype=np.float32) * np.float32(0.02 * rng.random())
    coded = np.clip((image + noise) * 255 + 0.5, 0, 255).astype(np.uint8)
    return coded, kind, f"a texture of {kind}" + (", grayscale" if gray and kind in _COLORABLE else "")


def _color(rng: np.random.Generator) -> Array:
    return rng.random(3, dtype=np.float32)


def _blend(image: Array, alpha: Array, color: Array) -> None:
    image += alpha[..., None] * (color - image)


def _soft(distance: Array, size_px: int) -> Array:
    """Anti-aliased inside of a signed distance in frame units: 1 inside, 0 outside."""
    inside: Array = np.clip(0.5 - distance * np.float32(size_px / 2), 0.0, 1.0)
    return inside


def _dead_leaves(rng: np.random.Generator, x: Array, y: Array) -> Array:
    image = np.broadcast_to(_color(rng), (*x.shape, 3)).copy()
    for _ in range(int(rng.integers(12, 50))):
        radius = np.float32(np.clip(0.05 / (rng.random() + 0.06), 0.05, 0.7))
        cx, cy = rng.uniform(-1.1, 1.1, 2).astype(np.float32)
        _blend(image, _soft(np.hypot(x - cx, y - cy) - radius, len(x)), _color(rng))
    return image


def _spectral(rng: np.random.Generator, size_px: int, channels: int, exponent: float) -> Array:
    """Noise whose spectrum falls as 1/f**exponent, (H, W, channels), spread 1."""
    frequency = np.hypot(np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)[None]) * size_px
    white = np.fft.rfft2(rng.standard_normal((channels, size_px, size_px)))
    field = np.fft.irfft2(white / np.maximum(frequency, 1.0) ** exponent, s=(size_px, size_px))
    field /= field.std(axis=(1, 2), keepdims=True) + 1e-6
    return np.moveaxis(field, 0, -1).astype(np.float32)


def _clouds(rng: np.random.Generator, x: Array, y: Array) -> Array:
    field = _spectral(rng, len(x), 3, float(rng.uniform(0.7, 2.2)))
    shared = np.float32(rng.random())
    field = shared * field[..., :1] + (1 - shared) * field
    return _color(rng) * np.float32(0.6) + np.float32(0.2) + field * np.float32(rng.uniform(0.08, 0.22))


def _gradient(rng: np.random.Generator, x: Array, y: Array) -> Array:
    angle = rng.random() * 2 * np.pi
    t: Array = np.clip(0.5 + 0.45 * (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))), 0, 1)
    if rng.random() < 0.4:
        cx, cy = rng.uniform(-0.6, 0.6, 2).astype(np.float32)
        t = np.clip(np.hypot(x - cx, y - cy) / np.float32(rng.uniform(0.6, 1.6)), 0, 1)
    mixed: Array = _color(rng) * (1 - t[..., None]) + _color(rng) * t[..., None]
    return mixed


def _shapes(rng: np.random.Generator, x: Array, y: Array) -> Array:
    image = _gradient(rng, x, y)
    for _ in range(int(rng.integers(2, 8))):
        cx, cy = rng.uniform(-0.9, 0.9, 2).astype(np.float32)
        angle, (a, b) = rng.random() * np.pi, rng.uniform(0.06, 0.5, 2).astype(np.float32)
        u = (x - cx) * np.float32(np.cos(angle)) + (y - cy) * np.float32(np.sin(angle))
        v = (y - cy) * np.float32(np.cos(angle)) - (x - cx) * np.float32(np.sin(angle))
        box = np.maximum(np.abs(u) - a, np.abs(v) - b)
        oval = (np.sqrt((u / a) ** 2 + (v / b) ** 2) - 1) * min(a, b)
        signed = box if rng.random() < 0.5 else oval
        if rng.random() < 0.3:
            signed = np.abs(signed) - np.float32(rng.uniform(0.01, 0.06))
        _blend(image, _soft(signed, len(x)), _color(rng))
    return image


def _stripes(rng: np.random.Generator, x: Array, y: Array) -> Array:
    angle, frequency = rng.random() * np.pi, rng.uniform(4, 34)
    bend = _spectral(rng, len(x), 1, 2.0)[..., 0] * np.float32(rng.uniform(0, 1.2))
    wave = np.sin((x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))) * np.float32(frequency) + bend)
    t = np.clip(0.5 + np.float32(rng.uniform(0.4, 2.0)) * wave, 0, 1)[..., None]
    mixed: Array = _color(rng) * (1 - t) + _color(rng) * t
    return mixed


def _cells(rng: np.random.Generator, x: Array, y: Array) -> Array:
    image = np.broadcast_to(np.float32(0.94) - np.float32(0.14) * _color(rng), (*x.shape, 3)).copy()
    wobble = _spectral(rng, len(x), 1, 1.8)[..., 0]
    for _ in range(int(rng.integers(1, 9))):
        cx, cy = rng.uniform(-1, 1, 2).astype(np.float32)
        radius = np.float32(rng.uniform(0.14, 0.5))
        d = np.hypot(x - cx, y - cy) + wobble * np.float32(0.04)
        color = _CELL_COLOR + (_color(rng) - 0.5) * np.float32(0.35)
        _blend(image, _soft(d - radius, len(x)) * np.float32(0.75), color)
        if rng.random() < 0.6:
            nucleus = np.hypot(x - cx - radius * np.float32(0.2), y - cy) + wobble * np.float32(0.07)
            color = _NUCLEUS_COLOR + (_color(rng) - 0.5) * np.float32(0.25)
            _blend(image, _soft(nucleus - radius * np.float32(0.55), len(x)) * np.float32(0.9), color)
    return image


def _anatomy(rng: np.random.Generator, x: Array, y: Array) -> Array:
    smooth = _spectral(rng, len(x), 1, 2.6)
    image = np.full((*x.shape, 1), np.float32(rng.uniform(0.0, 0.25)), dtype=np.float32)
    for _ in range(int(rng.integers(3, 9))):
        cx, cy = rng.uniform(-0.7, 0.7, 2).astype(np.float32)
        a, b = rng.uniform(0.15, 0.9, 2).astype(np.float32)
        outside = np.hypot((x - cx) / a, (y - cy) / b) - 1 + 0.06 * smooth[..., 0]
        inside = 1 / (1 + np.exp(np.clip(outside * np.float32(rng.uniform(5, 30)), -30, 30)))
        _blend(image, inside.astype(np.float32) * np.float32(rng.uniform(0.3, 0.9)), rng.random(1, dtype=np.float32))
    image += smooth * np.float32(rng.uniform(0.0, 0.07)) + _spectral(rng, len(x), 1, 1.0) * np.float32(
        rng.uniform(0, 0.03)
    )
    return np.repeat(image, 3, axis=-1)


def _speckle(rng: np.random.Generator, x: Array, y: Array) -> Array:
    base = 0.4 + 0.2 * _spectral(rng, len(x), 1, 2.2)
    grain = 1 + np.float32(rng.uniform(0.05, 0.3)) * _spectral(rng, len(x), 1, 0.6)
    return np.repeat((base * grain).astype(np.float32), 3, axis=-1)


_DRAWERS = dict(
    zip(TEXTURES, (_dead_leaves, _clouds, _gradient, _shapes, _stripes, _cells, _anatomy, _speckle), strict=True)
)
