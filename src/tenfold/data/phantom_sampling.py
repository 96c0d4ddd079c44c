"""Draws the phantom's patients, lesions and photographs, each from a generator of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.data.phantom_conditions import (
    FEATURE_INDEX,
    FEATURES,
    PART_LESION,
    PARTS,
    SEVERITY_SCALES,
    VISIBLE_STRENGTH,
    Range,
    is_excluded_from_archive,
)
from tenfold.data.phantom_layers import LESION_UNIFORMS
from tenfold.data.phantom_render import COARSE_CELLS, NOISE_FIELDS, PHOTO_UNIFORMS, RenderInputs
from tenfold.data.phantom_skin import skin_rgb

_DARKNESS = np.array([0.0, 0.0, 0.0, 0.0, 0.1, 0.6, 1.0], dtype=np.float32)
"""How far heme reads as violaceous on skin types 1-6 (index 0 is not used)."""


@dataclass(frozen=True)
class Patient:
    """An invented patient; skin_uniforms (3,) place the tone in its type's range, hair (2,): density, lightness."""

    patient_id: str
    skin_type: int
    age: int
    sex: str
    skin_uniforms: NDArray[np.float32]
    hair: NDArray[np.float32]


@dataclass(frozen=True)
class Lesion:
    """Clinical features (len(FEATURES),) and geometry (LESION_UNIFORMS,), the same in every photograph."""

    features: NDArray[np.float32]
    uniforms: NDArray[np.float32]
    severity: int


@dataclass(frozen=True)
class Shot:
    """One photograph before it is rendered: view, light and camera (photo), noise and mottling."""

    patient: Patient
    lesion: Lesion
    photo: NDArray[np.float32]
    noise: NDArray[np.float32]
    coarse: NDArray[np.float32]


def random_parts(rng: np.random.Generator) -> Mapping[str, Range]:
    """Features of an archive lesion with one to three parts, drawn so that no excluded pair is among them."""
    wanted = 1 + int(np.searchsorted([0.3, 0.75], rng.random()))
    chosen: set[str] = set()
    for k in rng.permutation(len(PARTS)):
        if len(chosen) < wanted and not is_excluded_from_archive(chosen | {PARTS[k]}):
            chosen.add(PARTS[k])
    return {name: bounds for name, bounds in PART_LESION.items() if name not in PARTS or name in chosen}


def healthy_skin() -> Lesion:
    """No lesion at all."""
    return Lesion(np.zeros(len(FEATURES), dtype=np.float32), np.zeros(LESION_UNIFORMS, dtype=np.float32), 0)


def draw_patient(rng: np.random.Generator, patient_id: str, skin_type: int) -> Patient:
    """A patient of the given Fitzpatrick type (1-6)."""
    u = rng.random(8, dtype=np.float32)
    lightness = u[6] * u[6] * np.float32(max(0.0, (4 - skin_type) / 3))
    return Patient(
        patient_id, skin_type, 18 + int(u[0] * 68), "female" if u[1] < 0.5 else "male", u[2:5],
        np.array([u[5], lightness], dtype=np.float32),
    )  # fmt: skip


def draw_lesion(rng: np.random.Generator, features: Mapping[str, Range]) -> Lesion:
    """A lesion of severity 1-3 from feature distributions; parts stay in [VISIBLE_STRENGTH, 1] or are 0."""
    severity = 1 + int(rng.random() * 3)
    u = rng.random((2, len(FEATURES)))
    values = np.zeros(len(FEATURES))
    for name, bounds in features.items():
        k = FEATURE_INDEX[name]
        if u[1, k] < bounds.probability:
            value = bounds.low + (bounds.high - bounds.low) * u[0, k]
            value *= SEVERITY_SCALES.get(name, (1.0, 1.0, 1.0))[severity - 1]
            values[k] = min(max(value, VISIBLE_STRENGTH), 1.0) if name in PARTS else value
    return Lesion(values.astype(np.float32), rng.random(LESION_UNIFORMS, dtype=np.float32), severity)


def draw_shot(rng: np.random.Generator, patient: Patient, lesion: Lesion, size_px: int) -> Shot:
    """A photograph\'s view, light, camera and noise."""
    photo = rng.random(PHOTO_UNIFORMS, dtype=np.float32)
    coarse = rng.standard_normal((2, COARSE_CELLS, COARSE_CELLS), dtype=np.float32)
    return Shot(patient, lesion, photo, rng.standard_normal((NOISE_FIELDS, size_px, size_px), dtype=np.float32), coarse)


def render_inputs(shots: Sequence[Shot]) -> RenderInputs:
    """The renderer\'s arrays, one row per photograph."""
    skin_types = np.array([shot.patient.skin_type for shot in shots], dtype=np.int64)
    return RenderInputs(
        features=np.stack([shot.lesion.features for shot in shots]),
        lesion_uniforms=np.stack([shot.lesion.uniforms for shot in shots]),
        skin=skin_rgb(skin_types, np.stack([shot.patient.skin_uniforms for shot in shots])),
        darkness=_DARKNESS[skin_types],
        hair=np.stack([shot.patient.hair for shot in shots]),
        photo_uniforms=np.stack([shot.photo for shot in shots]),
        noise=np.stack([shot.noise for shot in shots]),
        coarse=np.stack([shot.coarse for shot in shots]),
    )
