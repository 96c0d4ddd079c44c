"""Table text: CSV and TSV files of any usual encoding and separator, read line by line."""

from __future__ import annotations

import codecs
import csv
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tenfold.core.errors import DataError
from tenfold.data.table_rows import BadRow, KeepColumns, RowMaker, Table, TableRow

_BLOCK_BYTES = 1 << 20
_NEUTRALIZED = tuple(f"'{start}" for start in ("=", "+", "-", "@", "'"))
"""How cells begin that Tenfold's own export keeps a spreadsheet from running as formulas."""


def read_separated(path: Path, keep: KeepColumns) -> Table:
    """A CSV or TSV file; see `read_table`."""
    encoding, notes = text_encoding(path)
    with open_text(path, encoding) as stream:
        header = next((line for line in stream if line.strip()), "")
    separator = separator_of(header, path)
    make = RowMaker(keep)
    rows: list[TableRow] = []
    bad: list[BadRow] = []
    columns: tuple[str, ...] = ()
    line, start = 1, 1
    spans: list[tuple[int, int]] = []
    with open_text(path, encoding) as stream:
        reader = csv.reader(stream, delimiter=separator)
        try:
            for cells in reader:
                start = line
                if reader.line_num > line:
                    spans.append((line, reader.line_num))
                if not columns and any(cell.strip() for cell in cells):
                    columns = make.with_columns([_as_typed(cell.strip()) for cell in cells], path)
                elif len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                    bad.append(BadRow(line, "ragged_row", f"{len(cells)} cells under {len(columns)} columns"))
                elif any(cell.strip() for cell in cells):
                    rows.append(make.row(line, (_as_typed(cells[k]) for k in make.places if k < len(cells))))
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"the table cannot be read: {error}",
                where=f"{path}:{line}",
                expected="cells of at most 131072 letters",
                todo="look in and above this line for a quotation mark that is not closed",
            ) from error
        last = reader.line_num
    if columns:
        with open_text(path, encoding) as stream:
            torn = _open_quote(stream, start, last, separator)
        if torn:
            rows = [row for row in rows if row.line != start]
            detail = f"a quotation mark is not closed from line {start} to the end of the file"
            bad = [row for row in bad if row.line != start] + [BadRow(line, "open_quote", detail) for line in torn]
            spans = [span for span in spans if span[0] != start]
    return Table(columns, tuple(rows), tuple(bad), (*notes, *_note_on_spans(spans)))


def text_encoding(path: Path) -> tuple[str, tuple[str, ...]]:
    """The encoding of a file as Python names it, and a note where it is a guess. DataError when it is no text."""
    with path.open("rb") as stream:
        encoding = "utf-16" if stream.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        stream.seek(0)
        is_binary = b"\0" in stream.read(_BLOCK_BYTES)
        stream.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            while block := stream.read(_BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            if is_binary:
                raise DataError(
                    "the file is no text", where=str(path), expected="text in UTF-8, UTF-16 or Windows-1252",
                    todo="save the table as CSV in UTF-8: a spreadsheet of another name is none",
                ) from None  # fmt: skip
            name = encoding.upper().removesuffix("-SIG")
            return "cp1252", (f"{path.name} is not {name}: read as Windows-1252; check accented letters",)
    return encoding, ()


@contextmanager
def open_text(path: Path, encoding: str, newline: str = "") -> Iterator[TextIO]:
    """The file as text; line ends stay as they are. newline: "" for any line end, else the only one that counts."""
    with path.open(encoding=encoding, errors="replace", newline=newline) as stream:
        yield stream


def separator_of(header: str, path: Path) -> str:
    """The most frequent of comma, semicolon and tab in the header line; of equally frequent ones the suffix's own."""
    candidates = "\t,;" if path.suffix.lower() in (".tsv", ".tab") else ",;\t"
    return max(candidates, key=lambda mark: (header.count(mark), -candidates.index(mark)))


def _open_quote(lines: Iterator[str], first: int, last: int, separator: str) -> list[int]:
    """Of the lines `first` to `last` (from 1), one row, those with text if it opens a quotation mark never closed."""
    row = list(itertools.islice(lines, first - 1, last))
    try:
        for _ in csv.reader(row, delimiter=separator, strict=True):
            pass
    except csv.Error as error:
        if "unexpected end" in str(error):
            return [first + number for number, content in enumerate(row) if content.strip()]
    return []


def _note_on_spans(spans: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    if not spans:
        return ()
    longest = max(spans, key=lambda span: span[1] - span[0])
    return (
        f"{len(spans)} rows go over several lines, the longest from line {longest[0]} to {longest[1]}: fine for texts "
        "with line breaks; else a quotation mark there is not closed and has swallowed rows",
    )


def _as_typed(cell: str) -> str:
    return cell[1:] if cell.startswith(_NEUTRALIZED) else cell
