"""The contact sheet of a synthetic set: which of its pictures are shown, with their prompts, seeds and sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

MOST_PICTURES = 1200

STRATEGY_NAMES: Mapping[str, str] = {
    "text2img": "text to image",
    "img2img": "image to image",
    "inpaint": "inpainting",
    "outpaint": "outpainting",
    "in_then_outpaint": "inpainting, then outpainting",
    "autoencoder": "through the autoencoder",
    "recolor": "recolored, without a generator",
    "composite": "lesion set into another image, without a generator",
    "external": "made elsewhere",
}


@dataclass(frozen=True)
class SheetPicture:
    """One synthetic image; paths are relative to the workspace."""

    image_id: str
    path: str
    prompt: str | None
    seed: int | None
    details: Mapping[str, str]
    """What else its row says, in words."""
    sources: Mapping[str, str | None]
    """Role to path of the real images it starts from; None where that image is not in the manifest."""
    fault: str | None
    """Why screening set it aside."""


@dataclass(frozen=True)
class SheetGroup:
    """The images of one class by one strategy."""

    label: str
    strategy: str
    n_images: int
    n_set_aside: int
    n_redrawn: int
    pictures: tuple[SheetPicture, ...]

    @property
    def has_sources(self) -> bool:
        """Whether its images start from real ones."""
        return any(picture.sources for picture in self.pictures)


@dataclass(frozen=True)
class ContactSheet:
    """A set's name, its groups and what all its images share."""

    name: str
    n_images: int
    n_shown: int
    n_set_aside: int
    review: Mapping[str, int]
    """Images by review state."""
    shared: Mapping[str, str]
    """What all rows agree on, in words: checkpoint, sampler, steps."""
    groups: tuple[SheetGroup, ...]
    data_license: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def choose_sheet(
    name: str, rows: pd.DataFrame, real: pd.DataFrame | None, per_group: int, data_license: str
) -> ContactSheet:
    """The sheet of a set's manifest rows; `real` is the manifest of the workspace's real images.

    Of each class and strategy the first images in the order of their ids (a hash, so none is picked by hand) are
    shown; where all groups would be more than `MOST_PICTURES`, each shows fewer.
    """
    places = {} if real is None else dict(zip(real["image_id"].astype(str), real["path"].astype(str), strict=True))
    grouped = list(rows.groupby([rows["label"].astype(str), rows["strategy"].fillna("external").astype(str)]))
    shown = max(1, min(per_group, MOST_PICTURES // max(1, len(grouped))))
    shared = {word: _worded(values[0]) for word, column in _WORDS.items() if len(values := _values(rows, column)) == 1}
    groups = tuple(
        SheetGroup(
            label=str(label),
            strategy=str(strategy),
            n_images=len(part),
            n_set_aside=_count(part, "quarantine_reason"),
            n_redrawn=int((pd.to_numeric(part["redraws"]).fillna(0) > 0).sum()) if "redraws" in part else 0,
            pictures=tuple(
                _picture(row, places, shared) for row in part.sort_values("image_id").head(shown).to_dict("records")
            ),
        )
        for (label, strategy), part in grouped
    )
    return ContactSheet(
        name=name,
        n_images=len(rows),
        n_shown=sum(len(group.pictures) for group in groups),
        n_set_aside=_count(rows, "quarantine_reason"),
        review={str(state): int(count) for state, count in rows["review"].fillna("unreviewed").value_counts().items()},
        shared=shared,
        groups=groups,
        data_license=data_license,
    )


_WORDS: Mapping[str, str] = {
    "Checkpoint": "checkpoint",
    "Adapter": "adapter",
    "Sampler": "sampler",
    "Steps": "num_inference_steps",
    "Guidance scale": "guidance_scale",
    "Strength": "strength",
    "Mask": "mask",
    "Recolored to skin type": "recolor_to",
    "Upscaler": "upscaler",
    "Negative prompt": "negative_prompt",
}
_SOURCE_ROLES: Mapping[str, str] = {"parent_id": "source", "background_id": "background"}


def _picture(row: Mapping[Any, Any], places: Mapping[str, str], shared: Mapping[str, str]) -> SheetPicture:
    details = {
        word: _worded(row[column])
        for word, column in _WORDS.items()
        if word not in shared and _is_given(row.get(column)) and str(row[column])
    }
    if _is_given(row.get("skin_type")):
        details["Skin type asked for" if not _is_given(row.get("parent_id")) else "Skin type"] = str(row["skin_type"])
    return SheetPicture(
        image_id=str(row["image_id"]),
        path=str(row["path"]),
        prompt=_text(row.get("prompt")),
        seed=int(row["seed"]) if _is_given(row.get("seed")) else None,
        details=details,
        sources={
            role: places.get(str(row[column])) for column, role in _SOURCE_ROLES.items() if _is_given(row.get(column))
        },
        fault=_text(row.get("quarantine_reason")),
    )


def _values(rows: pd.DataFrame, column: str) -> Sequence[Any]:
    """The column's distinct values; none where a row lacks one, or all are empty texts."""
    if column not in rows or rows[column].isna().any():
        return []
    return [value for value in rows[column].unique() if str(value)]


def _count(rows: pd.DataFrame, column: str) -> int:
    return int(rows[column].notna().sum()) if column in rows else 0


def _is_given(value: Any) -> bool:
    return value is not None and value is not pd.NA and value == value


def _text(value: Any) -> str | None:
    return str(value) if _is_given(value) and str(value) else None


def _worded(value: Any) -> str:
    """The value; a sampler named `checkpoint` is the checkpoint's own."""
    return "the checkpoint’s own" if value == "checkpoint" else str(value)
