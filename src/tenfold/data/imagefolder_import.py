"""Imagefolder import: the layout of Hugging Face datasets, `metadata.*` with `file_name`, or folders per split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tenfold.core.errors import DataError
from tenfold.data.folder_import import FolderReader, class_folders, image_files
from tenfold.data.import_items import Listing, Record, check_classes
from tenfold.data.label_spelling import one_spelling, tidy
from tenfold.data.source_files import SourceFiles
from tenfold.data.table_columns import USUAL_NAMES, match_columns
from tenfold.data.table_import import list_table
from tenfold.data.table_layout import TableLayout
from tenfold.data.table_reading import read_columns, read_table
from tenfold.data.table_rows import Table, TableRow

FILE_NAME = "file_name"
SPLIT_FOLDERS = ("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval")
_SUFFIXES = (".csv", ".jsonl", ".parquet", ".tsv")
_LABEL, _SPLIT = "label", "split"


def is_imagefolder(source: Path) -> bool:
    """Whether a folder has a `metadata.*` with a file_name column, or nothing but split folders with classes."""
    if any(FILE_NAME in read_columns(path) for path in _metadata_files(source)):
        return True
    folders = class_folders(source)
    return bool(folders) and all(name.lower() in SPLIT_FOLDERS for name in folders) and any(
        next(image_files(source / split / label), None) for split in folders for label in class_folders(source / split)
    )  # fmt: skip


def import_imagefolder(
    source: Path, column_map: Mapping[str, str] | None = None, classes: Sequence[str] | None = None
) -> Listing:
    """List an imagefolder; the split folder of an image becomes `attr.split`.

    The label is the column that tells it, else the folder the image lies in. DataError when neither tells it, or the
    folder is no imagefolder.
    """
    root = source if source.is_dir() else source.parent
    found = [path for path in _metadata_files(root) if FILE_NAME in read_columns(path)]
    if found:
        return _list_metadata(root, found, column_map or {}, classes)
    if column_map:
        raise DataError(
            "a column map was given, but the imagefolder has no metadata file", where=str(source),
            expected="metadata.csv, .jsonl or .parquet with a file_name column", todo="leave out the column map",
        )  # fmt: skip
    return _list_folders(root, classes)


def _metadata_files(root: Path) -> list[Path]:
    """The metadata files of the root, of `data`, and of their split folders; of each folder the first."""
    folders = [root, root / "data", *(top / name for top in (root, root / "data") for name in _split_names(top))]
    found = []
    for folder in folders:
        path = next((folder / f"metadata{end}" for end in _SUFFIXES if (folder / f"metadata{end}").is_file()), None)
        if path is not None:
            found.append(path)
    return found


def _split_names(top: Path) -> list[str]:
    return [name for name in class_folders(top) if name.lower() in SPLIT_FOLDERS]


def _list_metadata(
    root: Path, paths: Sequence[Path], column_map: Mapping[str, str], classes: Sequence[str] | None
) -> Listing:
    table = _joined(root, paths, column_map)
    names = {name.lower() for name in table.columns}
    has_label = "label" in column_map or any(name in names for name in USUAL_NAMES["label"])
    if not has_label:
        table = _with_folder_labels(table, str(paths[0]))
    layout = TableLayout(format="imagefolder", is_whole_folder=True)
    listing = list_table(
        table, SourceFiles(root), {"image": FILE_NAME, **column_map}, classes, layout,
        where=", ".join(str(path) for path in paths),
    )  # fmt: skip
    reasons = dict(listing.reasons)
    if "image" not in column_map:
        reasons["image"] = "an imagefolder names its files in file_name"
    columns = dict(listing.columns)
    if not has_label:
        del columns[_LABEL]
        reasons[_LABEL] = "the folder the image lies in: no column tells it"
    if f"attr.{_SPLIT}" in reasons and not any(_SPLIT in read_columns(path) for path in paths):
        reasons[f"attr.{_SPLIT}"] = "the split folder the image lies in"
    return replace(listing, columns=columns, reasons=reasons)


def _joined(root: Path, paths: Sequence[Path], column_map: Mapping[str, str]) -> Table:
    """One table of all metadata files: file names as seen from the root, the split folder in a column of its own."""
    wanted = {"image": FILE_NAME, **column_map}
    tables = [read_table(path, _columns_in_use(wanted, path)) for path in paths]
    columns = dict.fromkeys(name for table in tables for name in table.columns)
    tells_split = _SPLIT in columns
    rows = []
    for path, table in zip(paths, tables, strict=True):
        folder = PurePosixPath(path.parent.relative_to(root).as_posix())
        for row in table.rows:
            cells = dict(row.cells)
            if FILE_NAME in cells:
                cells[FILE_NAME] = str(folder / cells[FILE_NAME])
            split = _split_of(cells.get(FILE_NAME, ""))
            if not tells_split and split is not None:
                cells[_SPLIT] = split
            rows.append(TableRow(row.line, Record(cells)))
    if any(_SPLIT in row.cells for row in rows):
        columns[_SPLIT] = None
    bad = [replace(row, detail=f"{path.name}: {row.detail}") for path, table in zip(paths, tables, strict=True)
           for row in table.bad_rows]  # fmt: skip
    return Table(tuple(columns), tuple(rows), tuple(bad), tuple(note for table in tables for note in table.notes))


def _columns_in_use(column_map: Mapping[str, str], path: Path) -> Callable[[Sequence[str]], Container[str]]:
    def in_use(columns: Sequence[str]) -> Container[str]:
        own = {target: name for target, name in column_map.items() if name in columns}
        return match_columns(columns, own, where=str(path), required=()).attributes

    return in_use


def _split_of(name: str) -> str | None:
    folders = PurePosixPath(name).parts[:-1]
    inner = folders[1:] if folders[:1] == ("data",) else folders
    return inner[0] if inner and inner[0].lower() in SPLIT_FOLDERS else None


def _with_folder_labels(table: Table, where: str) -> Table:
    rows = []
    for row in table.rows:
        parents = [part for part in PurePosixPath(row.cells.get(FILE_NAME, "")).parts[:-1] if part not in (".", "..")]
        label = parents[-1] if parents and parents[-1].lower() not in (*SPLIT_FOLDERS, "data", "images") else ""
        rows.append(TableRow(row.line, Record({**row.cells, _LABEL: label})) if label else row)
    if not any(_LABEL in row.cells for row in rows):
        raise DataError(
            "nothing tells the label of the images", where=where,
            expected=f"a label column or one folder per class; the metadata has: {', '.join(table.columns[:30])}",
            todo="name the column: --map label=COLUMN, or sort the images into one folder per class",
        )  # fmt: skip
    return replace(table, columns=(*table.columns, _LABEL), rows=tuple(rows))


def _list_folders(root: Path, classes: Sequence[str] | None) -> Listing:
    reader = FolderReader(SourceFiles(root))
    places = list(_class_places(reader.files.root))
    counts: Counter[str] = Counter()
    for _, folder in places:
        counts[tidy(folder.name) or folder.name] += sum(1 for _ in image_files(folder))
    if not counts.total():
        raise DataError(
            "the folder is no imagefolder", where=str(root),
            expected="metadata.csv, .jsonl or .parquet with a file_name column, or folders per class in train/, test/",
            todo="choose another --format, or leave it out to have it detected",
        )  # fmt: skip
    spelling = one_spelling(counts, classes)
    check_classes(map(spelling, counts), classes, where=str(root))
    others: Counter[str] = Counter()
    for split in dict.fromkeys(split for split, _ in places):
        if classes is None:
            reader.list_strays(reader.files.root / split)
    for split, folder in places:
        label = spelling(tidy(folder.name) or folder.name)
        if classes is None or label in classes:
            reader.list_class(folder, label, **{f"attr.{_SPLIT}": split})
        else:
            others[label] += sum(1 for _ in image_files(folder))
    reader.count_unread(folder for _, folder in places if classes and spelling(tidy(folder.name)) not in classes)
    listing = reader.listing(others, spelling.notes, **{f"attr.{_SPLIT}": "the split folder the image lies in"})
    return replace(listing, format="imagefolder")


def _class_places(root: Path) -> Iterator[tuple[str, Path]]:
    for split in _split_names(root):
        for label in class_folders(root / split):
            yield split, root / split / label
