"""Table rows: what a table is when it has been read, whatever its format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.data.import_items import Record

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".parquet")
_MOST_SHARED = 20_000

KeepColumns = Callable[[Sequence[str]], Container[str]]
"""From all columns of a table those whose cells are wanted."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its line in the file (of Parquet: its number, from 1) and its non-empty cells, stripped."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read, with a word and a sentence why."""

    line: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Table:
    """A table as read; `columns` are all, in file order, `notes` for the person who runs the import."""

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    bad_rows: tuple[BadRow, ...] = ()
    notes: tuple[str, ...] = ()


class RowMaker:
    """Makes rows of the cells that are wanted, those at `places`; equal texts share one string."""

    def __init__(self, keep: KeepColumns) -> None:
        self._keep = keep
        self._names: list[str] = []
        self._texts: dict[str, str] = {}
        self.places: list[int] = []

    def with_columns(self, names: Sequence[str], path: Path) -> tuple[str, ...]:
        """Take these as the columns; DataError when a name is there twice, and what `keep` raises."""
        columns = _checked_columns(names, path)
        kept = self._keep(columns)
        self.places = [place for place, name in enumerate(columns) if name in kept]
        self._names = [columns[place] for place in self.places]
        return columns

    def row(self, line: int, texts: Iterable[str | None]) -> TableRow:
        """The row of the wanted cells, in order; there may be fewer."""
        stripped = ((name, text.strip()) for name, text in zip(self._names, texts, strict=False) if text)
        return TableRow(line, Record({name: self._shared(text) for name, text in stripped if text}))

    def _shared(self, text: str) -> str:
        if len(self._texts) < _MOST_SHARED:
            return self._texts.setdefault(text, text)
        return self._texts.get(text, text)


def _checked_columns(names: Sequence[str], path: Path) -> tuple[str, ...]:
    repeated = sorted(name for name, count in Counter(names).items() if name and count > 1)
    if repeated:
        raise DataError(
            f"columns of the same name: {', '.join(repeated[:5])}",
            where=f"{path}:1",
            expected="every column name once",
            todo="rename or remove all but one",
        )
    return tuple(name or f"column_{number}" for number, name in enumerate(names, 1))
