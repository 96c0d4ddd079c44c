"""What the real training images of a study have that some sets need: masks, skin tones, values to balance by."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from tenfold.data.skin_tone import is_skin_photograph
from tenfold.data.splits import group_keys
from tenfold.studies.arms import MASKED

ALL_SKIN_TYPES = (1, 2, 3, 4, 5, 6)
TEACHER_GROUPS = 3
"""Groups a class that cross-fitted teachers need."""


@dataclass(frozen=True)
class Material:
    """What the real training images have."""

    table: pd.DataFrame
    masked_ids: frozenset[str]
    label_of: dict[str, str]
    group_of: dict[str, str]
    tones: tuple[int, ...]
    """Fitzpatrick types that skin can be recolored to; () where skin types do not apply."""
    no_tones: str = ""
    """Why there are none."""
    unmasked: frozenset[str] = frozenset()
    """Strategies that a recipe gives another mask than the lesion's."""

    def sources(self, strategy: str, image_ids: Sequence[str]) -> tuple[tuple[str, ...], str]:
        """Those of the images that the strategy can start from, and a reason where some class has none: () then."""
        if strategy == "recolor" and not self.tones:
            return (), self.no_tones
        if strategy in self.unmasked or strategy not in (*MASKED, "inpaint", "in_then_outpaint"):
            return tuple(image_ids), ""
        found = tuple(image_id for image_id in image_ids if image_id in self.masked_ids)
        bare = {self.label_of[image_id] for image_id in image_ids} - {self.label_of[image_id] for image_id in found}
        return ((), f"no training image of {', '.join(sorted(bare))} has a mask of its lesion") if bare else (found, "")

    def no_balance(self, column: str) -> str:
        """Why images cannot be balanced by this column; empty where they can."""
        if column not in self.table.columns or self.table[column].isna().all():
            return f"no image says its {column}"
        values = sorted(map(str, self.table[column].dropna().unique()))
        return f"all images have the same {column}, {values[0]}" if len(values) == 1 else ""

    def no_teacher(self, image_ids: Sequence[str]) -> str:
        """Why teachers cannot be cross-fitted on these images; empty where they can."""
        groups: dict[str, set[str]] = {}
        for image_id in image_ids:
            groups.setdefault(self.label_of[image_id], set()).add(self.group_of[image_id])
        few = sorted(label for label, found in groups.items() if len(found) < TEACHER_GROUPS)
        return f"teachers need {TEACHER_GROUPS} patients or groups of {', '.join(few)}" if few else ""


def read_material(train: pd.DataFrame, skin_types: Sequence[int] | None, unmasked: Collection[str] = ()) -> Material:
    """Material of the training rows of a manifest.

    Args:
        skin_types: the recipe's for generated images. Without any, all six are taken for images said to show skin.
        unmasked: strategies that need no lesion masks, as the recipe gives them another mask.
    """
    ids = train["image_id"].astype(str)
    tones, reason = _tones(set(train["modality"].fillna("").astype(str)), skin_types)
    return Material(
        table=train,
        masked_ids=frozenset(ids[train["mask_path"].notna()]),
        label_of=dict(zip(ids, train["label"].astype(str), strict=True)),
        group_of=dict(zip(ids, group_keys(train).astype(str), strict=True)),
        tones=tones,
        no_tones=reason,
        unmasked=frozenset(unmasked),
    )


def _tones(modalities: Collection[str], skin_types: Sequence[int] | None) -> tuple[tuple[int, ...], str]:
    """The tones, or why there are none. modalities: as stated, "" for images without one."""
    if skin_types:
        return tuple(skin_types), ""
    if modalities and all(is_skin_photograph(modality, "") for modality in modalities):
        return ALL_SKIN_TYPES, ""
    stated = ", ".join(sorted(modality or "not stated" for modality in modalities))
    return (), f"nothing says that the images show skin (modality: {stated}; generate.skin_types could)"
