"""Which images a command may let a model learn: the training and validation rows of the sealed split. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tenfold.core.errors import DataError, InputError
from tenfold.core.run_record import read_run_record
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.data.splits import read_sealed_split
from tenfold.data.subsets import nested_subset

_MANIFEST = "data/manifest.parquet"
_SPLIT = "data/splits.json"
_INTAKE = "data/intake"


def split_tables(workspace: Workspace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the training and of the validation split; test images are never looked at.

    Raises:
        DataError: there is no sealed split.
    """
    path = workspace.resolve(_SPLIT)
    if not path.is_file():
        raise DataError(
            "the images are not split yet",
            where=str(path),
            expected="a sealed split, so that no test image is ever learned from",
            todo=f"Run `tenfold data split --workspace {workspace.path}` first.",
        )
    assignments = read_sealed_split(path).assignments
    manifest = read_manifest(workspace.resolve(_MANIFEST))
    parts = manifest["image_id"].map(assignments)
    return manifest[parts == "train"], manifest[parts == "val"]


def choose_labels(classes: Sequence[str] | None, training: pd.DataFrame) -> list[str]:
    """The classes asked for, or all that have training images. Raises InputError when one has none."""
    found = sorted(set(training["label"]))
    unknown = sorted(set(classes or ()) - set(found))
    if unknown:
        raise InputError(
            f"there are no training images of {', '.join(unknown)}",
            where="--classes",
            expected=f"some of {', '.join(found)}",
            todo="Name classes of the import; `tenfold data split --workspace DIR` shows how many images each has.",
        )
    return sorted(classes or found)


def recorded_nouns(workspace: Workspace, labels: Sequence[str]) -> dict[str, str]:
    """What these classes are called in the captions that the import wrote: label -> noun, where one was given."""
    folder = workspace.resolve(_INTAKE)
    nouns = read_run_record(folder).config.get("class_nouns", {}) if (folder / "run.json").is_file() else {}
    return {label: nouns[label] for label in labels if label in nouns}


def at_most(table: pd.DataFrame, per_class: int, seed: int) -> list[str]:
    """As many images of each class as there are, `per_class` at most."""
    ids: list[str] = []
    for _, rows in table.groupby("label", sort=True):
        ids += nested_subset(rows, per_class=min(per_class, len(rows)), seed=seed)
    return ids


def label_of_each(*tables: pd.DataFrame) -> dict[str, str]:
    """image_id: label."""
    return {
        str(image_id): str(label)
        for table in tables
        for image_id, label in zip(table["image_id"], table["label"], strict=True)
    }
