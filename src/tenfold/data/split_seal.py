"""The sealed split: splits.json, written once with its hashes, and joined to the manifest. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.hashing import sha256_json
from tenfold.data.manifest import SPLITS, labels_of

UNUSED = "unused"
"""Key of `SealedSplit.details` with the ids of images that are in no split."""


@dataclass(frozen=True)
class SealedSplit:
    """A split as written in data/splits.json; `counts` is images by split and label.

    details: how it was made where that was not by drawing groups alone (method, strata, folds by image id, images left
    `unused`); plain JSON, empty for the default method.
    """

    seed: int
    assignments: Mapping[str, str]
    test_sha256: str
    sha256: str
    counts: Mapping[str, Mapping[str, int]]
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def unused(self) -> tuple[str, ...]:
        """Ids of the images that are in no split."""
        return tuple(self.details.get(UNUSED, ()))


def seal_split(
    path: Path, manifest: pd.DataFrame, split: pd.Series[str], *, seed: int, details: Mapping[str, Any] | None = None
) -> SealedSplit:
    """Write the split to `path` (data/splits.json); its test hash covers id, label and pixels of every test row.

    split: train, val or test by image_id; missing where an image is in no split: those are sealed as unused. DataError
    when it does not name every image of the manifest, names others, or names another split.
    """
    assignments = {
        str(image_id): str(name)
        for image_id, name in sorted(split.items(), key=lambda item: str(item[0]))
        if not pd.isna(name)
    }
    ids = [str(image_id) for image_id in manifest["image_id"]]
    if strange := sorted({*assignments.values()} - {*SPLITS}):
        raise DataError(f"there is no split {strange[0]!r}", expected=", ".join(SPLITS))
    if unmatched := sorted(set(ids) ^ {str(image_id) for image_id in split.index}):
        raise DataError(
            f"manifest and split do not name the same images: {len(unmatched)} are in one of them only",
            where=f"image_id {', '.join(unmatched[:5])}",
            expected="every image of the manifest once in the split, as missing where it is in none",
        )
    unused = sorted(set(ids) - assignments.keys())
    sealed_details = {**(details or {}), **({UNUSED: unused} if unused else {})}
    table = manifest.assign(split=pd.array([assignments.get(image_id) for image_id in ids], dtype="string"))
    labels = labels_of(manifest)
    counts = {
        name: {label: int(((table["split"] == name) & (table["label"] == label)).sum()) for label in labels}
        for name in SPLITS
    }
    test_sha256 = hash_test_rows(table)
    seal = _seal(seed, assignments, test_sha256, sealed_details)
    record = {
        "seed": seed,
        "assignments": assignments,
        "sha256": seal,
        "test_sha256": test_sha256,
        "counts": counts,
    }
    write_json_atomic(path, record | ({"details": sealed_details} if sealed_details else {}))
    return SealedSplit(seed, assignments, test_sha256, seal, counts, sealed_details)


def read_sealed_split(path: Path) -> SealedSplit:
    """The split of a workspace; DataError when it is missing, damaged or was changed after it was sealed."""
    if not path.is_file():
        raise DataError("the images are not split yet", where=str(path), todo="run the split stage first")
    record = read_json(path)
    try:
        sealed = SealedSplit(
            int(record["seed"]), dict(record["assignments"]), str(record["test_sha256"]), str(record["sha256"]),
            {name: dict(counts) for name, counts in record["counts"].items()}, dict(record.get("details", {})),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"the sealed split is damaged: {error}", where=str(path), todo="restore it from a copy"
        ) from error
    if _seal(sealed.seed, sealed.assignments, sealed.test_sha256, sealed.details) != sealed.sha256:
        raise DataError(
            "the split was changed after it was sealed",
            where=str(path),
            expected=f"content with the hash {sealed.sha256}",
            todo="restore the file from a copy; a new split needs a new workspace, as results saw this one",
        )
    return sealed


def with_split(manifest: pd.DataFrame, sealed: SealedSplit) -> pd.DataFrame:
    """A copy of the full real manifest with its split column filled, without the images that are in no split.

    DataError when images and split do not belong together, or when test rows were changed since the sealing.
    """
    ids = {str(image_id) for image_id in manifest["image_id"]}
    known = {*sealed.assignments, *sealed.unused}
    unknown, absent = ids - known, known - ids
    if unknown or absent:
        raise DataError(
            f"manifest and split do not belong together: {len(unknown)} images have no split, {len(absent)} are gone",
            expected="the full real manifest that was split", todo="run intake and split again, in a new workspace",
        )  # fmt: skip
    names = [sealed.assignments.get(str(image_id)) for image_id in manifest["image_id"]]
    table = manifest.assign(split=pd.array(names, dtype="string"))
    if sealed.unused:
        table = table[table["split"].notna().to_numpy()].reset_index(drop=True)
    if hash_test_rows(table) != sealed.test_sha256:
        raise DataError(
            "test images were changed after the split was sealed",
            expected=f"test rows with the hash {sealed.test_sha256}",
            todo="restore data/manifest.parquet and data/images, or start a new workspace",
        )
    return table


def hash_test_rows(table: pd.DataFrame) -> str:
    """The hash that seals a test set: of id, label and pixels of every row whose split is test."""
    rows: Any = table.loc[table["split"] == "test", ["image_id", "label", "sha256"]].astype(str)
    return sha256_json(sorted(rows.to_numpy().tolist()))


def _seal(seed: int, assignments: Mapping[str, str], test_sha256: str, details: Mapping[str, Any]) -> str:
    content = {"seed": seed, "assignments": dict(assignments), "test_sha256": test_sha256}
    return sha256_json(content | ({"details": dict(details)} if details else {}))
