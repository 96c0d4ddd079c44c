"""The real images that a model has learned from: read from the record beside its weights, in one way for all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core.errors import CheckpointError
from tenfold.core.files import read_json
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest

TRAINING_ROWS = "training_rows.json"
"""Beside weights of our own making: `image_ids` of the workspace, `archive_image_ids` of images from elsewhere."""
_MANIFEST = "data/manifest.parquet"


@dataclass(frozen=True)
class LearnedImages:
    """Image ids of everything that weights descend from, through all their bases."""

    image_ids: tuple[str, ...] = ()
    """Real images of the workspace that asks."""
    archive_image_ids: tuple[str, ...] = ()
    """Images that it has not, but may have one day: of a pretraining archive, or of another workspace."""


def learned_images(folder: Path, workspace: Workspace) -> LearnedImages | None:
    """What the record in a model's or adapter's folder tells; None where there is none.

    Images from elsewhere count as the workspace's own from the day that they are imported. So do those of a model that
    was trained in another workspace. Raises CheckpointError when the record is damaged.
    """
    path = folder / TRAINING_ROWS
    if not path.is_file():
        return None
    record: Any = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("image_ids"), list):
        raise CheckpointError(
            "the record of a model's training images is damaged",
            where=str(path),
            expected="image_ids, a list",
            todo="Copy the model again, whole, or train it again.",
        )
    own, elsewhere = record["image_ids"], record.get("archive_image_ids", [])
    if not folder.is_relative_to(workspace.path):
        own, elsewhere = [], [*own, *elsewhere]
    here = _ids_here(workspace) if elsewhere else frozenset()
    return LearnedImages(
        tuple(dict.fromkeys([*own, *sorted({one for one in elsewhere if one in here})])),
        tuple(sorted({one for one in elsewhere if one not in here})),
    )


def _ids_here(workspace: Workspace) -> Collection[str]:
    path = workspace.resolve(_MANIFEST)
    return frozenset(read_manifest(path)["image_id"].astype(str)) if path.is_file() else frozenset()
