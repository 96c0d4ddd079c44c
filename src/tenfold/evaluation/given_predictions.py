"""Anybody's predictions as models on one test set: rows matched to the manifest, runs told apart, nonsense refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from tenfold.core.errors import DataError, Faults
from tenfold.core.hashing import sha256_json
from tenfold.evaluation.given_checks import (
    check_cover,
    check_rows,
    check_tables,
    check_truth,
    common_images,
    declared_hash,
)
from tenfold.evaluation.given_tables import (
    MOST_ROUNDING,
    TEST,
    VALIDATION,
    GivenManifest,
    PredictionTable,
    read_given_manifest,
    read_predictions,
    split_words,
    text_column,
)
from tenfold.evaluation.model_names import RUN, TABLE_ROW, name_models
from tenfold.evaluation.predictions import ArmPredictions, StudyPredictions
from tenfold.metrics.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Scored:
    """Images with a truth (N,) as class numbers, probabilities (N, C) and logits (N, C)."""

    truth: IntArray
    probs: FloatArray
    logits: FloatArray


@dataclass(frozen=True)
class GivenRun:
    """One trained model's predictions: of the test images in the common order, and of its validation images if any."""

    seed: int
    test: Scored
    validation: Scored | None


@dataclass(frozen=True)
class GivenModel:
    """A model, or a study's arm, with a run for each seed; `settings` are the columns that describe it.

    `training_size` is that of an arm of a study, 0 of anybody's model.
    """

    name: str
    settings: Mapping[str, str]
    runs: tuple[GivenRun, ...]
    training_size: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """Its key among the arms of a study."""
        return self.name, self.training_size

    @property
    def has_validation(self) -> bool:
        return all(run.validation is not None for run in self.runs)


@dataclass(frozen=True)
class GivenPredictions:
    """Everything an evaluation reads. `manifest` holds the columns of each test image, in the order of `image_ids`.

    test_sha256: the sealed hash, None where the files hold none; rows_sha256: of the test images' ids and labels.
    """

    labels: tuple[str, ...]
    image_ids: tuple[str, ...]
    truth: IntArray
    patients: IntArray
    has_patients: bool
    models: tuple[GivenModel, ...]
    manifest: pd.DataFrame
    test_sha256: str | None
    rows_sha256: str
    notes: tuple[str, ...]

    @property
    def has_repeats(self) -> bool:
        """Whether a patient has several test images, so that images are not independent."""
        return len(np.unique(self.patients)) < len(self.patients)

    def noted(self, notes: Sequence[str]) -> GivenPredictions:
        """The same with further notes for the reader in front."""
        return replace(self, notes=(*notes, *self.notes))

    def study(self) -> StudyPredictions:
        """The same as a study's table, one arm a model."""
        arms = {
            model.key: ArmPredictions(
                arm=model.name,
                training_size=model.training_size,
                seed_keys=tuple((run.seed, 0) for run in model.runs),
                probs=np.stack([run.test.probs for run in model.runs]),
                trainings=tuple({} for _ in model.runs),
            )
            for model in self.models
        }
        return StudyPredictions(
            self.labels, self.image_ids, self.truth, self.patients, self.test_sha256 or self.rows_sha256, arms
        )


def read_given(predictions: Sequence[Path], manifest: Path | None) -> GivenPredictions:
    """Read the files and match them.

    Raises DataError, or FaultsError for several: unreadable tables, files of different classes or test images, doubled
    rows, ids that the manifest lacks, labels that no column predicts, a test set other than the manifest's.
    """
    faults = Faults()
    tables: list[PredictionTable] = []
    for path in predictions:
        try:
            tables.append(read_predictions(path))
        except DataError as error:
            faults.add(error)
    faults.raise_if_any()
    given = read_given_manifest(manifest) if manifest is not None else None
    return match_given(tables, given)


def match_given(tables: Sequence[PredictionTable], given: GivenManifest | None) -> GivenPredictions:
    """The models of tables already read; raises as `read_given` does."""
    check_tables(tables)
    labels = tables[0].labels
    notes: list[str] = [] if given is None else list(given.notes)
    rows = _stacked(tables, given, notes)
    order = [[table.labels.index(label) for label in labels] for table in tables]
    probs = np.concatenate([table.probs[:, columns] for table, columns in zip(tables, order, strict=True)])
    logits = np.concatenate([table.logits[:, columns] for table, columns in zip(tables, order, strict=True)])
    check_rows(rows, labels, given, ", ".join(dict.fromkeys(str(table.path) for table in tables)))
    declared = declared_hash(tables, given, notes)
    used = rows[rows["split"].isin([TEST, VALIDATION])]
    others = rows.loc[~rows.index.isin(used.index), "split"].fillna("none").value_counts()
    left_out = ", ".join(f"{word} ({count})" for word, count in others.items())
    if left_out:
        notes.append(f"Rows whose split is neither test nor val were left out: {left_out}.")
    test = used[used["split"] == TEST]
    if test.empty:
        raise DataError(
            f"no row belongs to the test set; the other splits are: {left_out or 'val alone'}",
            where=", ".join(str(table.path) for table in tables),
            expected="rows whose split is test; without any split column every row counts as test",
            todo="Write test in the column split, or leave that column out of both files.",
        )  # fmt: skip
    named = name_models(used, [table.path for table in tables], notes)
    image_ids = common_images(named[named["split"] == TEST])
    number = {label: index for index, label in enumerate(labels)}
    truth_of = test.drop_duplicates("image_id").set_index("image_id")["label"].map(number)
    truth: IntArray = np.asarray(truth_of.loc[list(image_ids)], dtype=np.int64)
    check_truth(truth, labels, notes)
    check_cover(image_ids, labels, given)
    patients, has_patients = _patients(test, image_ids, notes)
    models = tuple(_models(named, image_ids, number, probs, logits))
    if any(not model.has_validation for model in models):
        names = ", ".join(model.name for model in models if not model.has_validation)
        notes.append(
            f"No validation rows ({names}): thresholds and temperature cannot be fitted, and are not fitted on test "
            "images. Add the validation images' predictions with split = val."
        )
    if any(model.has_validation for model in models) and not all(table.has_logits for table in tables):
        notes.append("Without logit.<class> columns temperatures act on the logarithms of the probabilities.")
    notes += [note for table in tables if (note := _differing_logits(table)) is not None]
    columns = _columns_of_images(given, image_ids)
    pairs = [[image_id, labels[index]] for image_id, index in zip(image_ids, truth, strict=True)]
    return GivenPredictions(
        labels, image_ids, truth, patients, has_patients, models, columns, declared, sha256_json(sorted(pairs)),
        tuple(notes),
    )  # fmt: skip


def _stacked(tables: Sequence[PredictionTable], given: GivenManifest | None, notes: list[str]) -> pd.DataFrame:
    """All rows with their file, their place among all and, where they lack them, the manifest's label and split."""
    rows = pd.concat([table.rows.assign(**{"table": index}) for index, table in enumerate(tables)], ignore_index=True)
    rows[TABLE_ROW] = np.arange(len(rows))
    known = given.rows.set_index("image_id") if given is not None else pd.DataFrame()
    for name in ("label", "patient_id", "group_id"):
        own = text_column(rows, name)
        if name in known.columns:
            own = own.fillna(rows["image_id"].map(known[name].astype("string")).astype("string"))
        rows[name] = own
    if "split" in rows.columns and rows["split"].notna().any():
        rows["split"] = split_words(rows["split"])
    elif given is not None and given.has_split:
        rows["split"] = rows["image_id"].map(known["split"].astype("string")).astype("string")
        notes.append(f"The predictions name no split: that of {given.path.name} was taken.")
    else:
        rows["split"] = TEST
        notes.append("Neither file names a split: every row counts as a test image.")
    return rows


def _patients(test: pd.DataFrame, image_ids: Sequence[str], notes: list[str]) -> tuple[IntArray, bool]:
    """A number per patient; without a patient_id the group counts as one, without either the image."""
    rows = test.drop_duplicates("image_id").set_index("image_id").loc[list(image_ids)]
    names = ("patient " + rows["patient_id"]).fillna("group " + rows["group_id"])
    unknown = int(names.isna().sum())
    if unknown:
        notes.append(
            f"{unknown} of {len(names)} test images have no patient_id: each counts as a patient of its own, and "
            "intervals are too narrow where patients have several images."
        )
    names = names.fillna(pd.Series("image " + rows.index.astype("string"), index=rows.index))
    return np.asarray(pd.factorize(names)[0], dtype=np.int64), unknown < len(names)


def _models(
    rows: pd.DataFrame, image_ids: Sequence[str], number: Mapping[str, int], probs: FloatArray, logits: FloatArray
) -> list[GivenModel]:
    def scored(part: pd.DataFrame) -> Scored:
        places = part[TABLE_ROW].to_numpy()
        return Scored(np.asarray(part["label"].map(number), dtype=np.int64), probs[places], logits[places])

    found = []
    for name, members in rows.groupby("model", sort=False):
        runs = []
        for seed, run in members.groupby(RUN, sort=True):
            test = run[run["split"] == TEST].set_index("image_id").loc[list(image_ids)]
            validation = run[run["split"] == VALIDATION]
            runs.append(GivenRun(int(str(seed)), scored(test), scored(validation) if len(validation) else None))
        settings = members.iloc[0]["settings"]
        found.append(GivenModel(str(name), settings, tuple(runs)))
    return found


def _differing_logits(table: PredictionTable) -> str | None:
    """A note when the logits of a file are not those of its probabilities, so that a temperature answers for others."""
    if not table.has_logits:
        return None
    most = float(np.abs(np.asarray(softmax(table.logits, axis=1)) - table.probs).max())
    if most <= MOST_ROUNDING:
        return None
    return (
        f"{table.path.name}: the softmax of the logits differs from the probabilities by up to {most:.2f}. Figures are "
        "of the probabilities; a temperature acts on the logits."
    )


def _columns_of_images(given: GivenManifest | None, image_ids: Sequence[str]) -> pd.DataFrame:
    if given is None:
        return pd.DataFrame({"image_id": list(image_ids)})
    return given.rows.set_index("image_id").loc[list(image_ids)].reset_index()
