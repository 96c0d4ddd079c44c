"""Tables of anybody's from Parquet, CSV, TSV or JSON lines, and what is said of one that cannot be read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError

EXPECTED = "the columns image_id, label and one prob.<class> (or logit.<class>) for each class"
_NAMES = ("image_id", "label", "patient_id", "group_id", "lesion_id")
_SEPARATORS = {"semicolon": ";", "tab": "\t", "comma": ",", "bar": "|"}
_SHOWN = 5


def read_table(path: Path) -> pd.DataFrame:
    """The cells as they stand: texts of a CSV; rows without any cell are left out. Raises DataError."""
    if not path.is_file():
        raise DataError(
            "there is no such file" if not path.is_dir() else "this is a folder, not a table", where=str(path),
            expected="a .parquet, .csv, .tsv or .jsonl file", todo="Give the path of the table itself.",
        )  # fmt: skip
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=str(path), expected=EXPECTED, todo="Write it again.")
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        elif path.suffix in (".csv", ".tsv"):
            separator = "," if path.suffix == ".csv" else "\t"
            _check_header(path, separator)
            table = pd.read_csv(
                path, dtype="string", keep_default_na=False, na_values=[""], sep=separator, encoding="utf-8-sig"
            )
            if not isinstance(table.index, pd.RangeIndex):
                raise ValueError("rows have more cells than the header")
            table.columns = table.columns.str.removeprefix("'")
            table = table.apply(lambda column: column.str.removeprefix("'"))
        elif path.suffix == ".jsonl":
            table = pd.DataFrame(_json_rows(path))
        else:
            raise DataError(
                f"{path.suffix or 'no suffix'} is no table format", where=str(path),
                expected=".parquet, .csv, .tsv or .jsonl", todo="Save it in one of these formats.",
            )  # fmt: skip
    except UnicodeDecodeError as error:
        raise DataError(
            f"the table is no UTF-8 text: {error.reason} at byte {error.start}", where=str(path),
            expected="text in UTF-8", todo="Save it as “CSV UTF-8”, or as Parquet.",
        )  from error  # fmt: skip
    except (ValueError, TypeError, OSError, MemoryError, csv.Error) as error:
        said = str(error).strip() or type(error).__name__
        cells = ", with as many cells in every row as in the header" if path.suffix in (".csv", ".tsv") else ""
        raise DataError(
            f"the table cannot be read: {said}", where=str(path), expected=f"a table in the format of {path.suffix}",
            todo=f"Write it again{cells}.",
        ) from error  # fmt: skip
    table.columns = table.columns.map(str).str.strip()
    doubled = sorted(set(table.columns[table.columns.duplicated()]))
    if doubled:
        raise DataError(
            f"columns occur twice: {', '.join(doubled)}", where=str(path), expected="a name of its own for each column",
            todo="Rename or drop one of the two.",
        )  # fmt: skip
    for name in _NAMES:
        if name in table.columns:
            table[name] = _texts(table[name])
    return table.dropna(how="all").reset_index(drop=True)


def _texts(column: pd.Series[Any]) -> pd.Series[str]:
    """Names as texts; whole numbers without the `.0` that a missing cell elsewhere in their column gives them."""
    texts = column.astype("string").str.strip()
    if texts.str.fullmatch(r"-?\d+\.0").fillna(True).all():
        return texts.str.removesuffix(".0")
    return texts


def _check_header(path: Path, separator: str) -> None:
    """Raise DataError for a CSV whose header has another separator, or a name twice (which pandas would rename)."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        names = [name.strip() for name in next(csv.reader(lines, delimiter=separator), [])]
    if len(names) == 1:
        found = next((word for word, sign in _SEPARATORS.items() if sign != separator and sign in names[0]), None)
        if found is not None:
            raise DataError(
                f"the columns are separated by {found}s", where=str(path),
                expected="commas in .csv, tabs in .tsv, and a point in decimal numbers",
                todo="Save it as “CSV (comma separated)” with English numbers, or as Parquet.",
            )  # fmt: skip
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        raise DataError(
            f"columns occur twice: {', '.join(doubled)}", where=str(path), expected="a name of its own for each column",
            todo="Rename or drop one of the two.",
        )  # fmt: skip


def _json_rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object")
        rows.append(row)
    return rows


def some_names(names: Iterable[object]) -> str:
    """The first of the names, each once, for a message."""
    shown = [str(name) for name in dict.fromkeys(names)]
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")
