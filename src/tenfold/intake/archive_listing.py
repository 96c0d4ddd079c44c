"""Listing of an archive: images of a folder, table or workspace, whether or not anything tells their classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.workspace import Workspace
from tenfold.data.dicom_series import DicomChoice, expand_dicom
from tenfold.data.folder_import import FolderReader
from tenfold.data.import_items import ImportItem, Listing
from tenfold.data.importers import SourceOptions, detect_format, list_source
from tenfold.data.manifest import manifest_rows, read_manifest
from tenfold.data.pseudonyms import Pseudonyms
from tenfold.data.source_files import SourceFiles
from tenfold.data.source_options import PRESET_NAMES
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.data.table_columns import columns_in_use, match_columns
from tenfold.data.table_import import list_table
from tenfold.data.table_layout import ANY_TABLE
from tenfold.data.table_reading import read_table
from tenfold.data.table_rows import TABLE_SUFFIXES, Table, TableRow
from tenfold.intake.archive_config import ArchiveConfig

SOURCE_IMAGE_ID = "attr.source_image_id"
"""Manifest column: the id that an image has in the workspace it was taken from."""

_LABEL = "label"
_UNLABELLED = "(unlabelled)"
_TOLD = (
    "patient_id", "lesion_id", "group_id", "skin_type", "skin_type_group", "skin_type_source", "severity", "site",
    "age", "sex", "modality", "caption",
)  # fmt: skip


def list_archive(config: ArchiveConfig, pseudonyms: Pseudonyms) -> Listing:
    """The archive's images in a fixed order, nothing decoded; an unknown label is empty text, masks are left out.

    A folder is listed with all that lies below it, a table with every row whose image is there, a workspace with its
    training images alone (all of them while it is not split). Captions come from the table or from .txt files of the
    images' stems.

    Raises:
        DataError: there is no such source, or it holds no image.
    """
    path = Path(config.source).expanduser().absolute()
    if (path / "workspace.json").is_file():
        listing = _list_workspace(Workspace.open(path))
    elif config.folder_names == "labels":
        listing = list_source(path, _options(config, pseudonyms))
    else:
        listing = _list_unlabelled(path, config, pseudonyms)
    if not listing.items:
        raise DataError(
            f"the archive holds no image; {len(listing.quarantined)} files or rows could not be used",
            where=str(path), expected="a folder or table of images (PNG, JPEG, TIFF, DICOM, ...)",
            todo=listing.quarantined[0].detail if listing.quarantined else "Check the path.",
        )  # fmt: skip
    return replace(listing, items=tuple(replace(item, mask_file=None) for item in listing.items))


def _options(config: ArchiveConfig, pseudonyms: Pseudonyms) -> SourceOptions:
    choice = DicomChoice(config.dicom.slices, config.dicom.frames, config.dicom.window)
    return SourceOptions(column_map=config.column_map, dicom=choice, pseudonyms=pseudonyms)


def _list_unlabelled(path: Path, config: ArchiveConfig, pseudonyms: Pseudonyms) -> Listing:
    found, place = detect_format(path)
    if found in PRESET_NAMES:
        return list_source(path, _options(config, pseudonyms))
    table = place if found == "table" else _metadata(path) if found == "imagefolder" else None
    listing = _list_folder(path) if table is None else _list_rows(table, config)
    choice = DicomChoice(config.dicom.slices, config.dicom.frames, config.dicom.window)
    items, refused, notes = expand_dicom(listing.items, choice, pseudonyms)
    return replace(listing, items=items, quarantined=(*listing.quarantined, *refused), notes=(*listing.notes, *notes))


def _metadata(folder: Path) -> Path | None:
    """The table of an imagefolder that has one for all its images."""
    places = (folder / f"metadata{suffix}" for suffix in TABLE_SUFFIXES)
    return next((place for place in places if place.is_file()), None)


def _list_folder(folder: Path) -> Listing:
    reader = FolderReader(SourceFiles(folder))
    reader.list_class(reader.files.root, "")
    reader.count_unread(())
    listing = reader.listing(Counter(), ())
    return replace(listing, reasons={k: why for k, why in listing.reasons.items() if k != _LABEL}, format="images")


def _list_rows(path: Path, config: ArchiveConfig) -> Listing:
    """A table's rows; a label column is taken where there is one, and an empty cell sets no row aside."""
    table = read_table(path, columns_in_use(config.column_map, where=str(path), required=("image",)))
    match = match_columns(table.columns, config.column_map, where=str(path), required=("image",))
    column = match.taken.get(_LABEL, _LABEL)
    rows = [_with_label(row, column) for row in table.rows]
    columns = tuple(dict.fromkeys([*table.columns, column]))
    filled = Table(columns, tuple(rows), table.bad_rows, table.notes)
    column_map = {**match.taken, _LABEL: column}
    files = SourceFiles(path.parent, folders=ANY_TABLE.folders)
    listing = list_table(filled, files, column_map, None, ANY_TABLE, where=str(path))
    items = tuple(replace(item, label="") if item.label == _UNLABELLED else item for item in listing.items)
    refused = tuple(replace(row, label=None) if row.label == _UNLABELLED else row for row in listing.quarantined)
    return replace(listing, items=items, quarantined=refused, columns=match.taken, reasons=match.reasons)


def _with_label(row: TableRow, column: str) -> TableRow:
    if row.cells.get(column, "").strip():
        return row
    return TableRow(row.line, {**row.cells, column: _UNLABELLED})


def _list_workspace(workspace: Workspace) -> Listing:
    """The real images of a workspace, without those that its sealed split holds out."""
    table = read_manifest(workspace.resolve("data/manifest.parquet"))
    split, notes = workspace.resolve("data/splits.json"), ["the workspace is not split: all its images are taken"]
    if split.is_file():
        table = with_split(table, read_sealed_split(split))
        held_out = int((table["split"] != "train").sum())
        table = table[table["split"] == "train"]
        notes = [f"{held_out} validation and test images of the workspace are left out"]
    items = []
    for row in manifest_rows(table):
        fields = {name: row[name] for name in _TOLD if row[name] is not None}
        fields[SOURCE_IMAGE_ID] = row["image_id"]
        path = workspace.resolve(str(row["path"]))
        items.append(ImportItem(str(path), str(row["path"]), str(row["label"] or ""), fields=fields))
    return Listing(workspace.path, tuple(items), (), notes=tuple(notes), format="workspace")
