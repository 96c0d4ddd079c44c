"""DICOM table: labels of a DICOM export in a table beside it, by patient, study, series, instance or file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from tenfold.core.errors import DataError
from tenfold.data.dicom_header import DicomHeader
from tenfold.data.dicom_labels import WAYS, is_identifying, plain_name
from tenfold.data.import_items import QuarantineRow
from tenfold.data.label_spelling import tidy
from tenfold.data.table_columns import ColumnMatch, manifest_fields, match_columns
from tenfold.data.table_reading import read_columns, read_table
from tenfold.data.table_rows import TABLE_SUFFIXES, TableRow

KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "file": ("file", "filename", "path", "filepath", "image", "imagepath", "imagefile", "filelocation", "folder"),
    "instance": ("sopinstanceuid", "instanceuid", "imageuid", "sopuid"),
    "series": ("seriesinstanceuid", "seriesuid", "seriesid"),
    "study": ("studyinstanceuid", "studyuid", "studyid"),
    "patient": ("patientid", "patient", "pid", "subjectid", "subject"),
})  # fmt: skip
"""What a row may be about -> the plain names of columns that say so; the most exact first."""

_TOLD_OTHERWISE = ("patient_id", "image", "mask")
"""What the table may tell but is not kept as it stands: patients are hashed, files are found by the key."""

_USUAL_TABLES = ("labels", "metadata")


@dataclass(frozen=True)
class FoundRow:
    """What the table says of a file; label and patient (its id as it stands there) are empty when the cells are."""

    label: str
    fields: Mapping[str, Any]
    line: int
    patient: str


@dataclass(frozen=True)
class DicomTable:
    """A table of labels: `rows` by the value of the key column `key`, which says what a row is about (`kind`)."""

    path: Path
    kind: str
    key: str
    rows: Mapping[str, tuple[TableRow, ...]]
    match: ColumnMatch
    patient_column: str | None
    bad_rows: tuple[QuarantineRow, ...]
    notes: tuple[str, ...]

    def find(self, header: DicomHeader, name: str) -> tuple[FoundRow | None, str]:
        """(row, key value) of a file with this path as seen from the source; None when no row, or several labels."""
        for value in _values(self.kind, header, name):
            if value in self.rows:
                rows = self.rows[value]
                labels = {tidy(row.cells.get(self.match.taken["label"], "")) for row in rows}
                if len(labels) > 1:
                    return None, value
                fields, _ = manifest_fields(rows[0].cells, self.match)
                patient = "" if self.patient_column is None else rows[0].cells.get(self.patient_column, "")
                return FoundRow(labels.pop(), fields, rows[0].line, patient), value
        return None, ""

    def unused(self, used: set[str]) -> list[QuarantineRow]:
        """Rows about no file that is there. Their key may be an id, so they are told by their line."""
        return [
            QuarantineRow("missing_file", "", row.line, tidy(row.cells.get(self.match.taken["label"], "")) or None,
                          f"no DICOM file of this {self.kind}")
            for value, rows in self.rows.items() if value not in used for row in rows
        ]  # fmt: skip


def find_table(root: Path, column_map: Mapping[str, str]) -> Path | None:
    """The table of labels beside an export: labels.*, metadata.*, else the only table; None when there is none.

    A table without a label column does not count, unless the column map names one of its columns.
    """
    tables = sorted(path for path in root.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file())
    named = [path for stem in _USUAL_TABLES for path in tables if path.stem.lower() == stem]
    candidates = named or (tables if len(tables) == 1 else [])
    return next((path for path in candidates if _tells_labels(path, column_map)), None)


def read_label_table(path: Path, column_map: Mapping[str, str], files: Sequence[tuple[DicomHeader, str]]) -> DicomTable:
    """The table, by the most exact key column that fits any of the (header, path) files. DataError when none does.

    Columns that name persons (by their DICOM keyword or a plain word such as name or MRN) and key columns are dropped.
    """
    table = read_table(path)
    keys = {kind: _key_column(table.columns, names) for kind, names in KEYS.items()}
    found = {kind: column for kind, column in keys.items() if column is not None}
    for kind, column in found.items():
        rows: dict[str, list[TableRow]] = defaultdict(list)
        for row in table.rows:
            rows[_key_value(kind, row.cells.get(column, ""))].append(row)
        without = rows.pop("", [])
        if not any(value in rows for header, name in files for value in _values(kind, header, name)):
            continue
        hidden = {name for name in table.columns if name in found.values() or is_identifying(name)}
        _refuse_hidden(hidden, column_map, path)
        seen = [name for name in table.columns if name not in hidden]
        wanted = {target: name for target, name in column_map.items() if target not in _TOLD_OTHERWISE}
        match = match_columns(seen, wanted, where=str(path), required=("label",))
        notes = (*table.notes, *match.notes)
        if hidden - {column}:
            notes += (f"columns of {path.name} that may name persons are not kept: {', '.join(sorted(hidden))}",)
        patient = column_map.get("patient_id", keys["patient"])
        bad = [QuarantineRow(row.reason, "", row.line, detail=row.detail) for row in table.bad_rows]
        bad += [QuarantineRow("no_image_name", "", row.line, detail=f"column {column} is empty") for row in without]
        listed = {value: tuple(own) for value, own in rows.items()}
        return DicomTable(path, kind, column, listed, _shown(match), patient, tuple(bad), notes)
    what = "has no column that says which file a row is about"
    if found:
        what = f"fits none of the DICOM files by its columns {', '.join(found.values())}"
    raise DataError(
        f"the table {what}", where=str(path), expected=f"classes of the DICOM files, told by {WAYS}",
        todo="name the column PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID or file, with the values "
        "that the files carry",
    )  # fmt: skip


def _tells_labels(path: Path, column_map: Mapping[str, str]) -> bool:
    columns = read_columns(path)
    if column_map.get("label") in columns:
        return True
    try:
        match_columns(columns, {}, where=str(path), required=("label",))
    except DataError:
        return False
    return "label" not in column_map


def _key_column(columns: Sequence[str], names: Sequence[str]) -> str | None:
    by_name = {plain_name(column): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def _key_value(kind: str, text: str) -> str:
    if kind != "file":
        return text.strip()
    return str(PurePosixPath(text.strip().replace("\\", "/").removeprefix("./"))) if text.strip() else ""


def _values(kind: str, header: DicomHeader, name: str) -> list[str]:
    """The key values that a file answers to; for its path: itself, without suffix, its name, and its folders."""
    if kind == "file":
        path = PurePosixPath(name)
        folders = [str(folder) for folder in path.parents if str(folder) != "."]
        return [name, str(path.with_suffix("")), path.name, path.stem, *folders]
    value = {
        "instance": header.instance_uid, "series": header.series_uid, "study": header.study_uid,
        "patient": header.patient_id,
    }[kind]  # fmt: skip
    return [value] if value else []


def _refuse_hidden(hidden: set[str], column_map: Mapping[str, str], path: Path) -> None:
    for target, name in column_map.items():
        if target not in _TOLD_OTHERWISE and name in hidden:
            raise DataError(
                f"the column {name!r} can name a person, so it cannot be the {target}", where=str(path),
                expected="a column without ids, names or dates of persons",
                todo=f"leave {target} out of the column map, or give the table a column of codes",
            )  # fmt: skip


def _shown(match: ColumnMatch) -> ColumnMatch:
    """The match without patient, image and mask columns, whose cells may be ids or names of files."""
    dropped = {name for target, name in match.taken.items() if target in _TOLD_OTHERWISE}
    taken = {target: name for target, name in match.taken.items() if name not in dropped}
    attributes = {name: attribute for name, attribute in match.attributes.items() if name not in dropped}
    return replace(match, taken=taken, attributes=attributes)
