"""Real images of a plan: those that requests start from or are set into, training images all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from tenfold.core.errors import DataError
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.captions import stated_skin_type
from tenfold.data.image_bytes import SHARD_SUFFIX
from tenfold.data.manifest import manifest_rows, read_manifest, select_images
from tenfold.data.skin_tone import is_without_skin
from tenfold.data.splits import read_sealed_split, with_split

MANIFEST = "data/manifest.parquet"
SPLIT = "data/splits.json"

Row = Mapping[str, Any]


def read_training_rows(workspace: Workspace) -> pd.DataFrame:
    """The real images of the training split. Raises DataError when the workspace has no images or no split."""
    table = _read_split(workspace)
    training: pd.DataFrame = table[(table["split"] == "train") & (table["source"] == "real")]
    return training.reset_index(drop=True)


def read_parents(workspace: Workspace, image_ids: Sequence[str], labels: Sequence[str]) -> list[Row]:
    """Manifest rows of the images to start from, in order.

    Args:
        image_ids: () takes all training images.
        labels: () takes all labels.

    Raises:
        DataError: an image is unknown or not of the training split, or none is left.
    """
    if image_ids:
        rows = list(manifest_rows(select_images(_read_split(workspace), image_ids)))
    else:
        rows = list(manifest_rows(read_training_rows(workspace)))
    held_out = [str(row["image_id"]) for row in rows if row["split"] != "train" or row["source"] != "real"]
    if held_out:
        raise DataError(
            f"{len(held_out)} reference images are not real images of the training split: {', '.join(held_out[:5])}",
            expected="image ids of the split train",
            todo="Start from training images only: what is made of them trains too.",
        )
    known = {str(row["label"]) for row in rows}
    lacking = [label for label in labels if label not in known]
    if lacking or not rows:
        raise DataError(
            f"there is no training image of {', '.join(lacking) or 'any label'} to start from",
            expected=f"labels of {', '.join(sorted(known))}" if known else "training images",
            todo="Correct `labels` or `reference_ids`.",
        )
    return [row for row in rows if not labels or row["label"] in labels]


def check_masks(rows: Sequence[Row], *, todo: str) -> None:
    """Raises DataError naming the images that have no lesion mask."""
    lacking = [str(row["image_id"]) for row in rows if not row["mask_path"]]
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise DataError(
            f"{len(lacking)} of {len(rows)} source images have no mask of their lesion",
            where=", ".join(lacking[:5]) + more,
            expected="a mask for each, imported with the images",
            todo=todo,
        )


def mask_places(workspace: Workspace) -> list[Path]:
    """What holds the masks of the manifest's images: folders ``masks``, tar shards, else the files; in order."""
    path = workspace.resolve(MANIFEST)
    names = pq.read_table(path, columns=["mask_path"])["mask_path"].drop_null().to_pylist() if path.exists() else []
    folders = (PurePosixPath(name).parent for name in names)
    held = {str(folder if folder.name == "masks" or folder.suffix == SHARD_SUFFIX else name)
            for folder, name in zip(folders, names, strict=True)}  # fmt: skip
    return sorted(place for place in map(workspace.resolve, held) if place.exists())


def check_skin(workspace: Workspace) -> None:
    """Raises DataError for skin types of images that all show something else, such as X-rays.

    Where there are no real images, or their modality is not stated, nobody can tell.
    """
    path = workspace.resolve(MANIFEST)
    stated = set(pq.read_table(path, columns=["modality"])["modality"].drop_null().to_pylist()) if path.exists() else ()
    if stated and all(is_without_skin(modality) for modality in stated):
        raise DataError(
            f"skin types are asked for, and the images show no skin: {', '.join(sorted(stated))}",
            where=str(path),
            expected="photographs of skin",
            todo="Leave skin_types and recolor_to_skin_type out.",
        )


@dataclass(frozen=True)
class Backgrounds:
    """Images that lesions can be set into."""

    rows: tuple[Row, ...]

    def of_skin_type(self, skin_type: int | None) -> Backgrounds:
        """Those whose stated skin type this is; all for None. Raises DataError when there is none."""
        if skin_type is None:
            return self
        found = tuple(row for row in self.rows if stated_skin_type(row) == skin_type)
        if not found:
            raise DataError(
                f"no background has skin type {skin_type}",
                where=f"{len(self.rows)} training images",
                todo="Ask for other skin_types or background_labels.",
            )
        return Backgrounds(found)

    def choose(self, parent: Row, seed: int, identity: Sequence[str | int]) -> Row:
        """One that shows another patient's lesion, or none: keyed by the image's identity, never of the parent's group.

        Raises DataError when all are of the parent's group.
        """
        first = derive_seed(seed, "background", *identity) % len(self.rows)
        for row in self.rows[first:] + self.rows[:first]:
            is_same = row["image_id"] == parent["image_id"]
            if not is_same and (parent["group_id"] is None or row["group_id"] != parent["group_id"]):
                return row
        raise DataError(
            f"there is no background of another group for {parent['image_id']}",
            where=f"{len(self.rows)} training images",
            todo="Name background_labels with images of other patients.",
        )


def read_backgrounds(workspace: Workspace, image_ids: Sequence[str], labels: Sequence[str]) -> Backgrounds:
    """Training images of these labels, () for all; of `image_ids` where some are named."""
    rows = read_parents(workspace, image_ids, labels)
    return Backgrounds(tuple(sorted(rows, key=lambda row: str(row["image_id"]))))


def _read_split(workspace: Workspace) -> pd.DataFrame:
    manifest = read_manifest(workspace.resolve(MANIFEST))
    return with_split(manifest, read_sealed_split(workspace.resolve(SPLIT)))
