"""Which pictures the page shows: guide images, synthetic ones not picked by hand, and what is nearest to each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tenfold.reports.contents import ClassGallery, Gallery, Picture, SyntheticPicture

MOST_PICTURES = 240
_MOST_FLAGGED = 2
_PICTURES_PER_CARD = 2


@dataclass(frozen=True)
class NearestImage:
    """What the memorization audit found for one synthetic image."""

    image_id: str | None
    is_flagged: bool
    detail: str


@dataclass(frozen=True)
class SyntheticSet:
    """One synthetic set with the real images its generator was fitted on."""

    name: str
    rows: pd.DataFrame
    guide_ids: Sequence[str]
    training_size: int
    nearest: Mapping[str, NearestImage]


def choose_pictures(chosen: SyntheticSet, manifest: pd.DataFrame, per_class: int) -> Gallery:
    """The pictures of one synthetic set, class by class.

    Of each class the first synthetic images in the order of their ids (a hash, so not picked by hand) are shown, and
    up to two more that the audit flagged. `manifest` is the real one, with all guide images.
    """
    real = manifest.set_index("image_id")
    labels = sorted({str(label) for label in chosen.rows["label"]})
    shown = max(1, min(per_class, MOST_PICTURES // (len(labels) * (_PICTURES_PER_CARD + 1))))
    guides = [image_id for image_id in chosen.guide_ids if image_id in real.index]
    classes = tuple(
        _class_gallery(
            label,
            [image_id for image_id in guides if real.at[image_id, "label"] == label],
            chosen.rows[chosen.rows["label"] == label].sort_values("image_id"),
            chosen,
            real,
            shown,
        )
        for label in labels
    )
    return Gallery(
        synthetic_set=chosen.name,
        checkpoint=_first(chosen.rows, "checkpoint"),
        strategy=_first(chosen.rows, "strategy"),
        training_size=chosen.training_size,
        classes=classes,
    )


def _class_gallery(
    label: str, guides: Sequence[str], rows: pd.DataFrame, chosen: SyntheticSet, real: pd.DataFrame, shown: int
) -> ClassGallery:
    flagged = [image_id for image_id in rows["image_id"] if _is_flagged(chosen, image_id)]
    first = list(rows["image_id"][:shown])
    ids = first + [image_id for image_id in flagged if image_id not in first][:_MOST_FLAGGED]
    by_id = rows.set_index("image_id")
    synthetic = tuple(_synthetic_picture(image_id, by_id.loc[image_id], chosen, real) for image_id in ids)
    return ClassGallery(
        label=label,
        guides=tuple(Picture(i, str(real.at[i, "path"]), label) for i in sorted(guides)[: 2 * shown]),
        synthetic=synthetic,
        n_guides=len(guides),
        n_synthetic=len(rows),
        n_flagged=len(flagged) if chosen.nearest else None,
    )


def _synthetic_picture(image_id: str, row: Any, chosen: SyntheticSet, real: pd.DataFrame) -> SyntheticPicture:
    found = chosen.nearest.get(image_id)
    nearest = None
    if found is not None and found.image_id is not None and found.image_id in real.index:
        nearest = Picture(found.image_id, str(real.at[found.image_id, "path"]), str(real.at[found.image_id, "label"]))
    return SyntheticPicture(
        picture=Picture(image_id, str(row["path"]), str(row["label"])),
        nearest=nearest,
        prompt="" if pd.isna(row["prompt"]) else str(row["prompt"]),
        is_flagged=found is not None and found.is_flagged,
        detail=found.detail if found is not None else "",
    )


def _is_flagged(chosen: SyntheticSet, image_id: str) -> bool:
    found = chosen.nearest.get(image_id)
    return found is not None and found.is_flagged


def _first(rows: pd.DataFrame, column: str) -> str:
    values = rows[column].dropna()
    return str(values.iloc[0]) if len(values) else ""
