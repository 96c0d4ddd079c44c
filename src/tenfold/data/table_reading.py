"""Table reading: rows of CSV, TSV, JSONL and Parquet files as text cells with their line numbers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tenfold.core.errors import DataError
from tenfold.data.table_rows import TABLE_SUFFIXES, BadRow, KeepColumns, RowMaker, Table, TableRow
from tenfold.data.table_text import open_text, read_separated, separator_of, text_encoding

if TYPE_CHECKING:
    import pyarrow as pa

_HEADER_BYTES = 1_000_000
_BATCH_ROWS = 1024
BINARY = "binary"
"""How cells begin that stand for bytes which are no text."""


def read_table(path: Path, keep: KeepColumns | None = None) -> Table:
    """Read a table; DataError when it is missing, of another kind, without columns or not readable at all.

    keep: the columns whose cells the rows have, all by default; what it raises is raised. CSV may have a BOM, be
    separated by commas, semicolons or tabs, and be UTF-8, UTF-16 or (with a note) Windows-1252. The apostrophe by which
    Tenfold's export keeps a cell from being a formula is taken off. Lines behind a quotation mark that is never closed
    are bad rows, each for itself; rows over several lines get a note.
    """
    readers: Mapping[str, Callable[[Path, KeepColumns], Table]] = MappingProxyType(
        {
            ".csv": read_separated, ".tsv": read_separated, ".tab": read_separated, ".jsonl": _read_jsonl,
            ".parquet": _read_parquet, "": read_separated,
        }
    )  # fmt: skip
    if not path.is_file():
        raise DataError("there is no such table", where=str(path), expected=f"a {', '.join(TABLE_SUFFIXES)} file")
    if path.suffix.lower() not in readers:
        raise DataError(
            f"{path.suffix or 'no suffix'} is no table format", where=str(path), expected=", ".join(TABLE_SUFFIXES)
        )
    try:
        table = readers[path.suffix.lower()](path, keep or _all_columns)
    except OSError as error:
        raise DataError(
            f"the table cannot be read: {error.strerror or error}", where=str(path), expected="a file you may read",
            todo="check its permissions and that the disk is whole",
        ) from error  # fmt: skip
    if not table.columns and table.bad_rows:
        first = table.bad_rows[0]
        raise DataError(
            f"no row of the table can be read, e.g. line {first.line}: {first.detail}", where=str(path),
            expected="a JSON object on each line", todo="check that this is the right file",
        )  # fmt: skip
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
            text = _decoded_start(stream.read(_HEADER_BYTES))
        if path.suffix.lower() == ".jsonl":
            first = json.loads(next(line for line in text.split("\n") if line.strip()))
            return tuple(str(name).strip() for name in first) if isinstance(first, dict) else ()
        header = next((line for line in text.splitlines() if line.strip()), "")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator_of(header, path))
        return tuple(cell.strip() for cell in next(row for row in reader if any(cell.strip() for cell in row)))
    except (OSError, ValueError, RecursionError, StopIteration, csv.Error):
        return ()


def _read_jsonl(path: Path, keep: KeepColumns) -> Table:
    encoding, notes = text_encoding(path)
    make = RowMaker(keep)
    rows: list[TableRow] = []
    bad: list[BadRow] = []
    names = dict.fromkeys(
        name for _, cells in _json_rows(path, encoding) if not isinstance(cells, str) for name in cells
    )
    columns = make.with_columns(list(names), path) if names else ()
    wanted = [columns[place] for place in make.places]
    for line, cells in _json_rows(path, encoding):
        if isinstance(cells, str):
            bad.append(BadRow(line, "unreadable_row", cells))
        else:
            rows.append(make.row(line, map(cells.get, wanted)))
    return Table(columns, tuple(rows), tuple(bad), notes)


def _json_rows(path: Path, encoding: str) -> Iterator[tuple[int, dict[str, str | None] | str]]:
    """The lines that hold something, as cells by column, or in a sentence why they cannot be read."""
    with open_text(path, encoding, newline="\n") as stream:
        for line, content in enumerate(stream, 1):
            if not content.strip():
                continue
            try:
                record = json.loads(content)
            except (ValueError, RecursionError) as error:
                yield line, f"not JSON: {error}"
                continue
            if not isinstance(record, dict):
                yield line, "not a JSON object"
                continue
            cells = {str(name).strip(): _cell(value) for name, value in record.items()}
            yield line, cells if _is_text(cells) else "letters that are no Unicode (half of a surrogate pair)"


def _read_parquet(path: Path, keep: KeepColumns) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    make = RowMaker(keep)
    rows: list[TableRow] = []
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = make.with_columns([str(name).strip() for name in names], path)
            wanted = [names[place] for place in make.places]
            for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
                values = [_values(batch.column(batch.schema.get_field_index(name)), path, name) for name in wanted]
                rows += [
                    make.row(number, map(_cell, cells))
                    for number, cells in enumerate(zip(*values, strict=True), len(rows) + 1)
                ]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"the table cannot be read: {error}", where=str(path), expected="a Parquet file") from error
    return Table(columns, tuple(rows))


def _values(column: pa.Array[Any], path: Path, name: str) -> list[Any]:
    """The values of a column. DataError for text that is no UTF-8 and times that no calendar holds."""
    try:
        found: list[Any] = column.to_pylist()
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"the column cannot be read: {error}", where=f"{path}, column {name.strip()}",
            expected="values as its type allows them", todo="leave the column out, or write it again as text",
        ) from error  # fmt: skip
    return found


def _decoded_start(data: bytes) -> str:
    """The text of a file's first bytes, which may end within a letter."""
    if len(data) == _HEADER_BYTES:
        data = data[: data.rfind(b"\n") + 1]
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _all_columns(columns: Sequence[str]) -> Sequence[str]:
    return columns


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


def _is_text(cells: Mapping[str, str | None]) -> bool:
    try:
        for name, cell in cells.items():
            name.encode("utf-8")
            (cell or "").encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
