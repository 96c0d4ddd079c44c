"""Painters of the phantom's visual parts: rings, papules, globules, network, vessels, ulcers, satellites and scale.

Each adds its part, in place, to the layers of those lesions whose strength of it is above 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tenfold.data.phantom_layers import (
    FIELD_C_START,
    GLOBULES_START,
    MAX_GLOBULES,
    MAX_PAPULES,
    MAX_SATELLITES,
    PAPULES_START,
    SATELLITES_START,
    WAVES,
    Array,
    Layer,
    Lesions,
    col,
    nearest_spot,
    step,
    waves,
)


def paint_rings_and_core(paint: Layer, lesions: Lesions) -> None:
    ring, core = lesions.strength("ring"), lesions.strength("core")
    rows = np.flatnonzero(ring > 0)
    if rows.size:
        width = col(0.12 + 0.10 * lesions.uniforms[rows, 17])
        profile = np.exp(-(((lesions.distance[rows] - 0.85) / width) ** 2))
        open_angle = lesions.uniforms[rows, 18] * 2 * np.pi
        radius = np.sqrt(lesions.u[rows] ** 2 + lesions.v[rows] ** 2) + np.float32(1e-3)
        toward = (lesions.u[rows] * col(np.cos(open_angle)) + lesions.v[rows] * col(np.sin(open_angle))) / radius
        gap = col(np.clip(lesions.uniforms[rows, 19] * 2 - 1, 0.0, 0.9))
        profile *= 1.0 - gap * step((toward - 0.4) / 0.4)
        profile *= col(0.4 + 0.6 * ring[rows])
        paint.heme[rows] += profile * col(0.15 + 0.55 * lesions.strength("heme")[rows])
        paint.melanin[rows] += profile * col(0.08 + 0.45 * lesions.strength("melanin")[rows])
        paint.height[rows] += profile * np.float32(0.28)
    rows = np.flatnonzero(core > 0)
    if rows.size:
        width = col(0.28 + 0.14 * lesions.uniforms[rows, 20])
        spot = np.exp(-((lesions.distance[rows] / width) ** 4)) * col(core[rows])
        paint.melanin[rows] += spot * np.float32(0.55)
        paint.heme[rows] += spot * np.float32(0.45)
        paint.height[rows] += spot * np.float32(0.10)


def paint_papules_and_dents(paint: Layer, lesions: Lesions) -> None:
    papules, dent = lesions.strength("papules"), lesions.strength("dent")
    rows = np.flatnonzero(papules > 0)
    if rows.size:
        number = np.rint(3.0 + 5.5 * papules[rows])
        h = lesions.uniforms[rows, PAPULES_START : PAPULES_START + 3 * MAX_PAPULES].reshape(-1, MAX_PAPULES, 3)
        k = np.arange(MAX_PAPULES, dtype=np.float32)
        on_ring = (lesions.strength("ring")[rows] > 0)[:, None]
        even = (k + 0.6 * h[:, :, 0]) / number[:, None] * 2 * np.pi
        spiral = k * 2.4 + h[:, :1, 0] * 6.3 + (h[:, :, 0] - 0.5)
        angle = np.where(on_ring, even + h[:, :1, 2] * 6.3, spiral)
        inner = np.sqrt((k + 0.6) / number[:, None]) * 0.84 + (h[:, :, 1] - 0.5) * 0.16
        reach = np.where(on_ring, 0.84 + (h[:, :, 1] - 0.5) * 0.1, inner)
        spot_radius = np.where(on_ring, 0.17, 0.21) * (0.75 + 0.55 * h[:, :, 2])
        q = nearest_spot(lesions, rows, angle, reach, spot_radius, number)
        dome, disc = np.clip(1.0 - q, 0.0, 1.0), step((1.2 - q) / 0.5)
        paint.heme[rows] += disc * col(0.12 + 0.45 * lesions.strength("heme")[rows])
        paint.melanin[rows] += disc * col(0.05 + 0.4 * lesions.strength("melanin")[rows])
        paint.height[rows] += np.sqrt(dome) * np.float32(0.26)
        paint.gloss[rows] = np.maximum(paint.gloss[rows], disc * np.float32(0.5))
        paint.mask[rows] = np.maximum(paint.mask[rows], disc)
        pitted = np.flatnonzero(dent[rows] > 0)
        if pitted.size:
            _press(paint, rows[pitted], np.exp(-q[pitted] * 7.0) * col(dent[rows[pitted]]))
    rows = np.flatnonzero((dent > 0) & (papules == 0))
    if rows.size:
        _press(paint, rows, np.exp(-((lesions.distance[rows] / 0.24) ** 2)) * col(dent[rows]))


def _press(paint: Layer, rows: NDArray[np.int64], pit: Array) -> None:
    """A dent: lower, with a dull plug that is darker at its rim and paler in its middle."""
    paint.height[rows] -= pit * np.float32(0.34)
    paint.melanin[rows] += pit * np.float32(0.75)
    paint.white[rows] = np.maximum(paint.white[rows], np.clip(pit - 0.72, 0.0, 1.0) * np.float32(0.9))


def paint_pigment_structures(paint: Layer, lesions: Lesions) -> None:
    """Globules (dark dots) and a hexagonal pigment network."""
    globules, network = lesions.strength("globules"), lesions.strength("network")
    rows = np.flatnonzero(globules > 0)
    if rows.size:
        number = np.rint(4.0 + 10.0 * globules[rows])
        h = lesions.uniforms[rows, GLOBULES_START : GLOBULES_START + 3 * MAX_GLOBULES].reshape(-1, MAX_GLOBULES, 3)
        k = np.arange(MAX_GLOBULES, dtype=np.float32)
        angle = k * 2.4 + h[:, :1, 0] * 6.3 + (h[:, :, 0] - 0.5) * 1.2
        reach = np.sqrt((k + 0.5) / number[:, None]) * 0.86 + (h[:, :, 1] - 0.5) * 0.12
        q = nearest_spot(lesions, rows, angle, reach, 0.085 * (0.8 + 0.6 * h[:, :, 2]), number)
        dots = step((1.4 - q) / 0.9) * col(0.5 + 0.6 * globules[rows])
        pale = col((lesions.uniforms[rows, 21] > 0.8) * (lesions.strength("plaque")[rows] > 0))
        paint.melanin[rows] += dots * (1.0 - pale) * np.float32(0.85)
        paint.white[rows] = np.maximum(paint.white[rows], dots * pale * np.float32(0.45))
    rows = np.flatnonzero(network > 0)
    if rows.size:
        frequency = 2 * np.pi * (2.1 + 0.9 * lesions.uniforms[rows, 22])
        phase = lesions.field_b[rows] * np.float32(1.1)
        total: Array = np.zeros_like(phase)
        for direction in range(3):
            angle = lesions.uniforms[rows, 0] * np.pi + direction * np.pi / 3
            wave = lesions.u[rows] * col(np.cos(angle) * frequency) + lesions.v[rows] * col(np.sin(angle) * frequency)
            total += np.cos(wave + phase)
        mesh = step((0.55 - total) / 1.5) - np.float32(0.55)
        paint.melanin[rows] += (
            mesh * lesions.body[rows] * col(network[rows] * (0.35 + 0.5 * lesions.strength("melanin")[rows]))
        )


def paint_vessels(paint: Layer, lesions: Lesions, fill: Array) -> None:
    """Branching red lines: zero lines of a smooth field, where another field is high."""
    vessels = lesions.strength("vessels")
    rows = np.flatnonzero(vessels > 0)
    if not rows.size:
        return
    field = waves(
        lesions.u[rows], lesions.v[rows], lesions.uniforms[rows, FIELD_C_START : FIELD_C_START + 2 * WAVES], 0.5, 1.4
    )
    size = col(lesions.strength("size")[rows])
    line = np.clip(1.0 - np.abs(field) * size * 4.2, 0.0, 1.0) * step(lesions.field_a[rows] + 0.75)
    line *= step((1.1 - lesions.distance[rows]) / 0.3) * col(vessels[rows])
    paint.heme[rows] += line * np.float32(1.3)
    paint.melanin[rows] += line * np.float32(0.25)


def paint_ulcer(paint: Layer, lesions: Lesions) -> None:
    """An eroded, crusted center with a rolled rim."""
    ulcer = lesions.strength("ulcer")
    rows = np.flatnonzero(ulcer > 0)
    if not rows.size:
        return
    h = lesions.uniforms[rows]
    du = lesions.u[rows] - col((h[:, 23] - 0.5) * 0.35)
    dv = lesions.v[rows] - col((h[:, 16] - 0.5) * 0.35)
    reach = col(0.28 + 0.26 * ulcer[rows])
    d = np.sqrt(du * du + dv * dv) / reach + lesions.field_b[rows] * np.float32(0.22)
    hole = step((1.0 - d) / 0.3 + 0.5)
    crusted = np.clip(0.62 + 0.28 * lesions.field_a[rows], 0.25, 0.92)
    paint.crust[rows] = hole * crusted
    paint.height[rows] += np.exp(-(((d - 1.05) / 0.28) ** 2)) * np.float32(0.16) - hole * np.float32(0.12)
    paint.gloss[rows] = np.maximum(paint.gloss[rows], hole * np.float32(0.6))


def paint_satellites(paint: Layer, lesions: Lesions) -> None:
    """Small clear blisters around the lesion: pale dome, red foot."""
    satellites = lesions.strength("satellites")
    rows = np.flatnonzero(satellites > 0)
    if not rows.size:
        return
    number = np.rint(3.0 + 5.0 * satellites[rows])
    h = lesions.uniforms[rows, SATELLITES_START : SATELLITES_START + 3 * MAX_SATELLITES].reshape(-1, MAX_SATELLITES, 3)
    k = np.arange(MAX_SATELLITES, dtype=np.float32)
    angle = (k + 0.7 * h[:, :, 0]) / number[:, None] * 2 * np.pi + h[:, :1, 2] * 6.3
    reach = 1.12 + 0.30 * h[:, :, 1]
    q = nearest_spot(lesions, rows, angle, reach, 0.13 * (0.8 + 0.5 * h[:, :, 2]), number)
    dome, foot = np.clip(1.0 - q, 0.0, 1.0), step((2.2 - q) / 1.4)
    paint.heme[rows] += foot * col(0.22 + 0.5 * lesions.strength("heme")[rows])
    paint.melanin[rows] += foot * col(0.05 + 0.35 * lesions.strength("melanin")[rows])
    paint.white[rows] = np.maximum(paint.white[rows], np.clip(dome - 0.35, 0.0, 1.0) * np.float32(0.42))
    paint.height[rows] += np.sqrt(dome) * np.float32(0.24)
    paint.gloss[rows] = np.maximum(paint.gloss[rows], foot)
    paint.mask[rows] = np.maximum(paint.mask[rows], step((1.6 - q) / 0.6))


def paint_scale(paint: Layer, lesions: Lesions, fill: Array, texture: Array) -> None:
    """Silvery flakes on the colored parts of the lesion."""
    scale = lesions.strength("scale")
    rows = np.flatnonzero(scale > 0)
    if not rows.size:
        return
    where = (
        np.clip(paint.heme[rows] + 0.6 * paint.melanin[rows], 0.0, 0.8)
        * 1.25
        * step((1.0 - lesions.distance[rows]) / 0.25 + 0.4)
    )
    flakes = step((lesions.field_b[rows] * 0.6 + texture[rows] * 0.55 + col(scale[rows] * 1.1 - 0.75)) / 2.2 + 0.45)
    paint.white[rows] = np.maximum(paint.white[rows], where * flakes * col(0.40 + 0.42 * scale[rows]))
    paint.height[rows] += where * flakes * np.float32(0.05)
