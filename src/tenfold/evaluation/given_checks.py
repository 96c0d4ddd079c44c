"""What is refused in anybody's predictions: strange labels, other test sets, doubled rows, synthetic images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tenfold.core.errors import DataError, Faults
from tenfold.core.hashing import sha256_json
from tenfold.evaluation.given_tables import (
    TEST,
    VALIDATION,
    GivenManifest,
    PredictionTable,
    text_column,
)
from tenfold.evaluation.model_names import RUN
from tenfold.evaluation.table_files import some_names
from tenfold.metrics.arrays import IntArray

_SETTLE = "Find out which file is right, and correct the other; give the manifest the predictions were made with."
_WRONG_SPLIT = "rows whose split is that of the manifest, so that no training image is scored"


def check_tables(tables: Sequence[PredictionTable]) -> None:
    """Raise when a file is given twice, or when files hold different classes."""
    seen: dict[str, Path] = {}
    faults = Faults()
    for table in tables:
        if table.sha256 in seen:
            faults.add(
                DataError(
                    "the same file is given twice", where=f"{seen[table.sha256]} and {table.path}",
                    expected="different models or runs", todo="Leave one of them out.",
                )
            )  # fmt: skip
        seen[table.sha256] = table.path
        if set(table.labels) != set(tables[0].labels):
            faults.add(
                DataError(
                    f"the classes are {', '.join(table.labels)}", where=str(table.path),
                    expected=f"those of {tables[0].path.name}: {', '.join(tables[0].labels)}",
                    todo="Rename the columns where only the spelling differs, or evaluate each file by itself.",
                )
            )  # fmt: skip
    faults.raise_if_any()


def check_rows(rows: pd.DataFrame, labels: Sequence[str], given: GivenManifest | None, where: str) -> None:
    """Raise for validation and test rows without a label that the model knows, or that the manifest contradicts."""
    counted = rows[rows["split"].isin([TEST, VALIDATION])]
    faults = Faults()
    for fault in (*_label_faults(counted, labels, where), *_manifest_faults(counted, given, where)):
        faults.add(fault)
    faults.raise_if_any()


def declared_hash(tables: Sequence[PredictionTable], given: GivenManifest | None, notes: list[str]) -> str | None:
    """The sealed hash of the test set, the same in every file and in the manifest; None where no file has one."""
    found: dict[str, str] = {}
    for table in tables:
        for value in text_column(table.rows, "test_sha256").dropna().unique():
            found.setdefault(str(value), table.path.name)
    if given is not None and given.test_sha256 is not None and found:
        found.setdefault(given.test_sha256, given.path.name)
    if len(found) > 1:
        raise DataError(
            "these predictions belong to different test sets: "
            + ", ".join(f"{digest[:12]} ({name})" for digest, name in found.items()),
            where="test_sha256", expected="one test set, sealed by its hash, in every file",
            todo="Give predictions of this test set, and the manifest they were made with.",
        )  # fmt: skip
    if found and (given is None or given.test_sha256 is None):
        notes.append("The test set's hash could not be checked: no manifest with its split and sha256 was given.")
    return next(iter(found), given.test_sha256 if given is not None else None)


def common_images(test: pd.DataFrame) -> tuple[str, ...]:
    """The test images, sorted; DataError when two runs were tested on different ones, or an image twice in one."""
    faults = Faults()
    groups = [(str(model), list(rows["image_id"])) for (model, _), rows in test.groupby(["model", RUN], sort=True)]
    first_name, first = groups[0][0], sorted(groups[0][1])
    for model, ids in groups:
        doubled = pd.Series(ids)[pd.Series(ids).duplicated()]
        if len(doubled):
            faults.add(
                DataError(
                    f"{doubled.nunique()} images are predicted twice by one model: {some_names(doubled)}", where=model,
                    expected="one row for each image and run",
                    todo="Tell runs apart by a column such as classifier_seed, models by model or arm.",
                )
            )  # fmt: skip
        elif difference := sorted(set(ids) ^ set(first)):
            hashes = [sha256_json(sorted(names))[:12] for names in (first, ids)]
            faults.add(
                DataError(
                    f"tested on other images than {first_name}: {len(difference)} images are in one of the two only, "
                    f"such as {some_names(difference)} (hashes of the ids {hashes[0]} and {hashes[1]})",
                    where=model, expected="the same test set for every model and run",
                    todo="Without seed columns, rows of several folds count as one run over all of their images.",
                )
            )  # fmt: skip
    faults.raise_if_any()
    return tuple(first)


def check_truth(truth: IntArray, labels: Sequence[str], notes: list[str]) -> None:
    """Raise when all test images are of one class; a class without any is noted."""
    counts = np.bincount(truth, minlength=len(labels))
    if (counts > 0).sum() < 2:
        raise DataError(
            f"all {len(truth)} test images are {labels[int(counts.argmax())]}",
            where="label",
            expected="test images of at least two classes: of one alone nothing can be told apart",
            todo="Add test images of the other classes.",
        )
    if absent := [label for label, count in zip(labels, counts, strict=True) if count == 0]:
        notes.append(
            f"No test image of {', '.join(absent)}: the figures of that class do not exist, and averages over classes "
            "are over the others."
        )


def check_cover(image_ids: Sequence[str], labels: Sequence[str], given: GivenManifest | None) -> None:
    """Raise when test images of the manifest have no prediction."""
    if given is None or not given.has_split:
        return
    rows = given.rows[given.rows["split"] == TEST]
    if "label" in rows.columns:
        rows = rows[rows["label"].isin(list(labels))]
    missing = sorted(set(rows["image_id"]) - set(image_ids))
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(rows)} test images of these classes have no prediction: {some_names(missing)}",
            where=str(given.path), expected="a prediction for every test image, so that none is left out by choice",
            todo="Predict the missing images too.",
        )  # fmt: skip


def _label_faults(rows: pd.DataFrame, labels: Sequence[str], where: str) -> Iterable[DataError]:
    unlabelled = rows.loc[rows["label"].isna(), "image_id"]
    if len(unlabelled):
        yield DataError(
            f"{unlabelled.nunique()} images have no label: {some_names(unlabelled)}", where=where,
            expected="a label in the predictions or in the manifest",
            todo="Add the column label to one of them, or leave these images out of both and say so.",
        )  # fmt: skip
    strange = rows[rows["label"].notna() & ~rows["label"].isin(list(labels))]
    if len(strange):
        counts = strange.groupby("label")["image_id"].nunique()
        yield DataError(
            "images have labels that the model cannot name: "
            + ", ".join(f"{label} ({count})" for label, count in counts.items()),
            where=where, expected=f"one of {', '.join(labels)}",
            todo="Leave these rows out and say so, or predict with a model that was trained on these classes.",
        )  # fmt: skip


def _manifest_faults(rows: pd.DataFrame, given: GivenManifest | None, where: str) -> Iterable[DataError]:
    if given is None:
        return
    known = given.rows.set_index("image_id")
    absent = rows.loc[~rows["image_id"].isin(known.index), "image_id"]
    if len(absent):
        yield DataError(
            f"{absent.nunique()} predicted images are not in the manifest: {some_names(absent)}", where=where,
            expected=f"image ids of {given.path}",
            todo="Give the manifest of these images, with the same image_id in both files.",
        )  # fmt: skip
    there = rows[rows["image_id"].isin(known.index)]
    told = {
        name: there["image_id"].map(text_column(known, name)).astype("string")
        for name in ("label", "split", "patient_id")
    }
    differs = there["label"].notna() & told["label"].notna() & (told["label"] != there["label"]).fillna(False)
    if differs.any():
        yield DataError(_disagreement("have another label", there, told, "label", differs), where=where,
                        expected="the labels of the manifest", todo=_SETTLE)  # fmt: skip
    strays = there["patient_id"].notna() & told["patient_id"].notna() & (told["patient_id"] != there["patient_id"])
    if strays.fillna(False).any():
        yield DataError(_disagreement("are of another patient", there, told, "patient_id", strays.fillna(False)),
                        where=where, expected="the patients of the manifest", todo=_SETTLE)  # fmt: skip
    moved = (told["split"] != there["split"]).fillna(True) if given.has_split else differs & False
    if moved.any():
        yield DataError(_disagreement("are in another split", there, told, "split", moved), where=where,
                        expected=_WRONG_SPLIT, todo=_SETTLE)  # fmt: skip
    made = there.loc[(there["image_id"].map(text_column(known, "source")) == "synthetic").fillna(False), "image_id"]
    if len(made):
        yield DataError(
            f"{made.nunique()} test or validation images are synthetic: {some_names(made)}", where=where,
            expected="real images only: a classifier is never tested on generated ones",
            todo="Leave these rows out; if they are real, correct the manifest's column source.",
        )  # fmt: skip


def _disagreement(
    what: str, rows: pd.DataFrame, told: dict[str, pd.Series[str]], name: str, which: pd.Series[bool]
) -> str:
    row, other = rows[which].iloc[0], told[name][which].iloc[0]
    there = other if isinstance(other, str) else "in none"
    return (
        f"{rows.loc[which, 'image_id'].nunique()} images {what} than in the manifest: "
        f"{row['image_id']} is {row[name]} here, {there} there"
    )
