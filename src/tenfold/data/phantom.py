"""A procedural dermatology phantom: cohorts of invented patients and an endless archive for pretraining.

A phantom, not patients: no image, name or figure here comes from a real person; no result on it is a clinical one.
*Common* conditions are what a base model may see; *emerging* ones appear in cohorts only. See docs/phantom.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import DataError
from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.data.phantom_captions import CLASS_NOUN, describe, lesion_caption, skin_phrase
from tenfold.data.phantom_conditions import COMMON, CONDITIONS, EMERGING, PARTS, Condition
from tenfold.data.phantom_render import render
from tenfold.data.phantom_sampling import (
    Shot,
    draw_lesion,
    draw_patient,
    draw_shot,
    healthy_skin,
    random_parts,
    render_inputs,
)
from tenfold.data.phantom_textures import draw_texture

__all__ = [
    "CLASS_NOUN",
    "COMMON",
    "CONDITIONS",
    "EMERGING",
    "PARTS",
    "ArchiveBatch",
    "Condition",
    "PhantomImage",
    "make_archive_batch",
    "make_cohort",
]

SITES = ("face", "trunk", "arm", "leg", "hand", "foot")
ARCHIVE_SHARES = {"common": 0.55, "parts": 0.25, "skin": 0.05, "texture": 0.15}


@dataclass(frozen=True)
class PhantomImage:
    """One photograph of one lesion of one invented patient."""

    image_key: str
    label: str
    patient_id: str
    lesion_id: str
    skin_type: int
    severity: int
    site: str
    age: int
    sex: str
    caption: str
    image: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    mask: NDArray[np.uint8]
    """(H, W), 255 on the lesion, 0 elsewhere."""
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class ArchiveBatch:
    """Consecutive items of the archive; lists and arrays have one entry per item."""

    images: NDArray[np.uint8]
    """(B, H, W, 3) sRGB."""
    captions: list[str]
    kinds: list[str]
    """common, parts, skin or texture."""
    labels: list[str | None]
    attributes: list[tuple[str, ...]]
    skin_types: NDArray[np.int64]
    """(B,) 1-6, 0 where the item is not skin."""


def make_cohort(
    images_per_condition: Mapping[str, int],
    *,
    seed: int,
    image_size_px: int = 64,
    skin_types: Sequence[int] = (1, 2, 3, 4, 5, 6),
    name: str = "cohort",
) -> list[PhantomImage]:
    """Photographs of invented patients, grouped by condition in the order asked for.

    Image ``i`` of a condition depends on (seed, name, condition, i, image_size_px, skin_types) only: asking for more
    images or other conditions leaves it as it is. A patient has one condition, one to three lesions of it, and one to
    three photographs of each lesion. Two cohorts of different names or seeds share no patient.
    """
    _check_request(images_per_condition, image_size_px, skin_types)
    plans = [
        plan
        for label, count in images_per_condition.items()
        for plan in _first(_photographs(label, seed, name, tuple(skin_types), image_size_px), count)
    ]
    images, masks = render(render_inputs([shot for _, shot in plans])) if plans else (np.empty(0), np.empty(0))
    return [_photograph(meta, shot, images[k], masks[k]) for k, (meta, shot) in enumerate(plans)]


def make_archive_batch(start: int, count: int, *, seed: int, image_size_px: int = 64) -> ArchiveBatch:
    """Items ``start`` to ``start + count - 1`` of an endless archive, each the same whatever batch it is asked for in.

    It holds common conditions (55 %), lesions of random parts (25 %), healthy skin (5 %) and general textures (15 %);
    never an emerging condition, nor a combination of parts that defines or resembles one (``ARCHIVE_EXCLUSIONS``).
    """
    if start < 0 or count < 0:
        raise DataError(f"phantom archive items start={start}, count={count}", expected="both at or above 0")
    _check_size(image_size_px)
    items = [_archive_item(index, seed, image_size_px) for index in range(start, start + count)]
    images = np.empty((count, image_size_px, image_size_px, 3), dtype=np.uint8)
    rows = [k for k, item in enumerate(items) if item.shot is not None]
    if rows:
        images[rows] = render(render_inputs([shot for item in items if (shot := item.shot) is not None]))[0]
    for k, item in enumerate(items):
        if item.texture is not None:
            images[k] = item.texture
    return ArchiveBatch(
        images=images,
        captions=[item.caption for item in items],
        kinds=[item.kind for item in items],
        labels=[item.label for item in items],
        attributes=[item.attributes for item in items],
        skin_types=np.array([item.shot.patient.skin_type if item.shot else 0 for item in items], dtype=np.int64),
    )


@dataclass(frozen=True)
class _Place:
    """Where a photograph stands: its condition, names and the seed of its caption."""

    label: str
    lesion_id: str
    image_key: str
    site: str
    caption_uniforms: NDArray[np.float64]


def _photographs(
    label: str, seed: int, name: str, skin_types: tuple[int, ...], size_px: int
) -> Iterator[tuple[_Place, Shot]]:
    number = 0
    while True:
        patient_id = f"{name}-{label}-p{number:04d}"
        rng = numpy_generator(derive_seed(seed, "phantom-patient", name, label, number))
        skin_type = skin_types[int(rng.random() * len(skin_types))]
        patient = draw_patient(rng, patient_id, skin_type)
        for lesion_number in range(1 + int(np.searchsorted([0.72, 0.93], rng.random()))):
            lesion_id = f"{patient_id}-l{lesion_number}"
            rng_lesion = numpy_generator(derive_seed(seed, "phantom-lesion", name, label, number, lesion_number))
            lesion = draw_lesion(rng_lesion, CONDITIONS[label].features)
            site = SITES[int(rng_lesion.random() * len(SITES))]
            for photo_number in range(1 + int(np.searchsorted([0.65, 0.9], rng_lesion.random()))):
                key = derive_seed(seed, "phantom-photo", name, label, number, lesion_number, photo_number)
                rng_photo = numpy_generator(key)
                shot = draw_shot(rng_photo, patient, lesion, size_px)
                words = numpy_generator(derive_seed(key, "caption")).random(24)
                yield _Place(label, lesion_id, f"{lesion_id}-v{photo_number}", site, words), shot
        number += 1


def _photograph(place: _Place, shot: Shot, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> PhantomImage:
    patient, lesion = shot.patient, shot.lesion
    attributes = describe(lesion.features, lesion.severity, patient.skin_type)
    return PhantomImage(
        image_key=place.image_key, label=place.label, patient_id=patient.patient_id, lesion_id=place.lesion_id,
        skin_type=patient.skin_type, severity=lesion.severity, site=place.site, age=patient.age, sex=patient.sex,
        caption=lesion_caption(CONDITIONS[place.label].noun, attributes, patient.skin_type, place.caption_uniforms),
        image=image, mask=mask, attributes=attributes,
    )  # fmt: skip


@dataclass(frozen=True)
class _ArchiveItem:
    kind: str
    label: str | None
    caption: str
    attributes: tuple[str, ...]
    shot: Shot | None
    texture: NDArray[np.uint8] | None


def _archive_item(index: int, seed: int, size_px: int) -> _ArchiveItem:
    rng = numpy_generator(derive_seed(seed, "phantom-archive", index))
    kind = list(ARCHIVE_SHARES)[
        int(np.searchsorted(np.cumsum(list(ARCHIVE_SHARES.values()))[:-1], rng.random(), "right"))
    ]
    if kind == "texture":
        texture, texture_kind, caption = draw_texture(rng, size_px)
        return _ArchiveItem(kind, None, caption, (texture_kind,), None, texture)
    words = rng.random(24)
    patient = draw_patient(rng, f"archive-p{index}", 1 + int(rng.random() * 6))
    label: str | None = None
    if kind == "skin":
        lesion = healthy_skin()
        attributes: tuple[str, ...] = ()
        caption = "a photo of healthy skin" + skin_phrase(patient.skin_type, float(words[1]))
    else:
        label = COMMON[int(rng.random() * len(COMMON))] if kind == "common" else None
        lesion = draw_lesion(rng, CONDITIONS[label].features if label else random_parts(rng))
        attributes = describe(lesion.features, lesion.severity, patient.skin_type)
        caption = lesion_caption(
            CONDITIONS[label].noun if label else f"a {CLASS_NOUN}", attributes, patient.skin_type, words
        )
    return _ArchiveItem(kind, label, caption, attributes, draw_shot(rng, patient, lesion, size_px), None)


def _first(photographs: Iterator[tuple[_Place, Shot]], count: int) -> Iterator[tuple[_Place, Shot]]:
    return (next(photographs) for _ in range(count))


def _check_request(images_per_condition: Mapping[str, int], size_px: int, skin_types: Sequence[int]) -> None:
    unknown = sorted(set(images_per_condition) - set(CONDITIONS))
    if unknown:
        raise DataError(
            f"unknown phantom condition(s): {', '.join(unknown)}", expected=f"some of {', '.join(CONDITIONS)}"
        )
    negative = {label: count for label, count in images_per_condition.items() if count < 0}
    if negative:
        raise DataError(f"images per phantom condition: {negative}", expected="0 or more")
    if not skin_types or not set(skin_types) <= set(range(1, 7)):
        raise DataError(f"phantom skin types {list(skin_types)}", expected="some of 1 to 6, each once or more")
    _check_size(size_px)


def _check_size(size_px: int) -> None:
    if not 16 <= size_px <= 512:
        raise DataError(f"phantom image size {size_px} px", expected="16 to 512 px")
