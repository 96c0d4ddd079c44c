"""The split's summary: images by split, label and stratum, groups kept whole, and what is worth a note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tenfold.data.manifest import SPLITS, labels_of
from tenfold.data.split_groups import crossing_groups, link_words
from tenfold.data.split_strata import strata
from tenfold.data.splits import SealedSplit, SplitSize

FEW_TEST_IMAGES = 10
"""Test images of a class below which its own figures tell little: one image more or less is ten points."""

_SHOWN_GROUPS = 5


def split_summary(
    manifest: pd.DataFrame, sealed: SealedSplit, keys: pd.Series[str], stratify_by: Sequence[str]
) -> dict[str, Any]:
    """Plain JSON of a sealed split; keys: `group_keys(manifest)`.

    by_stratum: column -> split -> label -> value -> images. groups_kept_whole: groups of more than one image, that no
    split may part, with the largest ones. crossing_groups: 0 unless a crossing was allowed.
    """
    names = [sealed.assignments.get(str(image_id)) for image_id in manifest["image_id"]]
    table = manifest.assign(split=pd.array(names, dtype="string"))
    by_split = {name: (table["split"] == name).fillna(False).to_numpy(dtype=bool) for name in SPLITS}
    split = pd.Series(dict(sealed.assignments), dtype="string")
    summary: dict[str, Any] = {
        "images": {name: dict(sealed.counts[name]) for name in SPLITS},
        "groups": {name: int(keys[rows].nunique()) for name, rows in by_split.items()},
        "patients": {name: int(table.loc[rows, "patient_id"].nunique()) for name, rows in by_split.items()},
        "unused": _counts(table.loc[table["split"].isna(), "label"]),
        "by_stratum": {column: _by_stratum(table, column, by_split) for column in stratify_by},
        "groups_kept_whole": _groups_kept_whole(table, keys),
        "crossing_groups": len(crossing_groups(manifest, split, keys=keys)),
        "test_sha256": sealed.test_sha256, "sha256": sealed.sha256,
    }  # fmt: skip
    if "fold_of" in sealed.details:
        fold_of = sealed.details["fold_of"]
        numbers = pd.Series([fold_of[str(image_id)] for image_id in manifest["image_id"]])
        summary["folds"] = [
            _counts(manifest.loc[(numbers == number).to_numpy(), "label"]) for number in range(sealed.details["folds"])
        ]
    return summary


def size_notes(sealed: SealedSplit, sizes: Mapping[str, SplitSize], summary: Mapping[str, Any]) -> list[str]:
    """Where whole groups did not meet the sizes asked for, and which classes the test holds too few images of.

    sizes: of the splits that were drawn to a size.
    """
    available = Counter[str]()
    for counts in sealed.counts.values():
        available.update(counts)
    notes = [
        f"Note: {name} takes {sealed.counts[name][label]} instead of {size.target(count)} images of {label}: "
        "groups are not parted"
        for name, size in sizes.items()
        for label, count in sorted(available.items())
        if sealed.counts[name][label] != size.target(count)
    ]
    if few := {label: n for label, n in sealed.counts["test"].items() if n < FEW_TEST_IMAGES}:
        listed = ", ".join(f"{label} ({n} of {available[label]} images)" for label, n in few.items())
        notes.append(f"Note: the test holds few images of {listed}: figures of these classes alone tell little")
    whole = summary["groups_kept_whole"]
    if whole["groups"]:
        notes.append(
            f"Note: {whole['groups']} groups of {whole['images']} images are kept whole; the largest has "
            f"{whole['largest'][0]['images']} ({whole['largest'][0]['linked_by']})"
        )
    return notes


def _counts(labels: pd.Series[Any]) -> dict[str, int]:
    return {label: int(count) for label, count in sorted(Counter(labels.astype(str)).items())}


def _by_stratum(table: pd.DataFrame, column: str, by_split: Mapping[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    counted = table.assign(_value=strata(table, [column]))
    return {
        name: {
            label: _counts(counted.loc[rows & (counted["label"] == label).to_numpy(dtype=bool), "_value"])
            for label in labels_of(table)
        }
        for name, rows in by_split.items()
    }


def _groups_kept_whole(table: pd.DataFrame, keys: pd.Series[str]) -> dict[str, Any]:
    sizes = Counter(str(key) for key in keys)
    several = {key: size for key, size in sizes.items() if size > 1}
    largest = sorted(several, key=lambda key: (-several[key], key))[:_SHOWN_GROUPS]
    shown = []
    for key in largest:
        rows = table[(keys == key).to_numpy(dtype=bool)]
        shown.append({
            "group": key, "images": several[key], "labels": _counts(rows["label"]),
            "splits": sorted(str(name) for name in rows["split"].dropna().unique()),
            "linked_by": link_words(rows, rows["image_id"].astype(str).tolist()),
        })  # fmt: skip
    return {"groups": len(several), "images": sum(several.values()), "largest": shown}
