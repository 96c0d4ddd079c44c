"""The data export: a workspace's manifest as a table, or its images as a folder that other programs read."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.files import TEMPORARY_PREFIX, storage_errors, write_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import ATTRIBUTE_PREFIX, COLUMNS, csv_text, manifest_rows, read_manifest, write_manifest
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.data.subsets import nested_subset

MANIFEST = "data/manifest.parquet"
SPLIT = "data/splits.json"
TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet")
MASKS_FOLDER = "masks"
UNSPLIT = "no split"
_SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test", UNSPLIT: "unused"}
"""Split -> folder, by the words that the Hugging Face imagefolder loader knows; images of no split lie apart."""

_LEFT_OUT = ("path", "split", "mask_path", "label", "source", "width_px", "height_px", "phash")
"""Columns that the folder tells by itself."""

_CAUTION = "Research material, not for diagnosis or treatment."


@dataclass(frozen=True)
class Export:
    """What was written: `kind` is csv, jsonl, parquet or imagefolder; `by_split` counts images ("no split" too)."""

    target: Path
    kind: str
    n_images: int
    n_masks: int
    by_split: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TrainingSubset:
    """The training images of a learning curve's point; of one seed the larger subset contains the smaller."""

    per_class: int
    seed: int = 0


def export_data(
    workspace: Workspace, target: Path, progress: Progress, *, subset: TrainingSubset | None = None
) -> Export:
    """Write the real images' manifest to a .csv, .jsonl or .parquet file, or the images to a new folder.

    With a `subset` only its training images are written, beside all validation and test images.

    The split is filled in when the workspace has one. In .csv (and the folder's images.csv), cells that a spreadsheet
    would run as a formula begin with an apostrophe. A folder holds train/, validation/ and test/, each with its images
    and metadata.parquet (`file_name`, `label`, ...), masks/, images.csv of all for people and a data card; it appears
    whole or not at all.

    Raises:
        DataError: nothing was imported yet, the target is there already, or its suffix is unknown.
        StorageError: the disk is full, read-only or not permitted.
    """
    manifest, n_unused = _manifest(workspace)
    if subset is not None:
        manifest = _with_subset(manifest, subset)
    target = Path(os.path.abspath(target.expanduser()))
    _check_target(target)
    by_split = dict(Counter(str(name) for name in manifest["split"].fillna(UNSPLIT)))
    notes = () if "train" in by_split else ("The images are not split yet: `tenfold data split` does it.",)
    if n_unused:
        notes = (*notes, f"{n_unused} images are in no part of the split and were left out.")
    if target.suffix.lower() in TABLE_SUFFIXES:
        with storage_errors(target):
            write_manifest(manifest, target)
        return Export(target, target.suffix.lower().removeprefix("."), len(manifest), 0, by_split, notes)
    with _appearing_whole(target) as folder:
        n_masks = _write_folder(workspace, manifest, folder, progress)
        write_text_atomic(folder / "README.md", _card(workspace, manifest, by_split))
    return Export(target, "imagefolder", len(manifest), n_masks, by_split, notes)


def _manifest(workspace: Workspace) -> tuple[pd.DataFrame, int]:
    """The manifest, with its split when there is one, and how many images that split leaves out."""
    path = workspace.resolve(MANIFEST)
    if not path.is_file():
        raise DataError(
            "the workspace holds no images yet",
            where=str(workspace.path),
            expected=MANIFEST,
            todo="import some first: tenfold data import SOURCE --out WORKSPACE",
        )
    manifest = read_manifest(path)
    split = workspace.resolve(SPLIT)
    if not split.is_file():
        return manifest, 0
    table = with_split(manifest, read_sealed_split(split))
    return table, len(manifest) - len(table)


def _with_subset(manifest: pd.DataFrame, subset: TrainingSubset) -> pd.DataFrame:
    is_training = (manifest["split"] == "train").fillna(False)
    if not is_training.any():
        raise DataError("there are no training images to take a subset of", todo="run `tenfold data split` first")
    chosen = nested_subset(manifest[is_training], per_class=subset.per_class, seed=subset.seed)
    kept = manifest["split"].isin(["val", "test"]) | manifest["image_id"].isin(chosen)
    return manifest[kept.to_numpy(dtype=bool)].reset_index(drop=True)


def _check_target(target: Path) -> None:
    if target.suffix.lower() not in TABLE_SUFFIXES and target.suffix:
        raise DataError(
            f"{target.suffix} is no format to export to",
            where=str(target),
            expected=f"a file ending in {', '.join(TABLE_SUFFIXES)}, or a folder (a name without a suffix)",
        )
    if target.is_dir() and not any(target.iterdir()) and target.suffix == "":
        return
    if target.exists() or target.is_symlink():
        raise DataError(
            "there is something of that name already",
            where=str(target),
            expected="a name that is free: an export never writes over anything",
            todo="choose another name, or remove it yourself",
        )


def _write_folder(workspace: Workspace, manifest: pd.DataFrame, folder: Path, progress: Progress) -> int:
    """The split folders with their images and metadata, and the masks; the number of masks."""
    table = _metadata(manifest)
    names = manifest["split"].fillna(UNSPLIT).astype(str)
    is_split = bool(manifest["split"].notna().any())
    places = names.map(_SPLIT_FOLDERS) if is_split else pd.Series("train", index=manifest.index)
    n_masks = 0
    with progress.task("Copying images", len(manifest)) as task:
        for row, place in zip(manifest_rows(manifest[["image_id", "path", "mask_path"]]), places, strict=True):
            _copy(workspace, row["path"], folder / place / f"{row['image_id']}.png")
            if row["mask_path"] is not None:
                _copy(workspace, row["mask_path"], folder / MASKS_FOLDER / f"{row['image_id']}.png")
                n_masks += 1
            task.advance()
    # Parquet: the types of CSV columns are guessed from each split's own cells, and readers refuse splits that differ.
    for folder_name, part in table.groupby(places.to_numpy(), sort=True):
        with write_atomic(folder / str(folder_name) / "metadata.parquet") as temporary:
            part.to_parquet(temporary, index=False)
    everything = table.assign(file_name=places.to_numpy() + "/" + table["file_name"])
    write_text_atomic(folder / "images.csv", csv_text(everything))
    return n_masks


def _metadata(manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest as imagefolder metadata: file name and label first, empty columns left out, `attr.` taken off."""
    files = manifest["image_id"].astype(str) + ".png"
    columns: dict[str, Any] = {"file_name": files, "label": manifest["label"]}
    if manifest["mask_path"].notna().any():
        columns["mask"] = (MASKS_FOLDER + "/" + files).where(manifest["mask_path"].notna())
    for name in manifest.columns:
        if name not in _LEFT_OUT and manifest[name].notna().any():
            bare = name.removeprefix(ATTRIBUTE_PREFIX)
            is_taken = bare in columns or (bare in COLUMNS and bare not in _LEFT_OUT)
            columns[name if is_taken else bare] = manifest[name]
    return pd.DataFrame(columns)


def _copy(workspace: Workspace, path: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = workspace.resolve(path)
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise DataError(
            "an image of the manifest is missing",
            where=str(source),
            expected="the files as the import wrote them",
            todo="run the same import again: it makes what is missing",
        ) from error


@contextmanager
def _appearing_whole(target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its name in the end, or goes when anything fails."""
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}.{target.name}")
    with storage_errors(target):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            if target.is_dir():
                target.rmdir()
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _card(workspace: Workspace, manifest: pd.DataFrame, by_split: Mapping[str, int]) -> str:
    names = [name for name in _SPLIT_FOLDERS if name in by_split]
    labels = sorted(manifest["label"].astype(str).unique())
    split = manifest["split"].fillna(UNSPLIT)
    lines = [
        f"# {workspace.name}: images exported from Tenfold",
        "",
        f"License of the images: {workspace.data_license}. {_CAUTION}",
        "",
        "| class | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for label in labels:
        of_label = split[(manifest["label"] == label).to_numpy(dtype=bool)]
        lines.append(f"| {label} | " + " | ".join(str(int((of_label == name).sum())) for name in names) + " |")
    groups, patients = manifest["group_id"].nunique(), manifest["patient_id"].nunique()
    known = f"{patients} patients" if patients else "patients are not known"
    lines += [
        "",
        f"{len(manifest)} images in {groups} groups ({known}). Images of one `group_id` belong together: "
        "never part them between training and test.",
        "",
        'Read by `datasets.load_dataset("imagefolder", data_dir=FOLDER)` and `tenfold data import FOLDER --out DIR`.',
        "",
    ]
    return "\n".join(lines)
