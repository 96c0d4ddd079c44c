"""Table import: a CSV, TSV, JSONL or Parquet file with one row per image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tenfold.data.folder_import import MASK_REASON, SIDECAR_REASON
from tenfold.data.import_items import ImportItem, Listing, QuarantineRow, check_classes
from tenfold.data.label_spelling import one_spelling, tidy
from tenfold.data.masks import MaskFinder, mask_base
from tenfold.data.source_files import RefusedFileError, SourceFiles, is_hidden, is_image_name
from tenfold.data.table_columns import ColumnMatch, manifest_fields, match_columns
from tenfold.data.table_labels import LabelReader
from tenfold.data.table_layout import ANY_TABLE, TableLayout
from tenfold.data.table_reading import BINARY, Table, TableRow, read_table

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
    files = SourceFiles(table_path.parent, folders=layout.folders)
    return list_table(read_table(table_path), files, column_map or {}, classes, layout, where=str(table_path))


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
        else:
            several = {"attr.all_labels": row.cells[match.taken["label"]]} if labels.is_one_of_several(row) else {}
            reader.read(row, label, several)
    notes = (*table.notes, *match.notes, *spelling.notes, *labels.notes())
    return reader.listing(table, others, notes, lists_all=classes is None)


class _TableReader:
    """Reads rows into items and quarantine rows, and counts what a person should know."""

    def __init__(self, files: SourceFiles, match: ColumnMatch, layout: TableLayout) -> None:
        self._files, self._match, self._layout = files, match, layout
        self._masks = MaskFinder(files, layout.mask_folders)
        self._items: list[ImportItem] = []
        self._quarantined: list[QuarantineRow] = []
        self._unclear: Counter[str] = Counter()
        self._missing_masks: list[str] = []
        self._skin_types: dict[str, Counter[str]] = {}
        self._images = [match.taken["image"]] + [name for name in layout.other_images if name in match.attributes]

    def set_aside(self, row: TableRow, reason: str, detail: str, label: str | None = None) -> None:
        """Quarantine a row."""
        value = row.cells.get(self._match.taken["image"], "")
        self._quarantined.append(QuarantineRow(reason, value, row.line, label, detail))

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
        self._items.append(ImportItem(path, self._files.name_of(path), label, row.line, told, mask))
        return None

    def listing(self, table: Table, others: Mapping[str, int], notes: Sequence[str], *, lists_all: bool) -> Listing:
        """What was read; `lists_all`: no class was left out, so images in no row are worth a note."""
        quarantined = [QuarantineRow(bad.reason, "", bad.line, detail=bad.detail) for bad in table.bad_rows]
        quarantined = sorted(quarantined + self._quarantined, key=lambda row: row.line or 0)
        told = [*notes, *self._notes()]
        if lists_all:
            told += self._note_on_unlisted()
        reasons = dict(self._match.reasons)
        if "caption" not in reasons and any("caption" in item.fields for item in self._items):
            reasons["caption"] = SIDECAR_REASON
        if "mask" not in reasons and any(item.mask_path is not None for item in self._items):
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
        lines: dict[Path, int | None] = {}
        again = [item for item in self._items if lines.setdefault(item.path, item.line) != item.line]
        if again:
            first = again[0]
            notes.append(
                f"{len(again)} rows name an image that an earlier row names, e.g. line {first.line}: {first.name}, "
                f"as in line {lines[first.path]}"
            )
        return notes

    def _note_on_case(self, name: str) -> str | None:
        """A note on ids that differ in case alone: if they are one, the split would part it."""
        spelled: dict[str, dict[str, None]] = {}
        for item in self._items:
            if name in item.fields:
                spelled.setdefault(str(item.fields[name]).casefold(), {})[str(item.fields[name])] = None
        several = [list(found) for found in spelled.values() if len(found) > 1]
        if not several:
            return None
        example = " and ".join(repr(one) for one in several[0][:2])
        return (
            f"{len(several)} {name}s differ in case alone, e.g. {example}: they count as different; mend the table if "
            "they are one, as the split would part them"
        )

    def _note_on_unlisted(self) -> list[str]:
        listed = {item.path for item in self._items}
        masks = {item.mask_path for item in self._items}
        folders = {item.path.parent for item in self._items}
        unlisted = [
            folder / name
            for folder in sorted(folders)
            for name in sorted(self._files.names_in(folder))
            if is_image_name(name) and not is_hidden(name) and folder / name not in listed
        ]
        unlisted = [path for path in unlisted if path not in masks and not self._is_mask(path)]
        if not unlisted:
            return []
        example = self._files.name_of(unlisted[0])
        return [f"{len(unlisted)} images lie beside the listed ones but are in no row, e.g. {example}"]

    def _is_mask(self, path: Path) -> bool:
        base = mask_base(path.name)
        stems = (os.path.splitext(name)[0] for name in self._files.names_in(path.parent))
        return base is not None and base in stems
