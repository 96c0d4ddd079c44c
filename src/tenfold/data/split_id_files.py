"""Split id files: lists of image ids as text, one a line, or as a column of a table. Torch-free."""

from __future__ import annotations

import csv
import difflib
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.data.manifest import ATTRIBUTE_PREFIX
from tenfold.data.split_lists import ID_COLUMNS

_MOST_BYTES = 256 << 20
_DELIMITERS = (",", ";", "\t")


def read_ids(path: Path, column: str | None = None) -> list[str]:
    """The ids of a list in its order, blanks left out.

    Text of one id a line, or CSV or TSV (comma, semicolon or tab) with a header: then the column `column` (with or
    without `attr.`), else the surest of `ID_COLUMNS`. UTF-8 with or without a mark, else Latin-1. Raises DataError when
    the file is missing, empty, no text, or has several columns of which none is known to hold ids.
    """
    lines = [line for line in _text(path).splitlines() if line.strip()]
    if not lines:
        raise DataError("the list of ids is empty", where=str(path), expected="one id a line, or a table with ids")
    delimiter = max(_DELIMITERS, key=lines[0].count)
    if delimiter not in lines[0]:
        head = lines[0].strip().strip('"')
        is_header = _plain(head) in ID_COLUMNS or (column is not None and _plain(head) == _plain(column))
        return [line.strip().strip('"') for line in lines[is_header:]]
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"the list of ids cannot be read: {error}", where=str(path), expected="CSV or TSV") from error
    number = _id_column(rows[0], column, path)
    return [row[number].strip() for row in rows[1:] if len(row) > number and row[number].strip()]


def _text(path: Path) -> str:
    if not path.is_file():
        raise DataError(
            "there is no such list of ids",
            where=str(path),
            expected="a text or CSV file",
            todo="give the right path in split.id_files",
        )
    if path.stat().st_size > _MOST_BYTES:
        raise DataError("the file is too large to be a list of ids", where=str(path), expected="at most 256 MiB")
    data = path.read_bytes()
    if b"\0" in data:
        raise DataError("the list of ids is no text", where=str(path), expected="a text or CSV file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _id_column(header: list[str], column: str | None, path: Path) -> int:
    names = [_plain(name) for name in header]
    for wanted in (_plain(column),) if column is not None else ID_COLUMNS:
        if wanted in names:
            return names.index(wanted)
    near = difflib.get_close_matches(_plain(column or "image_id"), names, n=3) or names[:8]
    raise DataError(
        f"the table has no column {column!r}" if column is not None else "no column of the table is known to hold ids",
        where=f"{path}, first line",
        expected=f"one of its columns, such as {', '.join(near)}" if column is not None else "one of "
        + ", ".join(ID_COLUMNS),
        todo="name the column with split.id_column, or write one id a line",
    )  # fmt: skip


def _plain(name: str) -> str:
    return name.strip().strip('"').casefold().removeprefix(ATTRIBUTE_PREFIX)
