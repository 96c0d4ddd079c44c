"""Tables of predictions and manifests from anywhere: read from Parquet, CSV or JSON lines, their cells checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from tenfold.core.errors import DataError, Faults
from tenfold.core.hashing import sha256_file
from tenfold.data.manifest import ATTRIBUTE_PREFIX, COLUMNS, SOURCES
from tenfold.data.split_seal import hash_test_rows, read_sealed_split, with_split
from tenfold.evaluation.table_files import EXPECTED, read_table, some_names
from tenfold.metrics.arrays import BoolArray, FloatArray

PROBABILITY, LOGIT = "prob.", "logit."
TEST, VALIDATION = "test", "val"
ROUNDING, MOST_ROUNDING = 0.005, 0.05
"""How far the probabilities of an image may be from 1 in all: for each class as much as rounding to two decimals can
do, and at most."""
SPLIT_WORDS = {"validation": "val", "valid": "val", "dev": "val", "training": "train", "testing": "test"}
_EXACT = 1e-6


@dataclass(frozen=True)
class PredictionTable:
    """One file: `rows` (texts, a row a prediction), the classes and their probabilities (N, C); `logits` (N, C) are
    as given, else the logarithms of the probabilities."""

    path: Path
    sha256: str
    rows: pd.DataFrame
    labels: tuple[str, ...]
    probs: FloatArray
    logits: FloatArray
    has_logits: bool


@dataclass(frozen=True)
class GivenManifest:
    """One row an image, by `image_id`. `has_split` when its rows say which split they are in; `test_sha256` is the
    sealed hash of all its test rows, None where it cannot be told; `notes` say what was passed over."""

    path: Path
    rows: pd.DataFrame
    has_split: bool
    test_sha256: str | None
    notes: tuple[str, ...] = ()


def read_predictions(path: Path) -> PredictionTable:
    """A predictions table. Raises DataError, or FaultsError for several, when its cells cannot be probabilities."""
    table = read_table(path)
    faults = Faults()
    if "image_id" not in table.columns:
        faults.add(_table_error(path, "the table has no column image_id", table.columns))
    kinds = {kind: [name for name in table.columns if name.startswith(kind)] for kind in (PROBABILITY, LOGIT)}
    if not any(kinds.values()):
        faults.add(_table_error(path, "the table has no prob.<class> and no logit.<class> columns", table.columns))
    faults.raise_if_any()
    if table.empty:
        raise DataError(
            "the table has no rows", where=str(path), expected="a row for each image", todo="Predict the images again."
        )  # fmt: skip
    names = {kind: [name[len(kind) :] for name in columns] for kind, columns in kinds.items() if columns}
    labels = tuple(names.get(PROBABILITY) or names[LOGIT])
    if not all(label.strip() for columns in names.values() for label in columns):
        raise DataError(
            "a column of probabilities or logits names no class", where=str(path),
            expected=f"{PROBABILITY}<class>, such as {PROBABILITY}melanoma",
            todo="Write the class after the point.",
        )  # fmt: skip
    if len(labels) < 2:
        raise DataError(
            f"the table holds one class only: {labels[0]}", where=str(path),
            expected="a probability for each class, at least two",
            todo=f"Add the other class with 1 minus this probability, such as {PROBABILITY}not_{labels[0]}.",
        )  # fmt: skip
    if len(names) == 2 and set(names[PROBABILITY]) != set(names[LOGIT]):
        raise DataError(
            f"probabilities are of {', '.join(names[PROBABILITY])}, logits of {', '.join(names[LOGIT])}",
            where=str(path), expected="the same classes in both", todo="Rename, add or drop the columns that differ.",
        )  # fmt: skip
    _check_ids(table, path)
    numbers = {kind: _numbers(table, [f"{kind}{label}" for label in labels], path) for kind in names}
    logits = numbers.get(LOGIT)
    probs = numbers.get(PROBABILITY)
    if probs is None:
        assert logits is not None
        probs = np.asarray(softmax(logits, axis=1), dtype=np.float64)
    probs = _summing_to_one(probs, table["image_id"], path)
    texts = table.drop(columns=[name for columns in kinds.values() for name in columns])
    return PredictionTable(
        path, sha256_file(path), texts.reset_index(drop=True), labels, probs,
        np.log(np.clip(probs, 1e-12, 1.0)) if logits is None else logits, logits is not None,
    )  # fmt: skip


def read_given_manifest(path: Path) -> GivenManifest:
    """A manifest of Tenfold or of anybody: `image_id` is needed, unknown columns become `attr.<name>`.

    The sealed split beside a workspace's manifest (splits.json) fills its split column and vouches for its test rows.
    """
    rows = read_table(path)
    if "image_id" not in rows.columns:
        raise DataError(
            f"the manifest has no column image_id, but {some_names(rows.columns)}", where=str(path),
            expected="a row for each image with its image_id", todo="Name the column of the images' ids image_id.",
        )  # fmt: skip
    _check_ids(rows, path)
    # A `source` of anybody's is a place of origin; Tenfold's own column tells real from synthetic images.
    own = set(COLUMNS) - (set() if set(text_column(rows, "source").dropna()) <= set(SOURCES) else {"source"})
    upstream = [name for name in rows.columns if name not in own and not name.startswith(ATTRIBUTE_PREFIX)]
    renamed = {name: f"{ATTRIBUTE_PREFIX}{name}" for name in upstream}
    rows = rows.rename(columns=renamed)
    twice = rows.loc[rows["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise DataError(
            f"the manifest names {len(set(twice))} images twice: {some_names(twice)}", where=str(path),
            expected="one row for each image_id", todo="Drop the rows that are not wanted.",
        )  # fmt: skip
    notes: list[str] = []
    for name in [name for name in COLUMNS if name in rows.columns and COLUMNS[name] != "string"]:
        numbers = pd.to_numeric(rows[name], errors="coerce").astype("Float64")
        texts = rows.loc[numbers.isna() & rows[name].notna(), name]
        if len(texts):
            notes.append(
                f"{len(texts)} cells of {name} in {path.name} are no numbers and count as not recorded, such as "
                f"{some_names(texts)}."
            )
        rows[name] = numbers
    seal = path.with_name("splits.json")
    is_whole = {"label", "sha256"} <= set(rows.columns)
    if seal.is_file() and is_whole:
        sealed = read_sealed_split(seal)
        return GivenManifest(path, with_split(rows, sealed), True, sealed.test_sha256, tuple(notes))
    has_split = "split" in rows.columns and bool(rows["split"].notna().any())
    if has_split:
        rows["split"] = split_words(rows["split"])
    test = rows[rows["split"] == TEST] if has_split else rows[:0]
    is_sealable = is_whole and len(test) > 0 and bool(test[["label", "sha256"]].notna().all(axis=None))
    return GivenManifest(path, rows, has_split, hash_test_rows(rows) if is_sealable else None, tuple(notes))


def split_words(values: pd.Series[str]) -> pd.Series[str]:
    """Train, val or test, however a split is written; anything else stays as it is."""
    plain = values.astype("string").str.strip().str.lower()
    return plain.replace(SPLIT_WORDS)


def text_column(table: pd.DataFrame, name: str) -> pd.Series[str]:
    """A column as texts, all missing where the table has none."""
    if name in table.columns:
        return table[name].astype("string")
    return pd.Series(pd.array([None] * len(table), dtype="string"), index=table.index)


def _numbers(table: pd.DataFrame, names: Sequence[str], path: Path) -> FloatArray:
    found = table[list(names)].apply(lambda column: pd.to_numeric(column, errors="coerce"))
    numbers: FloatArray = np.asarray(found.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan))
    bad: BoolArray = ~np.all(np.isfinite(numbers), axis=1)
    if bad.any():
        kind = "probabilities" if names[0].startswith(PROBABILITY) else "logits"
        raise DataError(
            f"{int(bad.sum())} of {len(table)} rows hold {kind} that are no finite numbers, "
            f"such as image {_first_bad(table, names, bad, numbers)}",
            where=str(path), expected=f"a number in each of {names[0]} to {names[-1]}, with a decimal point",
            todo="Predict these images again: a model that gives NaN has diverged, or its input was damaged.",
        )  # fmt: skip
    return numbers


def _first_bad(table: pd.DataFrame, names: Sequence[str], bad: BoolArray, numbers: FloatArray) -> str:
    """The first images with such cells, and what stands in the first of them."""
    row = int(np.flatnonzero(bad)[0])
    name = names[int(np.flatnonzero(~np.isfinite(numbers[row]))[0])]
    cell = table[name].iloc[row]
    is_empty = not isinstance(cell, (list, dict)) and pd.isna(cell)
    return f"{some_names(table['image_id'][bad])} ({name} is {'empty' if is_empty else repr(cell)[:40]})"


def _summing_to_one(probs: FloatArray, image_ids: pd.Series[str], path: Path) -> FloatArray:
    """The probabilities with rounding taken out; DataError when they are none."""
    faults = Faults()
    tolerance = min(ROUNDING * probs.shape[1], MOST_ROUNDING) + _EXACT
    outside: BoolArray = np.any((probs < 0) | (probs > 1 + tolerance), axis=1)
    if outside.any():
        faults.add(_no_probabilities(outside, image_ids, path, "are below 0 or above 1"))
    total = probs.sum(axis=1)
    off: BoolArray = ~outside & (np.abs(total - 1) > tolerance)
    if off.any():
        faults.add(_no_probabilities(off, image_ids, path, f"add up to {total[off][0]:.3g}, not to 1"))
    faults.raise_if_any()
    # What adds up to 1 but for the last bits stays as it was written.
    return np.where(np.abs(total - 1)[:, None] > _EXACT, probs / total[:, None], probs)


def _no_probabilities(bad: BoolArray, image_ids: pd.Series[str], path: Path, what: str) -> DataError:
    return DataError(
        f"the probabilities of {int(bad.sum())} of {len(bad)} rows {what}, such as image {some_names(image_ids[bad])}",
        where=str(path),
        expected="for each image, probabilities from 0 to 1 that add up to 1 over the classes",
        todo="Give a model's raw outputs as logit.<class>; of classes that do not exclude each other, evaluate one "
        "at a time against the rest.",
    )


def _table_error(path: Path, what: str, columns: Iterable[str]) -> DataError:
    return DataError(
        f"{what}: its columns are {some_names(columns)}", where=str(path), expected=EXPECTED,
        todo="Rename the columns; docs/evaluation.md has the whole list.",
    )  # fmt: skip


def _check_ids(table: pd.DataFrame, path: Path) -> None:
    without = table.index[table["image_id"].isna()]
    if len(without):
        raise DataError(
            f"{len(without)} rows have no image_id: {some_names(f'row {row + 1}' for row in without)}", where=str(path),
            expected="an image_id in every row", todo="Fill them in, or leave these rows out.",
        )  # fmt: skip
