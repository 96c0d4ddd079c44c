"""Importers: what kind of source this is, and its images as a listing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from tenfold.core.errors import DataError
from tenfold.data.folder_import import has_class_folders, import_folder
from tenfold.data.import_items import ImportItem, Listing, QuarantineRow
from tenfold.data.table_import import import_table
from tenfold.data.table_reading import TABLE_SUFFIXES

__all__ = [
    "ImportItem",
    "Listing",
    "QuarantineRow",
    "SourceFormat",
    "detect_format",
    "import_folder",
    "import_table",
    "list_source",
]

SourceFormat = Literal["folder", "table"]


def list_source(
    source: Path,
    source_format: SourceFormat | None = None,
    *,
    column_map: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
) -> Listing:
    """The source's images as a `Listing`, by the given format or the detected one. DataError when it cannot be used."""
    found, path = detect_format(source, source_format)
    if found == "table":
        return import_table(path, column_map, classes)
    if column_map:
        raise DataError(
            "a column map was given, but the source is a folder without a table",
            where=str(source),
            expected="a CSV, TSV, JSONL or Parquet file, or a folder with a metadata file",
            todo="leave out intake.column_map",
        )
    return import_folder(path, classes)


def detect_format(source: Path, forced: SourceFormat | None = None) -> tuple[SourceFormat, Path]:
    """Whether a source is a table or a folder per class, and the path to import from.

    A table is a file of a table suffix, a folder with `metadata.csv` (or .tsv, .jsonl, .parquet), or a folder without
    class folders that holds exactly one table. DataError when the path is missing or is neither.
    """
    if not source.exists():
        raise DataError("there is no such source", where=str(source), expected="a folder of images or a table")
    if source.is_file():
        if forced == "folder" or source.suffix.lower() not in TABLE_SUFFIXES:
            raise DataError(
                f"a {source.suffix or 'file without suffix'} file is no source of images", where=str(source),
                expected=f"a folder, or a table ({', '.join(TABLE_SUFFIXES)})",
            )  # fmt: skip
        return "table", source
    if forced == "folder":
        return "folder", source
    table = _table_in(source)
    if table is not None:
        return "table", table
    if forced == "table":
        raise DataError(
            "the folder holds no table to import from, or several",
            where=str(source),
            expected="metadata.csv, or one .csv, .tsv, .jsonl or .parquet file",
            todo="name the table file itself as the source",
        )
    return "folder", source


def _table_in(folder: Path) -> Path | None:
    for suffix in TABLE_SUFFIXES:
        if (folder / f"metadata{suffix}").is_file():
            return folder / f"metadata{suffix}"
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file())
    return tables[0] if len(tables) == 1 and not has_class_folders(folder) else None
