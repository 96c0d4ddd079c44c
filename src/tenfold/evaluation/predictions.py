"""The test predictions of a study's cells, checked against each other and stacked by arm and training size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tenfold.core.errors import DataError, Faults
from tenfold.core.files import read_json
from tenfold.metrics.arrays import FloatArray, IntArray

ArmKey = tuple[str, int]
"""(arm, training_size)."""
SeedKey = tuple[int, int]
"""(subset_seed, classifier_seed): what pairs a cell of one arm with a cell of another."""

PROBABILITY_PREFIX = "prob."


@dataclass(frozen=True)
class LabeledPredictions:
    """Predictions with the truth as class numbers (M,) beside probabilities (M, C): a cell's validation images."""

    truth: IntArray
    probs: FloatArray
    patient_count: int


@dataclass(frozen=True)
class CellPredictions:
    """One trained cell: probabilities (N, C) of the test images in the study's order, and its training.json."""

    cell: str
    arm: str
    training_size: int
    seed_key: SeedKey
    probs: FloatArray
    training: Mapping[str, Any]
    validation: LabeledPredictions


@dataclass(frozen=True)
class ArmPredictions:
    """All cells of one arm and training size: `probs` (K, N, C) in the order of `seed_keys` (K,), sorted."""

    arm: str
    training_size: int
    seed_keys: tuple[SeedKey, ...]
    probs: FloatArray
    trainings: tuple[Mapping[str, Any], ...]
    validations: tuple[LabeledPredictions, ...] = ()

    def of_seeds(self, seed_keys: Sequence[SeedKey]) -> IntArray:
        """Positions of these seeds in `seed_keys`."""
        return np.array([self.seed_keys.index(key) for key in seed_keys], dtype=np.int64)


@dataclass(frozen=True)
class StudyPredictions:
    """The test set (labels (N,) as class numbers, patients (N,) as codes) and every arm scored on it."""

    labels: tuple[str, ...]
    image_ids: tuple[str, ...]
    truth: IntArray
    patients: IntArray
    test_sha256: str
    arms: Mapping[tuple[str, int], ArmPredictions]

    @property
    def patient_count(self) -> int:
        return len(np.unique(self.patients))

    def patients_of(self, mask: Any) -> int:
        """Number of patients among the images of a mask (N,)."""
        return len(np.unique(self.patients[mask]))

    def sizes_of(self, arm: str) -> list[int]:
        """The training sizes at which an arm was run, ascending."""
        return sorted(size for name, size in self.arms if name == arm)


def prediction_files(workspace_path: Path, cells: pd.DataFrame) -> list[tuple[Path, Path]]:
    """For every row of cells.parquet: its predictions.parquet and its training.json.

    Raises DataError that names the unfinished cells.
    """
    places = cells["folder"] if "folder" in cells.columns else "classifiers/" + cells["cell"].astype(str)
    folders = [workspace_path / str(place) for place in places]
    missing = [folder.name for folder in folders if not (folder / "run.json").is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(folders)} cells are not finished: {', '.join(missing[:5])}",
            where=str(workspace_path / "classifiers"),
            expected="every cell of the study with its run.json",
            todo="Run the same command again: it resumes the study.",
        )
    return [(folder / "predictions.parquet", folder / "training.json") for folder in folders]


def load_study(files: Sequence[tuple[Path, Path]]) -> StudyPredictions:
    """Read every cell's test rows and stack them.

    Raises DataError when a table lacks columns, when cells differ in classes, test images or the sealed test hash,
    or when an arm holds the same seeds twice at one training size.
    """
    tables = [(predictions, *_rows(predictions), read_json(training)) for predictions, training in files]
    if not tables:
        raise DataError("the study has no cells", expected="at least one finished classifier")
    first = tables[0][1]
    labels = tuple(name[len(PROBABILITY_PREFIX) :] for name in first.columns if name.startswith(PROBABILITY_PREFIX))
    faults = Faults()
    for path, table, _, _ in tables:
        for difference in _differences(first, table):
            faults.add(DataError(difference, where=str(path), expected="the same test set for every cell"))
    faults.raise_if_any()
    cells = [
        _cell(path, table, training, _labeled(validation, labels, path)) for path, table, validation, training in tables
    ]
    return StudyPredictions(
        labels=labels,
        image_ids=tuple(first["image_id"]),
        truth=_truth(first, labels, tables[0][0]),
        patients=_patient_codes(first),
        test_sha256=str(first["test_sha256"].iloc[0]),
        arms=_stack(cells),
    )


def _rows(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A cell's test rows and its validation rows."""
    table = pd.read_parquet(path)
    needed = {"image_id", "patient_id", "group_id", "label", "split", "arm", "training_size", "test_sha256"}
    missing = sorted((needed | {"subset_seed", "classifier_seed"}) - set(table.columns))
    if missing:
        raise DataError(f"a predictions table lacks {', '.join(missing)}", where=str(path), todo="predict again")
    rows = table[table["split"] == "test"].sort_values("image_id", kind="stable").reset_index(drop=True)
    if rows.empty:
        raise DataError("a predictions table has no test rows", where=str(path), todo="check the split")
    return rows, table[table["split"] == "val"]


def _differences(first: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    def probabilities(of: pd.DataFrame) -> list[str]:
        return [name for name in of.columns if name.startswith(PROBABILITY_PREFIX)]

    if probabilities(first) != probabilities(table):
        return [f"the classes differ: {probabilities(table)} and {probabilities(first)}"]
    if list(first["image_id"]) != list(table["image_id"]):
        return ["the test images differ from those of the first cell"]
    if set(first["test_sha256"]) != set(table["test_sha256"]):
        return ["the hash of the sealed test set differs from that of the first cell"]
    return []


def _cell(
    path: Path, table: pd.DataFrame, training: Mapping[str, Any], validation: LabeledPredictions
) -> CellPredictions:
    row = table.iloc[0]
    seed_key = (int(row["subset_seed"]), int(row["classifier_seed"]))
    probs = _probabilities(table, path)
    arm, size = str(row["arm"]), int(row["training_size"])
    return CellPredictions(path.parent.name, arm, size, seed_key, probs, training, validation)


def _labeled(rows: pd.DataFrame, labels: Sequence[str], path: Path) -> LabeledPredictions:
    """Validation rows of labels that the classifier knows."""
    known = rows[rows["label"].isin(list(labels))]
    patients = len(np.unique(_patient_codes(known)))
    return LabeledPredictions(_truth(known, labels, path), _probabilities(known, path), patients)


def _probabilities(table: pd.DataFrame, path: Path) -> FloatArray:
    names = [name for name in table.columns if name.startswith(PROBABILITY_PREFIX)]
    probs = table[names].to_numpy(dtype=np.float64)
    if not np.isfinite(probs).all():
        raise DataError("a predictions table holds probabilities that are no numbers", where=str(path))
    return probs


def _truth(table: pd.DataFrame, labels: Sequence[str], path: Path) -> IntArray:
    number = {label: index for index, label in enumerate(labels)}
    unknown = sorted(set(table["label"]) - set(number))
    if unknown:
        raise DataError(f"test images have labels without a probability: {', '.join(unknown)}", where=str(path))
    return np.array([number[label] for label in table["label"]], dtype=np.int64)


def _patient_codes(table: pd.DataFrame) -> IntArray:
    """A number per patient; without a patient_id the group counts as one, without either the image."""
    names = table["patient_id"].astype("string")
    names = ("patient " + names).fillna("group " + table["group_id"].astype("string"))
    names = names.fillna("image " + table["image_id"].astype("string"))
    return np.asarray(pd.factorize(names)[0], dtype=np.int64)


def _stack(cells: Sequence[CellPredictions]) -> dict[tuple[str, int], ArmPredictions]:
    grouped: dict[tuple[str, int], list[CellPredictions]] = {}
    for cell in cells:
        grouped.setdefault((cell.arm, cell.training_size), []).append(cell)
    stacked = {}
    for (arm, size), members in sorted(grouped.items()):
        members.sort(key=lambda cell: cell.seed_key)
        keys = tuple(cell.seed_key for cell in members)
        if len(set(keys)) < len(keys):
            names = ", ".join(cell.cell for cell in members)
            raise DataError(f"the arm {arm} at {size} a class holds the same seeds twice", where=names)
        probs = np.stack([cell.probs for cell in members])
        trainings = tuple(cell.training for cell in members)
        validations = tuple(cell.validation for cell in members)
        stacked[arm, size] = ArmPredictions(arm, size, keys, probs, trainings, validations)
    return stacked
