"""Small manifests for tests of splits: a row per invented image, without files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from tenfold.data.manifest import make_manifest

Rows = Sequence[tuple[str, str | None, str | None]]

group_rows = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 12), st.integers(0, 20)), min_size=20, max_size=60
)
"""Rows of (label, patient number, lesion number), 0 for unknown."""


def image_id(number: int) -> str:
    """The id of the row of this number."""
    return f"{number:016x}"


def manifest_of(rows: Rows, **columns: Sequence[Any]) -> pd.DataFrame:
    """rows: (label, patient, lesion); columns: further columns, `attr_x` for `attr.x`."""
    names = {name.replace("attr_", "attr."): values for name, values in columns.items()}
    made: list[dict[str, Any]] = [
        {
            "image_id": image_id(number), "path": f"{number}.png", "label": label, "source": "real",
            "sha256": f"{number:064x}", "patient_id": patient, "lesion_id": lesion,
            **{name: values[number] for name, values in names.items()},
        }
        for number, (label, patient, lesion) in enumerate(rows)
    ]  # fmt: skip
    return make_manifest(made)


def grouped_manifest(rows: Sequence[tuple[str, int, int]]) -> pd.DataFrame:
    """A manifest of `group_rows`."""
    return manifest_of([(label, f"p{p}" if p else None, f"l{n}" if n else None) for label, p, n in rows])


def plain(count: int, labels: Sequence[str] = ("a", "b")) -> pd.DataFrame:
    """`count` images of every label, two of each patient."""
    return manifest_of([(label, f"{label}{k // 2}", None) for label in labels for k in range(count)])


def singles(count: int, labels: Sequence[str] = ("a", "b"), **columns: Sequence[Any]) -> pd.DataFrame:
    """`count` images of every label, each a group of its own."""
    return manifest_of([(label, None, None) for label in labels for _ in range(count)], **columns)
