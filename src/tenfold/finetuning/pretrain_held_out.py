"""What a base may not see: images of an archive that belong with the validation or test images of its workspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.data.manifest import read_manifest
from tenfold.data.near_duplicates import perceptual_hash
from tenfold.data.splits import GROUP_COLUMNS, group_keys, read_sealed_split, with_split

MANIFEST, SPLITS = "data/manifest.parquet", "data/splits.json"
SOURCE_IMAGE_ID = "attr.source_image_id"


@dataclass(frozen=True)
class HeldOut:
    """How many images were left out, and why; `is_checked` is off where the workspace has no split to check against."""

    is_checked: bool
    same_image: int = 0
    related: int = 0
    """Of the same patient, lesion or group, or near-duplicates."""

    @property
    def total(self) -> int:
        """All images left out."""
        return self.same_image + self.related

    def sentence(self) -> str:
        """What was left out, in words."""
        if not self.is_checked:
            return (
                "The workspace has no sealed split, so nothing could be held out: of images that are imported later, "
                "those that this base has seen may not become test images."
            )
        return (
            f"{self.total} images were left out because of the workspace's validation and test images: "
            f"{self.same_image} are among them, {self.related} are of their patients, lesions or groups or look alike."
        )


def without_held_out(table: pd.DataFrame, workspace: Workspace) -> tuple[pd.DataFrame, HeldOut]:
    """The rows of an archive's manifest that a base may see.

    Left out is every image that is a validation or test image of the workspace's sealed split, shares a patient,
    lesion or group id with one, or is a near-duplicate of one, directly or through other images.
    """
    if not workspace.resolve(SPLITS).is_file():
        return table, HeldOut(is_checked=False)
    real = with_split(read_manifest(workspace.resolve(MANIFEST)), read_sealed_split(workspace.resolve(SPLITS)))
    held_out = _with_hashes(real[real["split"] != "train"], workspace)
    is_same = _ids(table).isin(set(held_out["image_id"].astype(str))).to_numpy(dtype=bool)
    both = pd.concat([_links(held_out), _links(_with_hashes(table, workspace))], ignore_index=True)
    # Ids of rows, not of images: an image may stand in both tables.
    keys = group_keys(both.assign(image_id=[f"{row:016x}" for row in range(len(both))]))
    is_related = keys.iloc[len(held_out) :].isin(set(keys.iloc[: len(held_out)])).to_numpy(dtype=bool)
    kept = table[~(is_same | is_related)].reset_index(drop=True)
    return kept, HeldOut(True, int(is_same.sum()), int((is_related & ~is_same).sum()))


def seen_ids(table: pd.DataFrame, workspace: Workspace) -> dict[str, list[str]]:
    """``image_ids``: real images of this workspace among the rows; ``archive_image_ids``: the others."""
    path = workspace.resolve(MANIFEST)
    own = set(read_manifest(path)["image_id"].astype(str)) if path.is_file() else set()
    ids = sorted(set(_ids(table)))
    return {
        "image_ids": [image_id for image_id in ids if image_id in own],
        "archive_image_ids": [image_id for image_id in ids if image_id not in own],
    }


def _ids(table: pd.DataFrame) -> pd.Series[str]:
    """The ids of the original images: those of the workspace an image was taken from, where there is one."""
    ids = table["image_id"].astype("string")
    return table[SOURCE_IMAGE_ID].fillna(ids).astype(str) if SOURCE_IMAGE_ID in table.columns else ids.astype(str)


def _links(table: pd.DataFrame) -> pd.DataFrame:
    return table[[*GROUP_COLUMNS, "phash"]].astype("string")


def _with_hashes(table: pd.DataFrame, workspace: Workspace) -> pd.DataFrame:
    """The table with the perceptual hashes that it lacks."""
    hashes: list[Any] = table["phash"].astype(object).where(table["phash"].notna(), None).tolist()
    for number, path in enumerate(table["path"].astype(str)):
        if hashes[number] is None:
            hashes[number] = perceptual_hash(decode_image(workspace.resolve(path)))
    return table.assign(phash=pd.array(hashes, dtype="string"))
