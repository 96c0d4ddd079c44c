"""The images that can be reviewed: synthetic ones of finished sets, and real ones to mix among them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import labels_of, manifest_rows, read_manifest
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.review.records import Item

MANIFEST, SPLITS = "data/manifest.parquet", "data/splits.json"
SEEN_SPLITS = ("train", "val")
"""Test images are shown to nobody before the end."""

CONTROLS = ("autoencoder", "recolor", "composite")
"""Strategies that make no image up: a clinician's time goes to them only when their sets are named."""


def set_manifest(name: str) -> str:
    """The manifest of a synthetic set, relative to the workspace."""
    return f"synthetic/{name}/manifest.parquet"


def finished_sets(workspace: Workspace) -> list[str]:
    """Names of the synthetic sets that are drawn to their end, sorted."""
    places = sorted(workspace.path.glob("synthetic/*/manifest.parquet"))
    return [place.parent.name for place in places if (place.parent / "run.json").is_file()]


def image_ids_of(workspace: Workspace, name: str) -> set[str]:
    """Ids of the images of a set; of one that is not there, none."""
    place = workspace.resolve(set_manifest(name))
    return set(pd.read_parquet(place, columns=["image_id"])["image_id"].astype(str)) if place.is_file() else set()


def sets_with(workspace: Workspace, image_ids: Collection[str], sets: Sequence[str] = ()) -> dict[str, set[str]]:
    """By set, those of these images that it holds: of the named sets, or of all that are there; sets without any not.

    Sets share images that were asked for alike; such an image is then in each of them.
    """
    names = sets or [place.parent.name for place in workspace.path.glob("synthetic/*/manifest.parquet")]
    held = {name: image_ids_of(workspace, name) & set(image_ids) for name in sorted(names)}
    return {name: ids for name, ids in held.items() if ids}


def synthetic_items(workspace: Workspace, sets: Sequence[str] = ()) -> list[Item]:
    """The images of these finished sets, or of all but the controls; by set, then by image id.

    Left out are images that screening set aside and images of no class of the real data (such as prior images). An
    image that two sets share comes once, with the first of them.

    Raises:
        DataError: a named set is not there or not drawn to its end, or no image is left.
    """
    known = finished_sets(workspace)
    missing = sorted(set(sets) - set(known))
    if missing:
        raise DataError(
            f"these synthetic sets cannot be reviewed: {', '.join(missing)}",
            where=str(workspace.path / "synthetic"),
            expected=f"finished sets: {', '.join(known)}" if known else "a set that `tenfold generate` finished",
            todo="Finish drawing them, or name others in review.sets.",
        )
    labels = set(labels_of(read_manifest(workspace.resolve(MANIFEST))))
    items: dict[str, Item] = {}
    for name in sorted(sets or known):
        rows = read_manifest(workspace.resolve(set_manifest(name)))
        rows = rows[rows["quarantine_reason"].isna() & rows["label"].isin(labels)]
        if not sets:
            rows = rows[~rows["strategy"].isin(CONTROLS)]
        for row in manifest_rows(rows.sort_values("image_id")):
            items.setdefault(row["image_id"], _item(row, "synthetic", name))
    if not items:
        raise DataError(
            "there is no synthetic image to review",
            where=str(workspace.path / "synthetic"),
            expected="a finished set with images of the data's classes",
            todo="Draw one first: `tenfold generate --help`. Controls must be named in review.sets.",
        )
    return list(items.values())


def real_items(workspace: Workspace) -> list[Item]:
    """The real images that may be mixed in, by image id: those of the splits train and val.

    Raises:
        DataError: the images are not imported, or not split yet.
    """
    sealed = read_sealed_split(workspace.resolve(SPLITS))
    table: pd.DataFrame = with_split(read_manifest(workspace.resolve(MANIFEST)), sealed)
    rows = table[table["split"].isin(SEEN_SPLITS)].sort_values("image_id")
    return [_item(row, "real", "") for row in manifest_rows(rows)]


def _item(row: Mapping[str, Any], source: Literal["real", "synthetic"], name: str) -> Item:
    return Item(
        image_id=row["image_id"],
        path=row["path"],
        sha256=row["sha256"] or "",
        label=row["label"],
        source=source,
        set=name,
        strategy=row["strategy"],
        prompt=row["prompt"],
        skin_type=row["skin_type"],
        skin_type_group=row["skin_type_group"],
        severity=row["severity"],
        parent_id=row["parent_id"],
    )
