"""Importers: what kind of source this is, and its images as a listing."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.workspace import holds_workspace
from tenfold.data.dicom_header import is_dicom
from tenfold.data.folder_import import has_class_folders, image_files, import_folder
from tenfold.data.imagefolder_import import import_imagefolder, is_imagefolder
from tenfold.data.images import SUFFIXES
from tenfold.data.import_items import ImportItem, Listing, QuarantineRow
from tenfold.data.presets import find_collection, list_preset
from tenfold.data.presets.listing import find_tables, tables_in
from tenfold.data.source_options import PRESET_NAMES, SourceFormat, SourceOptions
from tenfold.data.table_import import import_table
from tenfold.data.table_layout import ANY_TABLE
from tenfold.data.table_reading import read_columns
from tenfold.data.table_rows import TABLE_SUFFIXES

__all__ = [
    "ImportItem",
    "Listing",
    "QuarantineRow",
    "SourceFormat",
    "SourceOptions",
    "detect_format",
    "import_folder",
    "import_table",
    "list_source",
]

_PLAIN_SUFFIXES = (*SUFFIXES, *TABLE_SUFFIXES, ".txt", ".pdf", ".xml", ".json", ".doc", ".docx", ".zip")
_LOOKED_AT = 200
"""Files of a folder that are looked at to find whether it is a DICOM export."""


def list_source(source: Path, options: SourceOptions | None = None) -> Listing:
    """The source's images as a `Listing`, by the given format or the detected one. DataError when it cannot be used.

    DICOM files, wherever they are listed, are opened as far as their header: see `dicom_series.expand_dicom`.
    """
    options = options or SourceOptions()
    found, path = detect_format(source, options.format)
    if found == "dicom":
        from tenfold.data.dicom_import import list_dicom

        return replace(list_dicom(path, options), format="dicom")
    if found == "table":
        layout = replace(ANY_TABLE, is_whole_folder=source.is_dir())
        listing = _with_unread_tables(import_table(path, options.column_map, options.classes, layout), path)
    elif found == "imagefolder":
        listing = import_imagefolder(path, options.column_map, options.classes)
    elif found == "folder":
        _refuse_column_map(source, options)
        listing = _with_unread_tables(import_folder(path, options.classes), path)
    else:
        listing = list_preset(path, found, options)
    return _with_dicom(listing, options)


def detect_format(source: Path, forced: SourceFormat | None = None) -> tuple[SourceFormat, Path]:
    """How a source is laid out, and the path to import from: the table's where it is a table.

    A table is a file of a table suffix, a folder with `metadata.csv` (or .tsv, .jsonl, .parquet), or a folder without
    class folders that holds exactly one table; one with the columns of a public archive is read by its preset, one with
    `file_name` as an imagefolder. A folder of DICOM files that are not in class folders is a DICOM export, with or
    without a table; any other folder is one per class. DataError when the path is missing or is neither.
    """
    if not source.exists():
        raise DataError(
            "there is no such source", where=str(source), expected="a folder of images or a table",
            todo="check the path",
        )  # fmt: skip
    if not source.is_dir() and not source.is_file():
        raise DataError(
            "the source is neither a file nor a folder", where=str(source), expected="a folder of images or a table"
        )
    if source.is_dir() and holds_workspace(source):
        raise DataError(
            "the source is a workspace of Tenfold", where=str(source), expected="a folder of images or a table",
            todo="name the folder the images came from, or write them out first: tenfold data export",
        )  # fmt: skip
    if forced in PRESET_NAMES or forced == "dicom":
        return forced, source
    if source.is_file():
        return _format_of_file(source, forced)
    if forced in ("folder", "imagefolder"):
        return forced, source
    table = _table_in(source)
    if forced == "table":
        if table is None:
            raise DataError(
                "the folder holds no table to import from, or several", where=str(source),
                expected="metadata.csv, or one .csv, .tsv, .jsonl or .parquet file",
                todo="name the table file itself as the source",
            )  # fmt: skip
        return "table", table
    return _format_of_folder(source, table)


def _format_of_file(source: Path, forced: SourceFormat | None) -> tuple[SourceFormat, Path]:
    is_table = source.suffix.lower() in TABLE_SUFFIXES
    if not is_table and forced is None and is_dicom(source):
        return "dicom", source
    if forced == "folder" or not is_table:
        raise DataError(
            f"a file {'of type ' + source.suffix if source.suffix else 'without a suffix'} is no source of images",
            where=str(source),
            expected=f"a folder, or a table ({', '.join(TABLE_SUFFIXES)})",
        )  # fmt: skip
    if forced is not None:
        return forced, source
    collection = find_collection(read_columns(source))
    return ("table" if collection is None else collection.preset), source


def _format_of_folder(source: Path, table: Path | None) -> tuple[SourceFormat, Path]:
    if table is not None:
        collection = find_collection(read_columns(table))
        if collection is not None:
            return collection.preset, source
    if _is_dicom_export(source):
        return "dicom", source
    if (table is None or table.stem == "metadata") and is_imagefolder(source):
        return "imagefolder", source
    if table is not None:
        return "table", table
    preset = next((name for name in PRESET_NAMES if find_tables(source, name)), None)
    if preset is not None:
        return preset, source
    return "folder", source


def _table_in(folder: Path) -> Path | None:
    for suffix in TABLE_SUFFIXES:
        if (folder / f"metadata{suffix}").is_file():
            return folder / f"metadata{suffix}"
    tables = tables_in(folder)
    return tables[0] if len(tables) == 1 and not has_class_folders(folder) else None


def _is_dicom_export(source: Path) -> bool:
    """Whether a folder holds DICOM files and no others, none of them directly in a class folder."""
    if (source / "DICOMDIR").is_file():
        return True
    files = list(islice((path for path in image_files(source) if not path.is_symlink()), _LOOKED_AT))
    folders = {path.relative_to(source).parts[:-1] for path in files}
    has_classes = all(len(names) == (2 if names[:1] == ("images",) else 1) for names in folders)
    return bool(files) and all(map(is_dicom, files)) and not has_classes


def _with_dicom(listing: Listing, options: SourceOptions) -> Listing:
    """The listing with its DICOM files opened: their chosen slices and frames in place of the files."""
    if not any(is_dicom(item.path) for item in listing.items):
        return listing
    if options.pseudonyms is None:
        raise DataError(
            "the source holds DICOM files, whose patient ids need a key", where=str(listing.root),
            expected="a workspace, which keeps the key of its pseudonyms", todo="import into a workspace",
        )  # fmt: skip
    from tenfold.data.dicom_series import DicomChoice, expand_dicom

    items, quarantined, notes = expand_dicom(listing.items, options.dicom or DicomChoice(), options.pseudonyms)
    others = [_without_name(row, number) for number, row in enumerate(listing.quarantined, 1)]
    return replace(listing, items=items, quarantined=(*others, *quarantined), notes=(*listing.notes, *notes))


def _without_name(row: QuarantineRow, number: int) -> QuarantineRow:
    """Beside DICOM files, names of folders and of files that are set aside may be names of persons too."""
    if row.line is not None:
        return row
    suffix = Path(row.path).suffix.lower()
    name = f"{row.label or '(no class)'}/other_file_{number:06d}{suffix if suffix in _PLAIN_SUFFIXES else ''}"
    return replace(row, path=name, detail=f"{row.detail} (its name is left out: it may be a person's)")


def _with_unread_tables(listing: Listing, read: Path) -> Listing:
    """The listing with a note on tables beside the one that was read (or beside the class folders)."""
    others = [path.name for path in tables_in(read if read.is_dir() else read.parent) if path != read]
    if not others:
        return listing
    shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    note = f"not read: {shown}; to use a table, name it as the source, or its kind by --format"
    return replace(listing, notes=(*listing.notes, note))


def _refuse_column_map(source: Path, options: SourceOptions) -> None:
    if options.column_map:
        raise DataError(
            "a column map was given, but the source is a folder without a table", where=str(source),
            expected="a CSV, TSV, JSONL or Parquet file, or a folder with a metadata file",
            todo="leave out intake.column_map",
        )  # fmt: skip
