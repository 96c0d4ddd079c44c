"""The manifest: one row per image, real and synthetic alike; its columns, types, reading and writing.

Missing values are `pd.NA` in the tables; `manifest_rows` gives them as None. Torch-free.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.files import write_atomic, write_text_atomic

COLUMNS: Mapping[str, str] = MappingProxyType({
    "image_id": "string", "path": "string", "label": "string", "source": "string", "split": "string",
    "group_id": "string", "patient_id": "string", "lesion_id": "string",
    "skin_type": "Int64", "skin_type_group": "string", "skin_type_source": "string",
    "severity": "string", "site": "string", "age": "Float64", "sex": "string", "modality": "string",
    "caption": "string", "mask_path": "string", "width_px": "Int64", "height_px": "Int64",
    "sha256": "string", "phash": "string",
    "parent_id": "string", "ancestors": "string", "strategy": "string", "prompt": "string",
    "negative_prompt": "string", "seed": "Int64", "checkpoint": "string", "adapter": "string",
    "sampler": "string", "num_inference_steps": "Int64", "guidance_scale": "Float64", "strength": "Float64",
    "batch_plan": "string", "review": "string", "quarantine_reason": "string",
    "background_id": "string", "checkpoint_sha256": "string", "adapter_sha256": "string", "adapter_scale": "Float64",
    "mask": "string", "recolor_to": "Int64", "upscaler": "string", "redraws": "Int64", "environment": "string",
})  # fmt: skip
"""Every column in order, with its pandas type. Upstream columns follow as text columns named `attr.<name>`, sorted."""

REAL_COLUMNS: tuple[str, ...] = tuple(COLUMNS)[: tuple(COLUMNS).index("parent_id")]
"""The columns that real rows fill; those after them are null in a real manifest."""

ATTRIBUTE_PREFIX = "attr."
SOURCES = ("real", "synthetic")
SPLITS = ("train", "val", "test")
REVIEW_STATES = ("accepted", "rejected", "unreviewed")
SKIN_TYPE_GROUPS: Mapping[int, str] = MappingProxyType(
    {1: "I-II", 2: "I-II", 3: "III-IV", 4: "III-IV", 5: "V-VI", 6: "V-VI"}
)

_PART_ROWS = 2048
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")


def make_manifest(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A table with all columns of `COLUMNS`, in order and type, and the rows' `attr.*` columns behind them.

    Keys that are neither raise DataError, as do values that do not fit their column. Row order is kept.
    """
    gathered = ManifestRows()
    for row in rows:
        gathered.append(row)
    return gathered.manifest()


class ManifestRows:
    """Rows on their way to a manifest, held by columns: a hundred thousand of them as dictionaries take 200 MB."""

    def __init__(self) -> None:
        self._waiting: list[Mapping[str, Any]] = []
        self._parts: list[tuple[int, dict[str, pd.Series[Any]]]] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row; DataError, as `make_manifest` says, for this row or for one of those before it."""
        self._waiting.append(row)
        if len(self._waiting) == _PART_ROWS:
            self._close_part()

    def manifest(self) -> pd.DataFrame:
        """The rows as `make_manifest` gives them. They are handed over: none is left here."""
        self._close_part()
        parts, self._parts = self._parts, []
        count = sum(length for length, _ in parts)
        missing = {kind: _column(name, [None] * count) for name, kind in COLUMNS.items()}
        columns = {}
        for name in (*COLUMNS, *_attribute_names(name for _, part in parts for name in part)):
            pieces = [(length, part.pop(name, None)) for length, part in parts]
            columns[name] = missing[_kind(name)] if all(piece is None for _, piece in pieces) else pd.concat(
                [_column(name, [None] * length) if piece is None else piece for length, piece in pieces],
                ignore_index=True,
            )  # fmt: skip
        return pd.DataFrame(columns, copy=False)

    def _close_part(self) -> None:
        """Turn the rows that wait into columns, without those of COLUMNS that have no value."""
        rows = self._waiting
        names = dict.fromkeys(name for row in rows for name in row)
        _attribute_names(names)
        part = {name: _column(name, [row.get(name) for row in rows]) for name in names}
        kept = {name: column for name, column in part.items() if name not in COLUMNS or column.notna().any()}
        self._parts.append((len(rows), kept))
        rows.clear()


def read_manifest(path: Path) -> pd.DataFrame:
    """A manifest from .parquet, .csv or .jsonl, with all columns and types; DataError when it cannot be one."""
    readers = {".parquet": _read_parquet, ".csv": _read_csv, ".jsonl": _read_jsonl}
    if path.suffix not in readers:
        raise _unknown_suffix(path)
    if not path.is_file():
        raise DataError("there is no such manifest", where=str(path), todo="run the stage that writes it first")
    try:
        return readers[path.suffix](path)
    except DataError as error:
        raise DataError(error.what, where=str(path), expected=error.expected, todo=error.todo) from error
    except (ValueError, TypeError, OSError) as error:
        raise DataError(
            f"the manifest cannot be read: {error}", where=str(path), expected=f"a {path.suffix} table",
            todo="make it again by running its stage",
        ) from error  # fmt: skip


def write_manifest(manifest: pd.DataFrame, path: Path) -> None:
    """Write .parquet, or .csv or .jsonl for people and other programs; atomically, the same bytes for the same table.

    In .csv, text cells that a spreadsheet would run as a formula get a leading apostrophe, which `read_manifest`
    removes.
    """
    if path.suffix == ".parquet":
        with write_atomic(path) as temporary:
            manifest.to_parquet(temporary, index=False)
    elif path.suffix == ".csv":
        write_text_atomic(path, csv_text(manifest))
    elif path.suffix == ".jsonl":
        lines = (json.dumps(row, ensure_ascii=False, sort_keys=True) for row in manifest_rows(manifest))
        write_text_atomic(path, "".join(f"{line}\n" for line in lines))
    else:
        raise _unknown_suffix(path)


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV text with formula cells, and such column names, neutralized by an apostrophe."""
    safe = table.copy()
    for name in safe.columns:
        if isinstance(safe[name].dtype, pd.StringDtype) or safe[name].dtype == object:
            safe[name] = safe[name].map(_neutralized, na_action="ignore")
    safe.columns = safe.columns.map(_neutralized)
    buffer = io.StringIO()
    safe.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def manifest_rows(manifest: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows as plain dictionaries, in order: str, int, float, or None where missing."""
    names = list(manifest.columns)
    columns = [_plain_values(manifest[name]) for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def pack_ancestors(image_ids: Iterable[str]) -> str:
    """The `ancestors` cell: a JSON list of the real images a synthetic one descends from, sorted, each once."""
    return json.dumps(sorted(set(image_ids)))


def unpack_ancestors(cell: Any) -> tuple[str, ...] | None:
    """The image ids of an `ancestors` cell; None when they are unknown (missing), () when there are none."""
    if cell is None or cell is pd.NA:
        return None
    try:
        ids = json.loads(cell)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the ancestors cell {cell!r} is no JSON list", expected='text like ["0123456789abcdef"]'
        ) from error
    if not isinstance(ids, list) or not all(isinstance(image_id, str) for image_id in ids):
        raise DataError(f"the ancestors cell {cell!r} is no JSON list of image ids")
    return tuple(ids)


def labels_of(manifest: pd.DataFrame) -> list[str]:
    """The class labels, sorted: the order of class numbers everywhere."""
    return sorted(str(label) for label in manifest["label"].dropna().unique())


def select_images(manifest: pd.DataFrame, image_ids: Sequence[str]) -> pd.DataFrame:
    """The rows of these ids, in the ids' order; DataError names ids that the manifest lacks."""
    indexed = manifest.set_index("image_id", drop=False)
    missing = [image_id for image_id in image_ids if image_id not in indexed.index]
    if missing:
        raise DataError(f"{len(missing)} image ids are not in the manifest: {', '.join(missing[:5])}")
    selected: pd.DataFrame = indexed.loc[list(image_ids)].reset_index(drop=True)
    return selected


def _attribute_names(keys: Iterable[str]) -> list[str]:
    others = {key for key in keys if key not in COLUMNS}
    unknown = sorted(key for key in others if not key.startswith(ATTRIBUTE_PREFIX))
    if unknown:
        raise DataError(
            f"unknown manifest columns: {', '.join(unknown)}",
            expected=f"the columns of the manifest, or names that start with {ATTRIBUTE_PREFIX}",
        )
    return sorted(others)


def _column(name: str, values: list[Any]) -> pd.Series[Any]:
    kind = _kind(name)
    cells = [None if _is_missing(value) else (str(value) if kind == "string" else value) for value in values]
    try:
        if kind == "string":
            return pd.Series(pd.array(cells, dtype="string"))
        if kind == "Int64":
            return pd.Series(pd.array([None if cell is None else _whole_number(cell) for cell in cells], dtype="Int64"))
        return pd.Series(pd.array([None if cell is None else float(cell) for cell in cells], dtype="Float64"))
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"column {name}: {error}", expected=f"values of type {kind}") from error


def _kind(name: str) -> str:
    return COLUMNS.get(name, "string")


def _whole_number(cell: Any) -> int:
    if isinstance(cell, float) and not cell.is_integer():
        raise ValueError(f"{cell} is no whole number")
    return int(cell)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _plain_values(column: pd.Series[Any]) -> list[Any]:
    values = column.astype(object).where(column.notna(), None).tolist()
    return [value.item() if hasattr(value, "item") else value for value in values]


def _read_parquet(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path)
    names = list(COLUMNS) + _attribute_names(table.columns)
    for name in names:
        kind: Any = _kind(name)
        if name not in table.columns:
            table[name] = pd.Series([None] * len(table), dtype=kind)
        elif isinstance(table[name].dtype, pd.CategoricalDtype):
            # Long texts that most rows share, such as `ancestors`: references to one text each, not copies of it.
            table[name] = table[name].astype(object).astype(pd.StringDtype("python"))
        else:
            table[name] = table[name].astype(kind)
    return table[names].reset_index(drop=True)


def _read_csv(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""])
    return make_manifest(
        {name: cell[1:] if isinstance(cell, str) and cell.startswith("'") else cell for name, cell in row.items()}
        for row in manifest_rows(table)
    )


def _read_jsonl(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object")
        rows.append(row)
    return make_manifest(rows)


def _neutralized(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def _unknown_suffix(path: Path) -> DataError:
    return DataError(
        f"{path.suffix or 'no suffix'} is no manifest format", where=str(path), expected=".parquet, .csv or .jsonl"
    )
