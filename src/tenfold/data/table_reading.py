"""Table reading: rows of CSV, TSV, JSONL and Parquet files as text cells with their line numbers."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tenfold.core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".parquet")
_HEADER_BYTES = 1_000_000
BINARY = "binary"
"""How cells begin that stand for bytes which are no text."""

_NEUTRALIZED = tuple(f"'{start}" for start in ("=", "+", "-", "@", "'"))
"""How cells begin that Tenfold's own export keeps a spreadsheet from running as formulas."""


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
    The apostrophe by which Tenfold's export keeps a cell from being a formula is taken off. Lines behind a quotation
    mark that is never closed are bad rows, each for itself; rows over several lines get a note.
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
        raise DataError(
            "the table has no rows", where=str(path), expected="a header and one row per image",
            todo="check that this is the right file and that it was copied whole",
        )  # fmt: skip
    return table


def read_columns(path: Path) -> tuple[str, ...]:
    """The column names of a table by its first row alone; () when there are none to be had. Never raises."""
    if not path.is_file():
        return ()
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
    delimiter = _delimiter(text, path)
    reader = csv.reader(lines, delimiter=delimiter)
    rows: list[TableRow] = []
    bad: list[BadRow] = []
    columns: tuple[str, ...] = ()
    line, start = 1, 1
    spans: list[tuple[int, int]] = []
    try:
        for cells in reader:
            start = line
            if reader.line_num > line:
                spans.append((line, reader.line_num))
            if not columns and any(cell.strip() for cell in cells):
                columns = _checked_columns([_as_typed(cell.strip()) for cell in cells], path)
            elif len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                detail = f"{len(cells)} cells under {len(columns)} columns"
                bad.append(BadRow(line, "ragged_row", detail))
            elif any(cell.strip() for cell in cells):
                rows.append(TableRow(line, _filled(dict(zip(columns, map(_as_typed, cells), strict=False)))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"the table cannot be read: {error}",
            where=f"{path}:{line}",
            expected="cells of at most 131072 letters",
            todo="look in and above this line for a quotation mark that is not closed",
        ) from error
    torn = _open_quote(text, start, reader.line_num, delimiter) if columns else []
    if torn:
        rows = [row for row in rows if row.line != start]
        bad = [row for row in bad if row.line != start] + torn
        spans = [span for span in spans if span[0] != start]
    return Table(columns, tuple(rows), tuple(bad), (*notes, *_note_on_spans(spans)))


def _open_quote(text: str, first: int, last: int, delimiter: str) -> list[BadRow]:
    """The lines of the last row, each as a bad row, when it opens a quotation mark that is never closed."""
    lines = list(itertools.islice(io.StringIO(text, newline=""), first - 1, last))
    try:
        for _ in csv.reader(lines, delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        if "unexpected end" in str(error):
            detail = f"a quotation mark is not closed from line {first} to the end of the file"
            return [BadRow(first + k, "open_quote", detail) for k, content in enumerate(lines) if content.strip()]
    return []


def _note_on_spans(spans: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    if not spans:
        return ()
    longest = max(spans, key=lambda span: span[1] - span[0])
    return (
        f"{len(spans)} rows go over several lines, the longest from line {longest[0]} to {longest[1]}: fine for texts "
        "with line breaks; else a quotation mark there is not closed and has swallowed rows",
    )


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
        if not _is_text(cells):
            bad.append(BadRow(line, "unreadable_row", "letters that are no Unicode (half of a surrogate pair)"))
            continue
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
    values = [_values(table, number, f"{path}, column {name}") for number, name in enumerate(columns)]
    rows = [
        TableRow(number, _filled({name: _cell(cell) for name, cell in zip(columns, cells, strict=True)}))
        for number, cells in enumerate(zip(*values, strict=True), 1)
    ]
    return Table(columns, tuple(rows))


def _values(table: pa.Table, number: int, where: str) -> list[Any]:
    """The values of a column. DataError for text that is no UTF-8 and times that no calendar holds."""
    try:
        found: list[Any] = table.column(number).to_pylist()
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"the column cannot be read: {error}", where=where, expected="values as its type allows them",
            todo="leave the column out, or write it again as text",
        ) from error  # fmt: skip
    return found


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
    if isinstance(value, bytes):
        return _text_of_bytes(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_plain)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _plain(value: Any) -> str:
    return _text_of_bytes(value) if isinstance(value, bytes) else str(value)


def _text_of_bytes(value: bytes) -> str:
    """Binary cells are often text whose writer did not say so; of others (pictures) only the size is told."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    return text if text.isprintable() else f"{BINARY} of {len(value)} bytes"


def _as_typed(cell: str) -> str:
    return cell[1:] if cell.startswith(_NEUTRALIZED) else cell


def _is_text(cells: Mapping[str, str | None]) -> bool:
    try:
        for name, cell in cells.items():
            name.encode("utf-8")
            (cell or "").encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
