"""Names of models in tables of predictions: from the columns that tell them apart; and the runs of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.evaluation.given_tables import text_column

MODEL_COLUMNS = (
    "arm", "model", "training_size", "strategy", "transforms", "synthetic_ratio", "synthetic_share", "generator_budget",
)  # fmt: skip
PAIRING_SEEDS = ("subset_seed", "classifier_seed", "seed")
"""What pairs a run of one model with a run of another; the generator's seed only where these leave runs alike."""
GENERATOR_SEED = "generator_seed"
RUN = "run_number"
TABLE_ROW = "table_row"
_FILE = "file"
_WORDS = {
    "training_size": "{} a class",
    "synthetic_ratio": "ratio {}",
    "synthetic_share": "share {}",
    "transforms": "transforms {}",
    "generator_budget": "budget {}",
}


def name_models(rows: pd.DataFrame, paths: Sequence[Path], notes: list[str]) -> pd.DataFrame:
    """The rows with `model` (a unique name), `settings` (what describes it) and a run's number.

    rows: texts with `table`, the number of the row's file among `paths`, image_id and split.
    """
    columns = {name: text_column(rows, name) for name in MODEL_COLUMNS}
    described = [name for name, values in columns.items() if values.notna().any()]
    table = pd.DataFrame({name: columns[name].map(_plain_number) for name in described}, index=rows.index)
    files = pd.Series(_file_names(paths), dtype="string").reindex(rows["table"]).set_axis(rows.index)
    seeds = _seeds(rows, [])
    if not {"arm", "model"} & set(described):
        table.insert(0, _FILE, files)
    elif _doubled(rows, [*table.columns], table, seeds):
        seeds = _seeds(rows, [GENERATOR_SEED])
        if _doubled(rows, [*table.columns], table, seeds) and len(paths) > 1:
            table.insert(0, _FILE, files)
            notes.append("Files hold the same arm and seeds: their names tell the models apart.")
    shown = _telling(table)
    keys = [tuple(row) for row in table.fillna("").itertuples(index=False)]
    names: dict[tuple[str, ...], str] = {}
    for key, row in zip(keys, table[shown].itertuples(index=False), strict=True):
        if key not in names:
            names[key] = _name(dict(zip(shown, row, strict=True)))
    if len(set(names.values())) < len(names):
        raise DataError(
            f"two models have the same name: {', '.join(sorted(names.values()))}",
            expected="columns arm or model that tell them apart",
        )
    settings: dict[tuple[str, ...], Mapping[str, str]] = {
        key: {name: value for name, value in zip(table.columns, key, strict=True) if value} for key in names
    }
    numbers, _ = pd.factorize(seeds, sort=True)
    named = rows.drop(columns=[name for name in ("model", "settings") if name in rows.columns])
    named["model"] = [names[key] for key in keys]
    named["settings"] = pd.Series([settings[key] for key in keys], index=rows.index, dtype=object)
    named[RUN] = numbers
    return named


def _telling(table: pd.DataFrame) -> list[str]:
    """The first columns that together tell all models apart; without any difference, the first one."""
    filled = table.fillna("")
    wanted = len(filled.drop_duplicates())
    chosen: list[str] = []
    apart = 1
    for name in filled.columns:
        count = len(filled[[*chosen, name]].drop_duplicates())
        if count > apart:
            chosen.append(name)
            apart = count
        if apart == wanted:
            break
    return chosen or [str(table.columns[0])]


def _name(values: Mapping[str, Any]) -> str:
    parts = [_WORDS.get(name, "{}").format(value) for name, value in values.items() if not pd.isna(value) and value]
    return ", ".join(parts) or "unnamed"


def _seeds(rows: pd.DataFrame, more: Sequence[str]) -> pd.Series[str]:
    """A text for the run of each row, equal for runs of two models that belong together."""
    parts = [text_column(rows, name).fillna("").map(_sortable) for name in (*PAIRING_SEEDS, *more)]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + "|" + part
    return joined


def _doubled(rows: pd.DataFrame, columns: Sequence[str], table: pd.DataFrame, seeds: pd.Series[str]) -> bool:
    keys = table[list(columns)].fillna("").assign(seeds=seeds, image_id=rows["image_id"], split=rows["split"])
    return bool(keys.duplicated().any())


def _plain_number(value: Any) -> Any:
    """Whole numbers without their `.0`, which a missing cell elsewhere in the column gives them."""
    text = str(value)
    return text.removesuffix(".0") if not pd.isna(value) and text.endswith(".0") else value


def _sortable(text: str) -> str:
    """Whole numbers of one length, so that seed 10 follows seed 9."""
    plain = str(_plain_number(text))
    return plain.zfill(20) if plain.isdecimal() else plain


def _file_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its stem, with its folder's in front where stems are the same; else numbered."""
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        stems = [f"{path.absolute().parent.name}/{path.stem}" for path in paths]
    if all(stem.endswith("/predictions") for stem in stems):
        stems = [stem.removesuffix("/predictions") for stem in stems]
    seen: dict[str, int] = {}
    names = []
    for stem in stems:
        seen[stem] = seen.get(stem, 0) + 1
        names.append(stem if seen[stem] == 1 else f"{stem} ({seen[stem]})")
    return names
