"""Table reading: rows of CSV, TSV, JSONL and Parquet files as text cells with their line numbers."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tenfold.core.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".parquet")
_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class TableRow:
    """One row: its line in the file (of Parquet: its number, from 1) and its non-empty cells, stripped."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class BadRow:
    """A row that could not be read, with a word and a sentence why."""

    line: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Table:
    """A table as read; `columns` in file order, `notes` for the person who runs the import."""

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    bad_rows: tuple[BadRow, ...] = ()
    notes: tuple[str, ...] = ()


def read_table(path: Path) -> Table:
    """Read a table; DataError when it is missing, of another kind, without columns or not readable at all.

    CSV may have a BOM, be separated by commas, semicolons or tabs, and be UTF-8, UTF-16 or (with a note) Windows-1252.
    """
    readers: Mapping[str, Callable[[Path], Table]] = MappingProxyType(
        {
            ".csv": _read_separated, ".tsv": _read_separated, ".tab": _read_separated, ".jsonl": _read_jsonl,
            ".parquet": _read_parquet, "": _read_separated,
        }
    )  # fmt: skip
    if not path.is_file():
        raise DataError("there is no such table", where=str(path), expected=f"a {', '.join(TABLE_SUFFIXES)} file")
    if path.suffix.lower() not in readers:
        raise DataError(
            f"{path.suffix or 'no suffix'} is no table format", where=str(path), expected=", ".join(TABLE_SUFFIXES)
        )
    table = readers[path.suffix.lower()](path)
    if not table.columns or not (table.rows or table.bad_rows):
        raise DataError("the table has no rows", where=str(path), expected="a header and one row per image")
    return table


def read_columns(path: Path) -> tuple[str, ...]:
    """The column names of a table by its first row alone; () when there are none to be had. Never raises."""
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            return tuple(str(name).strip() for name in pq.read_schema(path).names)
        with path.open("rb") as stream:
            text, _ = _decoded(path, stream.read(_HEADER_BYTES))
        if path.suffix.lower() == ".jsonl":
            first = json.loads(next(line for line in text.split("\n") if line.strip()))
            return tuple(str(name).strip() for name in first) if isinstance(first, dict) else ()
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text, path))
        return tuple(cell.strip() for cell in next(row for row in reader if any(cell.strip() for cell in row)))
    except (OSError, ValueError, RecursionError, StopIteration, csv.Error):
        return ()


def _read_separated(path: Path) -> Table:
    text, notes = _decoded(path)
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=_delimiter(text, path))
    rows: list[TableRow] = []
    bad: list[BadRow] = []
    columns: tuple[str, ...] = ()
    line = 1
    try:
        for cells in reader:
            if not columns and any(cell.strip() for cell in cells):
                columns = _checked_columns([cell.strip() for cell in cells], path)
            elif len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                detail = f"{len(cells)} cells under {len(columns)} columns"
                bad.append(BadRow(line, "ragged_row", detail))
            elif any(cell.strip() for cell in cells):
                rows.append(TableRow(line, _filled(dict(zip(columns, cells, strict=False)))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"the table cannot be read: {error}", where=f"{path}:{line}", expected="rows of one line each"
        ) from error
    return Table(columns, tuple(rows), tuple(bad), notes)


def _read_jsonl(path: Path) -> Table:
    text, notes = _decoded(path)
    columns: dict[str, None] = {}
    rows: list[TableRow] = []
    bad: list[BadRow] = []
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            record = json.loads(content)
        except (ValueError, RecursionError) as error:
            bad.append(BadRow(line, "unreadable_row", f"not JSON: {error}"))
            continue
        if not isinstance(record, dict):
            bad.append(BadRow(line, "unreadable_row", "not a JSON object"))
            continue
        cells = {str(name).strip(): _cell(value) for name, value in record.items()}
        columns.update(dict.fromkeys(cells))
        rows.append(TableRow(line, _filled(cells)))
    return Table(_checked_columns(list(columns), path), tuple(rows), tuple(bad), notes)


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"the table cannot be read: {error}", where=str(path), expected="a Parquet file") from error
    columns = _checked_columns([str(name).strip() for name in table.column_names], path)
    values = [column.to_pylist() for column in table.columns]
    rows = [
        TableRow(number, _filled({name: _cell(cell) for name, cell in zip(columns, cells, strict=True)}))
        for number, cells in enumerate(zip(*values, strict=True), 1)
    ]
    return Table(columns, tuple(rows))


def _decoded(path: Path, data: bytes | None = None) -> tuple[str, tuple[str, ...]]:
    """The text of a file (or of its first bytes, which may end within a letter), with a note on its encoding."""
    if data is None:
        data = path.read_bytes()
    elif len(data) == _HEADER_BYTES:
        data = data[: data.rfind(b"\n") + 1]
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError:
        name = encoding.upper().removesuffix("-SIG")
        note = f"{path.name} is not {name}: read as Windows-1252; check accented letters"
        return data.decode("cp1252", errors="replace"), (note,)


def _delimiter(text: str, path: Path) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    candidates = "\t,;" if path.suffix.lower() in (".tsv", ".tab") else ",;\t"
    return max(candidates, key=lambda mark: (header.count(mark), -candidates.index(mark)))


def _checked_columns(names: list[str], path: Path) -> tuple[str, ...]:
    repeated = sorted(name for name, count in Counter(names).items() if name and count > 1)
    if repeated:
        raise DataError(
            f"columns of the same name: {', '.join(repeated[:5])}",
            where=f"{path}:1",
            expected="every column name once",
            todo="rename or remove all but one",
        )
    return tuple(name or f"column_{number}" for number, name in enumerate(names, 1))


def _filled(cells: Mapping[str, str | None]) -> dict[str, str]:
    return {name: text.strip() for name, text in cells.items() if text is not None and text.strip()}


def _cell(value: Any) -> str | None:
    if value is None or value != value:
        return None
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
