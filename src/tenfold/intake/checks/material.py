"""What the checks work on: the manifest with groups and split, the file facts, the quarantine and intake's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tenfold.core.errors import DataError, FaultsError
from tenfold.core.run_record import read_run_record
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import labels_of, read_manifest
from tenfold.data.splits import group_keys, read_sealed_split, with_split
from tenfold.intake.config import SplitConfig
from tenfold.intake.split import plan_split, split_seed

MANIFEST = "data/manifest.parquet"
QUARANTINE = "data/quarantine.csv"
FILE_FACTS = "data/file_facts.parquet"
SPLIT = "data/splits.json"
INTAKE = "data/intake"
OWN_GROUP_PREFIX = "group_"


@dataclass(frozen=True)
class Material:
    """N real images. `manifest` has the split column filled when `is_split`; `splits` is that split, or before it the
    one that the split stage would make by default, all None with `split_fault` when it cannot. `facts` (indexed as the
    manifest) holds the columns of file_facts.parquet, none when the file is missing. `keys` are the groups that no
    split parts, `groups` (N,) their codes; `codes` (N,) are places in `labels`; `intake` is what intake's record says.
    """

    manifest: pd.DataFrame
    facts: pd.DataFrame | None
    quarantine: pd.DataFrame
    is_split: bool
    labels: tuple[str, ...]
    codes: NDArray[np.int64]
    keys: pd.Series[str]
    groups: NDArray[np.int64]
    splits: tuple[str | None, ...]
    split_fault: str | None
    intake: Mapping[str, Any]

    @property
    def image_ids(self) -> list[str]:
        return [str(image_id) for image_id in self.manifest["image_id"]]

    @property
    def has_patients(self) -> bool:
        """Whether any image tells its patient."""
        return bool(self.manifest["patient_id"].notna().any())

    @property
    def is_group_known(self) -> NDArray[np.bool_]:
        """Of each image (N,) whether the source told its patient, lesion or group; the groups that intake made of
        near-duplicates do not count."""
        own = OWN_GROUP_PREFIX + self.keys.astype("string")
        is_given = self.manifest["group_id"].notna() & (self.manifest["group_id"] != own).fillna(False)
        is_known = is_given | self.manifest["patient_id"].notna() | self.manifest["lesion_id"].notna()
        return np.asarray(is_known.to_numpy(dtype=np.bool_))

    @property
    def group_word(self) -> str:
        """`patient` only where every image tells its patient and the groups are the patients, else `group`."""
        patients = self.manifest["patient_id"]
        is_patient = bool(patients.notna().all()) and patients.nunique() == len(np.unique(self.groups))
        return "patient" if is_patient else "group"

    def texts(self, column: str) -> list[str | None]:
        """A manifest column as texts, None where missing; all None for a column that is not there."""
        if column not in self.manifest.columns:
            return [None] * len(self.manifest)
        values = self.manifest[column].astype("string")
        return [value if isinstance(value, str) else None for value in values.astype(object)]

    def original_sizes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Width and height (N,) in px of the originals; the canonical size where no original is known."""
        return self._size("width_px"), self._size("height_px")

    def _size(self, name: str) -> NDArray[np.float64]:
        own = self.manifest[name].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        if self.facts is not None and name in self.facts.columns:
            told = pd.to_numeric(self.facts[name], errors="coerce").to_numpy(dtype=np.float64)
        elif f"attr.original_{name}" in self.manifest.columns:
            told = pd.to_numeric(self.manifest[f"attr.original_{name}"], errors="coerce").to_numpy(
                dtype=np.float64, na_value=np.nan
            )
        else:
            return np.asarray(own, dtype=np.float64)
        return np.asarray(np.where(np.isfinite(told), told, own), dtype=np.float64)


def input_paths(workspace: Workspace) -> list[Path]:
    """The files that the checks read: the manifest, and of the others those that are there."""
    others = [workspace.resolve(name) for name in (QUARANTINE, FILE_FACTS, SPLIT)]
    return [workspace.resolve(MANIFEST), *(path for path in others if path.is_file())]


def refuse_lost_images(workspace: Workspace) -> None:
    """DataError when image files that the manifest names are gone: a finished check would not notice."""
    paths = read_manifest(workspace.resolve(MANIFEST))["path"].astype(str)
    lost = [path for path in paths if not workspace.resolve(path).is_file()]
    if lost:
        raise DataError(
            f"{len(lost)} images of the manifest are gone",
            where=", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else ""),
            expected="every image that was imported, in the workspace",
            todo="restore them from a copy, or import the source again: what is missing is made anew",
        )


def read_material(workspace: Workspace) -> Material:
    """Everything of the workspace that the checks work on. DataError when the manifest is missing or damaged."""
    manifest = read_manifest(workspace.resolve(MANIFEST))
    if not len(manifest):
        raise DataError("the manifest holds no images", where=MANIFEST, todo="import images first")
    split_path = workspace.resolve(SPLIT)
    is_split = split_path.is_file()
    if is_split:
        manifest = with_split(manifest, read_sealed_split(split_path))
    labels = labels_of(manifest)
    keys = group_keys(manifest)
    codes = manifest["label"].astype(str).map({label: place for place, label in enumerate(labels)})
    splits, fault = _splits(manifest, keys, workspace.root_seed, is_split=is_split)
    return Material(
        manifest=manifest, facts=_file_facts(workspace, manifest), quarantine=_quarantine(workspace), is_split=is_split,
        labels=tuple(labels), codes=np.asarray(codes, dtype=np.int64), keys=keys,
        groups=np.asarray(pd.factorize(keys.astype(str))[0], dtype=np.int64), splits=splits, split_fault=fault,
        intake=_intake_summary(workspace),
    )  # fmt: skip


def _splits(
    manifest: pd.DataFrame, keys: pd.Series[str], root_seed: int, *, is_split: bool
) -> tuple[tuple[str | None, ...], str | None]:
    """The split of every image, sealed or planned, and why there is none."""
    if is_split:
        cells = manifest["split"].astype(object)
        return tuple(cell if isinstance(cell, str) else None for cell in cells), None
    config = SplitConfig()
    try:
        plan = plan_split(config, manifest, split_seed(config, root_seed), keys=keys)
    except FaultsError as error:
        faults = "; ".join(fault.what for fault in error.errors)
        return (None,) * len(manifest), faults
    except DataError as error:
        return (None,) * len(manifest), error.what
    return tuple(str(plan.split[str(image_id)]) for image_id in manifest["image_id"]), None


def _file_facts(workspace: Workspace, manifest: pd.DataFrame) -> pd.DataFrame | None:
    path = workspace.resolve(FILE_FACTS)
    if not path.is_file():
        return None
    try:
        table = pd.read_parquet(path)
        indexed = table.drop_duplicates("image_id").set_index(table["image_id"].astype(str).drop_duplicates())
    except (KeyError, ValueError, OSError) as error:
        raise DataError(
            f"the file facts cannot be read: {error}", where=FILE_FACTS, expected="a table with a row per image",
            todo="import again, or remove the file to check without it",
        ) from error  # fmt: skip
    rows: pd.DataFrame = indexed.reindex(manifest["image_id"].astype(str).tolist())
    return rows.set_index(manifest.index)


def _quarantine(workspace: Workspace) -> pd.DataFrame:
    path = workspace.resolve(QUARANTINE)
    columns = ["line", "path", "label", "reason", "detail"]
    if not path.is_file():
        return pd.DataFrame(columns=columns, dtype="string")
    table = pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""])
    return table.reindex(columns=columns)


def _intake_summary(workspace: Workspace) -> Mapping[str, Any]:
    try:
        return dict(read_run_record(workspace.resolve(INTAKE)).summary)
    except DataError:
        return {}
