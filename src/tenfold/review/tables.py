"""Plain rows as typed tables, written only where they differ from what lies there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.files import write_atomic


def typed_table(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> pd.DataFrame:
    """The rows with the columns of `kinds`, in order; kinds are pandas' nullable types, None is a missing value."""
    columns: dict[str, Any] = {}
    for name, kind in kinds.items():
        dtype: Any = kind
        columns[name] = pd.array([row[name] for row in rows], dtype=dtype)
    return pd.DataFrame(columns)


def write_if_changed(table: pd.DataFrame, path: Path) -> bool:
    """Write a Parquet table unless the same lies there; whether it was written."""
    if path.is_file():
        try:
            if pd.read_parquet(path).equals(table):
                return False
        except (OSError, ValueError):
            pass  # damaged: written anew
    with write_atomic(path) as temporary:
        table.to_parquet(temporary, index=False)
    return True


def answer_text(value: Any) -> str:
    """An answer to a rubric's question as text: yes and no, an option's id, a number."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
