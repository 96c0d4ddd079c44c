"""Table import: a CSV, TSV, JSONL or Parquet file with one row per image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tenfold.data.import_items import ImportItem, Listing, QuarantineRow, check_classes
from tenfold.data.source_files import RefusedFileError, SourceFiles, is_hidden, is_image_name
from tenfold.data.table_columns import manifest_fields, match_columns
from tenfold.data.table_reading import TableRow, read_table


def import_table(
    table_path: Path, column_map: Mapping[str, str] | None = None, classes: Sequence[str] | None = None
) -> Listing:
    """List the images of a table, in its order; their files are looked for beside it, see `SourceFiles.find`.

    column_map: manifest column (or `image`) -> upstream column, where the usual names do not tell. A caption comes from
    its column, else from a .txt file of the image's stem. Rows without a label, with a missing or refused file, or
    unreadable, are quarantined with their line. DataError when the table cannot be used or a chosen class is unknown.
    """
    table = read_table(table_path)
    taken = match_columns(table.columns, column_map or {}, where=str(table_path))
    counts = Counter(row.cells[taken["label"]] for row in table.rows if taken["label"] in row.cells)
    check_classes(counts, classes, where=f"{table_path}, column {taken['label']}")
    files = SourceFiles(table_path.parent)
    items: list[ImportItem] = []
    quarantined = [QuarantineRow(bad.reason, "", bad.line, detail=bad.detail) for bad in table.bad_rows]
    unclear: Counter[str] = Counter()
    for row in table.rows:
        label = row.cells.get(taken["label"])
        if classes is not None and label is not None and label not in classes:
            continue
        outcome, doubts = _list_row(files, row, taken)
        unclear.update(doubts)
        if isinstance(outcome, ImportItem):
            items.append(outcome)
        else:
            quarantined.append(outcome)
    quarantined.sort(key=lambda row: row.line or 0)
    notes = [*table.notes]
    notes += [
        f"column {taken[name]}: {count} cells are no {name} and were kept as attr.{taken[name]}"
        for name, count in sorted(unclear.items())
    ]
    if classes is None:
        notes += _note_on_unlisted(files, items)
    others = {label: counts[label] for label in sorted(counts) if classes is not None and label not in classes}
    return Listing(files.root, tuple(items), tuple(quarantined), others, taken, tuple(notes))


def _list_row(
    files: SourceFiles, row: TableRow, taken: Mapping[str, str]
) -> tuple[ImportItem | QuarantineRow, Sequence[str]]:
    value, label = row.cells.get(taken["image"], ""), row.cells.get(taken["label"], "")
    if not label:
        return QuarantineRow("no_label", value, row.line, detail=f"column {taken['label']} is empty"), ()
    if not value:
        return QuarantineRow("no_image_name", value, row.line, label, f"column {taken['image']} is empty"), ()
    try:
        path = files.find(value, label)
    except RefusedFileError as error:
        return QuarantineRow(error.reason, value, row.line, label, error.detail), ()
    fields, unclear = manifest_fields(row.cells, taken)
    return ImportItem(path, files.name_of(path), label, row.line, _with_caption(files, path, fields)), unclear


def _with_caption(files: SourceFiles, path: Path, fields: dict[str, Any]) -> dict[str, Any]:
    if "caption" in fields:
        return {**fields, "attr.caption_source": "given"}
    caption = files.sidecar_caption(path)
    return fields if caption is None else {**fields, "caption": caption, "attr.caption_source": "sidecar"}


def _note_on_unlisted(files: SourceFiles, items: Sequence[ImportItem]) -> list[str]:
    listed = {item.path for item in items}
    folders = {item.path.parent for item in items}
    unlisted = [
        folder / name
        for folder in sorted(folders)
        for name in sorted(files.names_in(folder))
        if is_image_name(name) and not is_hidden(name) and folder / name not in listed
    ]
    if not unlisted:
        return []
    return [f"{len(unlisted)} images lie beside the listed ones but are in no row, e.g. {files.name_of(unlisted[0])}"]
