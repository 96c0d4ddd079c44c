"""Split strata: what a split keeps in proportion beside the label, such as the skin type. Torch-free."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.data.manifest import ATTRIBUTE_PREFIX

UNKNOWN = "unknown"
MOST_VALUES = 24
"""Values of one column up to which it makes strata; an age in years has too many to keep in proportion."""

_NO_STRATA = ("image_id", "path", "source", "split", "sha256", "phash", "caption", "mask_path", "label")


def strata(manifest: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """The stratum of every row, in row order: the values of these columns, `unknown` where one is missing.

    A column may be named without its `attr.`. An estimated skin type counts as unknown: an estimate stratifies nothing.
    DataError for a column that the manifest lacks (with the nearest names), that is known of no image, or that has more
    than `MOST_VALUES` values.
    """
    known = [_values(manifest, column) for column in columns]
    return [" / ".join(row) for row in zip(*known, strict=True)] if known else [""] * len(manifest)


def allotted(target: int, available: Mapping[str, int]) -> dict[str, int]:
    """`target` images shared out over strata in proportion to what each has, by largest remainders; the sum is kept.

    No stratum gets more than it has while the target is at most the sum.
    """
    total = sum(available.values())
    if not total:
        return dict.fromkeys(available, 0)
    exact = {stratum: target * count / total for stratum, count in available.items()}
    shares = {stratum: int(share) for stratum, share in exact.items()}
    by_remainder = sorted(exact, key=lambda stratum: (shares[stratum] - exact[stratum], stratum))
    for stratum in by_remainder[: target - sum(shares.values())]:
        shares[stratum] += 1
    return shares


def _values(manifest: pd.DataFrame, asked: str) -> list[str]:
    is_upstream = asked in _NO_STRATA or asked not in manifest.columns
    column = f"{ATTRIBUTE_PREFIX}{asked}" if is_upstream and f"{ATTRIBUTE_PREFIX}{asked}" in manifest.columns else asked
    if column not in manifest.columns or column in _NO_STRATA:
        usable = [name for name in manifest.columns if name not in _NO_STRATA and manifest[name].notna().any()]
        near = difflib.get_close_matches(column, usable, n=3)
        raise DataError(
            f"the split cannot be stratified by {column!r}: "
            + ("it is not a property of the patient or image" if column in _NO_STRATA else "there is no such column"),
            expected="one of " + ", ".join(near or usable[:8]),
            todo="the label is always kept in proportion; name other columns in split.stratify_by",
        )
    values = manifest[column]
    if column.startswith("skin_type"):
        values = values.where((manifest["skin_type_source"] != "estimated").fillna(True).astype(bool))
    named = [UNKNOWN if pd.isna(value) else str(value) for value in values]
    counts = Counter(named)
    if set(counts) <= {UNKNOWN}:
        raise DataError(
            f"{column} is known of no image, so it cannot stratify the split",
            expected="a column with a value for some images" + (
                "; an estimated skin type stratifies nothing" if column.startswith("skin_type") else ""
            ),
            todo=f"leave {column} out of split.stratify_by, or import a table that has it",
        )  # fmt: skip
    if len(counts) > MOST_VALUES:
        raise DataError(
            f"{column} has {len(counts)} values: too many to keep each in proportion",
            expected=f"at most {MOST_VALUES} values",
            todo=f"group them in a column of your own (such as age in decades) instead of {column}",
        )
    return named
