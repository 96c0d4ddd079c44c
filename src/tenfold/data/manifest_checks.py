"""Manifest checks: the rules every manifest keeps, and the ancestry of synthetic images. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError, TenfoldError
from tenfold.data.manifest import COLUMNS, REVIEW_STATES, SKIN_TYPE_GROUPS, SOURCES, SPLITS, unpack_ancestors

_SHOWN = 5


def check_manifest(manifest: pd.DataFrame) -> list[TenfoldError]:
    """Every broken rule as one error that names rows; empty when the manifest is sound.

    The rules: all columns are there; image_id, path, label, source and sha256 are given and well-formed, ids unique;
    paths stay in the workspace; values of closed lists and ranges are in them; synthetic images are in no validation or
    test split.
    """
    missing = [name for name in COLUMNS if name not in manifest.columns]
    if missing:
        return [DataError(f"the manifest lacks the columns {', '.join(missing)}", todo="build it with make_manifest")]
    errors: list[TenfoldError] = []
    for what, expected, is_broken in _rules():
        broken = manifest[is_broken(manifest).fillna(False).to_numpy(dtype=bool)]
        if len(broken):
            ids = ", ".join(broken["image_id"].astype(str).head(_SHOWN))
            more = f" and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
            errors.append(DataError(f"{len(broken)} rows {what}", where=f"image_id {ids}{more}", expected=expected))
    return errors


def check_ancestors(synthetic: pd.DataFrame, real: pd.DataFrame) -> list[TenfoldError]:
    """Errors of a synthetic manifest whose ancestors are unknown or not all in the training split of the real manifest.

    real: with its split column filled (`splits.with_split`).
    """
    split_of = dict(zip(real["image_id"].astype(str), real["split"].fillna("no split").astype(str), strict=True))
    cells = dict.fromkeys(synthetic["ancestors"].astype(object))  # most images share theirs
    is_unknown = synthetic["ancestors"].isna()
    unknown = synthetic["image_id"][is_unknown].astype(str).tolist()
    leaked: dict[str, None] = {}
    for cell in cells:
        for ancestor in unpack_ancestors(cell) or ():
            split = split_of.get(ancestor, "no split of this workspace")
            if split != "train":
                leaked[f"{ancestor} ({split})"] = None
    errors: list[TenfoldError] = []
    if unknown:
        errors.append(
            DataError(
                f"{len(unknown)} synthetic images have unknown ancestors",
                where=f"image_id {', '.join(unknown[:_SHOWN])}",
                expected="a list of training images, [] for none",
                todo="leave them out of training: of images made elsewhere nobody can tell whether their generator saw "
                "the test images",
            )
        )
    if leaked:
        errors.append(
            DataError(
                f"synthetic images descend from {len(leaked)} images outside the training split",
                where="ancestors " + ", ".join(list(leaked)[:_SHOWN]), expected="ancestors in split train only",
                todo="generate them again from training images; a leak makes every later figure worthless",
            )
        )  # fmt: skip
    return errors


_Rule = tuple[str, str, Callable[[pd.DataFrame], "pd.Series[Any]"]]


def _rules() -> list[_Rule]:
    def not_matching(name: str, pattern: str) -> Callable[[pd.DataFrame], pd.Series[Any]]:
        return lambda table: table[name].notna() & ~table[name].str.fullmatch(pattern).fillna(False)

    def not_among(name: str, allowed: Any) -> Callable[[pd.DataFrame], pd.Series[Any]]:
        return lambda table: table[name].notna() & ~table[name].isin(list(allowed))

    def absent(name: str) -> Callable[[pd.DataFrame], pd.Series[Any]]:
        return lambda table: table[name].isna()

    def leaving(name: str) -> Callable[[pd.DataFrame], pd.Series[Any]]:
        pattern = r"(?:[/\\].*|[A-Za-z]:.*|(?:.*[/\\])?\.\.(?:[/\\].*)?)"
        return lambda table: table[name].str.fullmatch(pattern).fillna(False)

    rules: list[_Rule] = [
        (f"have no {name}", f"a {name} in every row", absent(name))
        for name in ("image_id", "path", "label", "source", "sha256")
    ]
    rules += [
        ("have a malformed image_id", "16 hex digits", not_matching("image_id", "[0-9a-f]{16}")),
        ("share an image_id", "every image_id once", lambda table: table["image_id"].duplicated(keep=False)),
        ("have a malformed sha256", "64 hex digits", not_matching("sha256", "[0-9a-f]{64}")),
        ("have a malformed phash", "16 hex digits", not_matching("phash", "[0-9a-f]{16}")),
        ("have a path that leaves the workspace", "a relative path without ..", leaving("path")),
        ("have a mask_path that leaves the workspace", "a relative path without ..", leaving("mask_path")),
        ("have an unknown source", " or ".join(SOURCES), not_among("source", SOURCES)),
        ("have an unknown split", ", ".join(SPLITS), not_among("split", SPLITS)),
        ("have a skin type outside 1-6", "Fitzpatrick 1 to 6, or null", not_among("skin_type", range(1, 7))),
        (
            "have an unknown skin_type_group",
            "I-II, III-IV or V-VI",
            not_among("skin_type_group", SKIN_TYPE_GROUPS.values()),
        ),
        (
            "have an unknown skin_type_source",
            "given or estimated",
            not_among("skin_type_source", ("given", "estimated")),
        ),
        ("have an unknown review state", ", ".join(REVIEW_STATES), not_among("review", REVIEW_STATES)),
        (
            "are synthetic and in the validation or test split",
            "synthetic images in training only",
            lambda table: (table["source"] == "synthetic") & table["split"].isin(["val", "test"]),
        ),
    ]
    return rules
