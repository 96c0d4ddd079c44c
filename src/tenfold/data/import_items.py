"""Import items: what every importer hands on, and how classes are chosen among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from tenfold.core.errors import DataError

Value = TypeVar("Value")


class Record(Mapping[str, Value], Generic[Value]):
    """A mapping that never changes, at half the memory of a dict: records of the same names share these."""

    __slots__ = ("_places", "_values")

    def __init__(self, content: Mapping[str, Value]) -> None:
        self._places = _places(tuple(content))
        self._values = tuple(content.values())

    def __getitem__(self, name: str) -> Value:
        return self._values[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Record({dict(self)})"


@lru_cache(maxsize=1024)
def _places(names: tuple[str, ...]) -> Mapping[str, int]:
    return {name: place for place, name in enumerate(names)}


NO_FIELDS: Record[Any] = Record({})


@dataclass(frozen=True, slots=True)
class PixelChoice:
    """Which pixels of a file are meant, and how they are shown (DICOM).

    frame: from 0, where the file holds several; window: (center, width) in the units after rescaling, in place of the
    file's own.
    """

    frame: int | None = None
    window: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ImportItem:
    """One image to import: `name` is its path as seen from the source root, `line` its line in the table, if any.

    file: the full path, text as a hundred thousand are held; fields: manifest columns and `attr.*` columns that the
    source told; mask_file: the path of its lesion mask.
    """

    file: str
    name: str
    label: str
    line: int | None = None
    fields: Mapping[str, Any] = field(default_factory=lambda: NO_FIELDS)
    mask_file: str | None = None
    choice: PixelChoice | None = None

    @property
    def path(self) -> Path:
        """The file's path."""
        return Path(self.file)

    @property
    def mask_path(self) -> Path | None:
        """The mask's path."""
        return None if self.mask_file is None else Path(self.mask_file)


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """One image or row that is not imported, and why: `reason` is one word for counting, `detail` a sentence."""

    reason: str
    path: str
    line: int | None = None
    label: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Listing:
    """A source as listed, nothing decoded yet. Of the chosen classes: rows in = items + quarantined.

    other_classes: rows by label of classes that were not chosen; columns: which upstream column was taken for which
    manifest column, reasons: why, by manifest column; format: how the source was read (folder, table, dicom, a preset's
    name); notes: remarks for the person who runs the import; skin_types: rows by label and Fitzpatrick type (or group,
    or `unknown`) where a table tells it, rows whose image is missing included.
    """

    root: Path
    items: tuple[ImportItem, ...]
    quarantined: tuple[QuarantineRow, ...]
    other_classes: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    format: str = ""
    skin_types: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def check_classes(available: Iterable[str], chosen: Sequence[str] | None, *, where: str) -> None:
    """DataError, with the nearest names, when a chosen class is not there."""
    names = sorted(set(available))
    unknown = [name for name in chosen or () if name not in names]
    if unknown:
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise DataError(
            f"unknown classes: {', '.join(repr(name) for name in unknown)}", where=where,
            expected=f"some of: {shown}" if names else "a source with classes", todo=nearest_names(unknown, names),
        )  # fmt: skip


def nearest_names(unknown: Sequence[str], known: Sequence[str]) -> str:
    """``did you mean 'vasc' for 'vas'?``, or advice to choose from the list."""
    by_lower = {name.lower(): name for name in known}
    guesses = []
    for name in unknown:
        near = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
        if near:
            guesses.append(f"{by_lower[near[0]]!r} for {name!r}")
    return f"did you mean {', '.join(guesses)}?" if guesses else "choose from the list"
