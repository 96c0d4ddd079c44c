"""Table import: a CSV, TSV, JSONL or Parquet file with one row per image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tenfold.data.folder_import import MASK_REASON, SIDECAR_REASON
from tenfold.data.import_items import ImportItem, Listing, QuarantineRow, Record, check_classes
from tenfold.data.label_spelling import one_spelling, tidy
from tenfold.data.masks import MaskFinder
from tenfold.data.source_files import RefusedFileError, SourceFiles
from tenfold.data.table_columns import ColumnMatch, columns_in_use, manifest_fields, match_columns
from tenfold.data.table_labels import LabelReader
from tenfold.data.table_layout import ANY_TABLE, TableLayout
from tenfold.data.table_reading import BINARY, read_table
from tenfold.data.table_rows import Table, TableRow
from tenfold.data.unread_files import count_unread

_ID_COLUMNS = ("patient_id", "lesion_id", "group_id")


def import_table(
    table_path: Path,
    column_map: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    layout: TableLayout = ANY_TABLE,
) -> Listing:
    """List the images of a table, in its order; their files are looked for beside it, see `SourceFiles.find`.

    column_map: manifest column (or `image`, `mask`) -> upstream column, where the usual names do not tell. A caption
    comes from its column, else from a .txt file of the image's stem; a mask from its column, else from a file of the
    image's name. Rows without a label, with a missing or refused file, or unreadable, are quarantined with their line;
    a missing mask is a note. DataError when the table cannot be used or a chosen class is unknown.
    """
    files, where = SourceFiles(table_path.parent, folders=layout.folders), str(table_path)
    table = read_table(table_path, columns_in_use(column_map or {}, where=where, own=layout.columns))
    return list_table(table, files, column_map or {}, classes, layout, where=where)


def list_table(
    table: Table,
    files: SourceFiles,
    column_map: Mapping[str, str],
    classes: Sequence[str] | None,
    layout: TableLayout,
    *,
    where: str,
) -> Listing:
    """As `import_table`, of a table already read, whose images lie among `files`; `where` is for messages."""
    match = match_columns(table.columns, column_map, where=where, own=layout.columns)
    labels = LabelReader(layout, match.taken["label"], is_mapped="label" in column_map)
    counts = labels.count(table.rows)
    spelling = one_spelling(counts, classes)
    check_classes(map(spelling, counts), classes, where=f"{where}, column {match.taken['label']}")
    reader = _TableReader(files, match, layout)
    others: Counter[str] = Counter()
    for row in table.rows:
        label, refused = labels.read(row, spelling, classes)
        if refused is not None:
            reader.set_aside(row, *refused)
        elif label is None:
            others[labels.other(row, spelling)] += 1
            reader.leave(row)
        else:
            several = {"attr.all_labels": row.cells[match.taken["label"]]} if labels.is_one_of_several(row) else {}
            reader.read(row, label, several)
    reader.count_unread()
    notes = (*table.notes, *match.notes, *spelling.notes, *labels.notes())
    return reader.listing(table, others, notes)


class _TableReader:
    """Reads rows into items and quarantine rows, and counts what a person should know."""

    def __init__(self, files: SourceFiles, match: ColumnMatch, layout: TableLayout) -> None:
        self._files, self._match, self._layout = files, match, layout
        self._masks = MaskFinder(files, layout.mask_folders)
        self._items: list[ImportItem] = []
        self._quarantined: list[QuarantineRow] = []
        self._unclear: Counter[str] = Counter()
        self._missing_masks: list[str] = []
        self._named_elsewhere: set[str] = set()
        self._skin_types: dict[str, Counter[str]] = {}
        self._images = [match.taken["image"]] + [name for name in layout.other_images if name in match.attributes]

    def set_aside(self, row: TableRow, reason: str, detail: str, label: str | None = None) -> None:
        """Quarantine a row."""
        self.leave(row)
        value = row.cells.get(self._match.taken["image"], "")
        value = value if value.isprintable() else repr(value)[1:-1]
        self._quarantined.append(QuarantineRow(reason, value, row.line, label, detail))

    def leave(self, row: TableRow) -> None:
        """Remember what a row names that is not listed: these files are no strangers."""
        for name in (*self._images, self._match.taken.get("mask", "")):
            value = row.cells.get(name, "").replace("\\", "/")
            self._named_elsewhere |= {value, os.path.splitext(value)[0]}

    def read(self, row: TableRow, label: str, more: Mapping[str, Any]) -> None:
        """List a row of a chosen class with `more` fields, or quarantine it."""
        fields, unclear = manifest_fields(row.cells, self._match)
        fields |= more
        self._unclear.update(unclear)
        self._count_skin_type(label, fields)
        values = [value for name in self._images if (value := row.cells.get(name, ""))]
        if not values:
            return self.set_aside(row, "no_image_name", f"column {self._images[0]} is empty", label)
        if values[0].startswith(f"{BINARY} of ") or values[0].startswith('{"bytes"'):
            detail = "the cell holds a picture, not the name of its file: write the pictures to files and name those"
            return self.set_aside(row, "image_in_table", detail, label)
        folder = tidy(row.cells.get(self._match.taken["label"], label))
        try:
            path = self._find(values, folder)
        except RefusedFileError as error:
            return self.set_aside(row, error.reason, error.detail, label)
        mask = self._mask(row, folder, path, fields)
        told = {**self._layout.fixed, **self._with_prefix(fields), **self._layout.by_image.get(path.stem, {})}
        told = self._with_caption(path, told)
        mask_file, name = None if mask is None else str(mask), self._files.name_of(path)
        self._items.append(ImportItem(str(path), name, label, row.line, Record(told), mask_file))
        return None

    def count_unread(self) -> None:
        """Count in notes the files of the source that no row names, whatever its class.

        Of a table that is not given by its folder, only the folders in which its images lie are looked through.
        """
        root, names = self._files.root, {item.file for item in self._items} | {item.mask_file for item in self._items}

        def is_read(path: Path) -> bool:
            if str(path) in names or path in self._files.captions or path.is_dir() or os.path.realpath(path) in names:
                return True
            parts = path.relative_to(root).with_suffix("").parts
            return any("/".join(parts[start:]) in self._named_elsewhere for start in range(len(parts)))

        tops = {root.joinpath(*Path(item.file).relative_to(root).parts[:-1][:1]) for item in self._items}
        others = {root / name for name in self._files.names_in(root)} - tops
        if self._layout.is_whole_folder:
            count_unread(self._files, [root], is_read)
        else:
            count_unread(self._files, [root] if root in tops else sorted(tops), is_read, others)

    def listing(self, table: Table, others: Mapping[str, int], notes: Sequence[str]) -> Listing:
        """What was read."""
        quarantined = [QuarantineRow(bad.reason, "", bad.line, detail=bad.detail) for bad in table.bad_rows]
        quarantined = sorted(quarantined + self._quarantined, key=lambda row: row.line or 0)
        told = [*notes, *self._notes(), *self._files.passed_over.notes()]
        reasons = dict(self._match.reasons)
        if "caption" not in reasons and any("caption" in item.fields for item in self._items):
            reasons["caption"] = SIDECAR_REASON
        if "mask" not in reasons and any(item.mask_file is not None for item in self._items):
            reasons["mask"] = MASK_REASON
        skin_types = {label: dict(sorted(counts.items())) for label, counts in sorted(self._skin_types.items())}
        return Listing(
            self._files.root, tuple(self._items), tuple(quarantined), dict(sorted(others.items())), self._match.taken,
            tuple(told), reasons, self._layout.format, skin_types,
        )  # fmt: skip

    def _find(self, values: Sequence[str], label: str) -> Path:
        for value in values[:-1]:
            try:
                return self._files.find(value, label)
            except RefusedFileError as error:
                if error.reason != "missing_file":
                    raise
        return self._files.find(values[-1], label)

    def _mask(self, row: TableRow, label: str, image: Path, fields: dict[str, Any]) -> Path | None:
        column = self._match.taken.get("mask")
        value = row.cells.get(column, "") if column else ""
        if column and value:
            try:
                return self._masks.named(value, label)
            except RefusedFileError as error:
                self._missing_masks.append(f"line {row.line}: {value} ({error.detail})")
                fields[self._match.attributes[column]] = value
        return self._masks.beside(image)

    def _with_prefix(self, fields: dict[str, Any]) -> dict[str, Any]:
        prefix = self._layout.id_prefix
        ids = {name: prefix + fields[name] for name in ("patient_id", "lesion_id") if prefix and name in fields}
        return fields | ids

    def _with_caption(self, path: Path, fields: dict[str, Any]) -> dict[str, Any]:
        if "caption" in fields:
            return {**fields, "attr.caption_source": "given"}
        caption = self._files.sidecar_caption(path)
        return fields if caption is None else {**fields, "caption": caption, "attr.caption_source": "sidecar"}

    def _count_skin_type(self, label: str, fields: Mapping[str, Any]) -> None:
        if "skin_type" in self._match.taken or "skin_type_group" in self._match.taken:
            told = fields.get("skin_type", fields.get("skin_type_group", "unknown"))
            self._skin_types.setdefault(label, Counter())[str(told)] += 1

    def _notes(self) -> list[str]:
        taken = self._match.taken
        notes = [
            f"column {taken[name]}: {count} cells are no {name} and were kept as {self._match.attributes[taken[name]]}"
            for name, count in sorted(self._unclear.items())
        ]
        if self._missing_masks:
            missing = self._missing_masks
            notes.append(f"{len(missing)} masks were not found; their images are kept without one, e.g. {missing[0]}")
        notes += [note for name in _ID_COLUMNS if (note := self._note_on_case(name)) is not None]
        lines: dict[str, int | None] = {}
        again = [item for item in self._items if lines.setdefault(item.file, item.line) != item.line]
        if again:
            first = again[0]
            notes.append(
                f"{len(again)} rows name an image that an earlier row names, e.g. line {first.line}: {first.name}, "
                f"as in line {lines[first.file]}"
            )
        return notes

    def _note_on_case(self, name: str) -> str | None:
        """A note on ids that differ in case alone: if they are one, the split would part it."""
        spelled: dict[str, str] = {}
        several: dict[str, str] = {}
        for item in self._items:
            if name in item.fields:
                own = str(item.fields[name])
                if spelled.setdefault(own.casefold(), own) != own:
                    several.setdefault(spelled[own.casefold()], own)
        if not several:
            return None
        example = " and ".join(map(repr, next(iter(several.items()))))
        return (
            f"{len(several)} {name}s differ in case alone, e.g. {example}: they count as different; mend the table if "
            "they are one, as the split would part them"
        )
