"""Arms as data: which sets of images each mixes into its batches, and what a set needs of the real images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from tenfold.data.skin_tone import is_skin_photograph

Arm = Literal[
    "real_only",
    "real_transforms",
    "real_autoencoder",
    "real_recolor",
    "real_composite",
    "hybrid",
    "hybrid_outpaint",
    "hybrid_mix",
    "synthetic_only",
    "fresh_real",
]
SETS_OF_ARM: dict[Arm, tuple[str, ...]] = {
    "real_only": (),
    "real_transforms": (),
    "real_autoencoder": ("autoencoder",),
    "real_recolor": ("recolor",),
    "real_composite": ("composite",),
    "hybrid": ("text2img",),
    "hybrid_outpaint": ("outpaint",),
    "hybrid_mix": ("outpaint", "composite"),
    "synthetic_only": ("text2img",),
    "fresh_real": (),
}
"""The strategies whose images each arm mixes in; several are mixed in equal parts."""
ARM_NAMES: tuple[Arm, ...] = tuple(SETS_OF_ARM)
DEFAULT_ARMS: tuple[Arm, ...] = tuple(arm for arm in ARM_NAMES if arm != "hybrid_mix")
CURVE_ARMS: tuple[Arm, ...] = ("real_only", "real_transforms")
FRESH_ARM: Arm = "fresh_real"
SYNTHETIC_ARM: Arm = "synthetic_only"
UNCHANGED_ARM: Arm = "real_only"
"""The one that trains without transforms."""

MASKED = ("outpaint", "composite")
"""Strategies that need the lesions' masks."""
ALL_SKIN_TYPES = (1, 2, 3, 4, 5, 6)


@dataclass(frozen=True)
class SyntheticSet:
    """A set of images that a repetition's cells share; `name` is its folder under ``synthetic/``."""

    name: str
    strategy: str
    source_ids: tuple[str, ...]
    """Real images it starts from; () for images drawn from prompts."""
    images_per_class: int
    class_count: int

    @property
    def image_count(self) -> int:
        """Images in all."""
        return self.images_per_class * self.class_count


@dataclass(frozen=True)
class Material:
    """What the real training images have that some sets need."""

    masked_ids: frozenset[str]
    label_of: dict[str, str]
    tones: tuple[int, ...]
    """Fitzpatrick types that skin can be recolored to; () where skin types do not apply."""
    no_tones: str = ""
    """Why there are none."""

    def sources(self, strategy: str, image_ids: Sequence[str]) -> tuple[tuple[str, ...], str]:
        """Those of the images that the strategy can start from, and a reason where some class has none: () then."""
        if strategy == "recolor" and not self.tones:
            return (), self.no_tones
        if strategy not in MASKED:
            return tuple(image_ids), ""
        found = tuple(image_id for image_id in image_ids if image_id in self.masked_ids)
        bare = {self.label_of[image_id] for image_id in image_ids} - {self.label_of[image_id] for image_id in found}
        return ((), f"no training image of {', '.join(sorted(bare))} has a mask of its lesion") if bare else (found, "")


def read_material(train: pd.DataFrame, skin_types: Sequence[int] | None) -> Material:
    """Material of the training rows of a manifest.

    Args:
        skin_types: the recipe's for generated images. Without any, all six are taken for images said to show skin.
    """
    ids = train["image_id"].astype(str)
    tones, reason = _tones(set(train["modality"].fillna("").astype(str)), skin_types)
    return Material(
        masked_ids=frozenset(ids[train["mask_path"].notna()]),
        label_of=dict(zip(ids, train["label"].astype(str), strict=True)),
        tones=tones,
        no_tones=reason,
    )


def set_name(repetition: str, strategy: str) -> str:
    """Folder name of a repetition's set: text-to-image sets are called as their generator."""
    return repetition if strategy == "text2img" else f"{repetition}-{strategy}"


def _tones(modalities: Collection[str], skin_types: Sequence[int] | None) -> tuple[tuple[int, ...], str]:
    """The tones, or why there are none. modalities: as stated, "" for images without one."""
    if skin_types:
        return tuple(skin_types), ""
    if modalities and all(is_skin_photograph(modality, "") for modality in modalities):
        return ALL_SKIN_TYPES, ""
    stated = ", ".join(sorted(modality or "not stated" for modality in modalities))
    return (), f"nothing says that the images show skin (modality: {stated}; generate.skin_types could)"
