"""Prediction as a command: a classifier found and made ready, files answered, answers written; and its export."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core.errors import DataError, InputError
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import (
    TEMPORARY_PREFIX,
    storage_errors,
    write_atomic,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace, holds_workspace

if TYPE_CHECKING:
    import pandas as pd

    from tenfold.classification.explaining import SaliencyMethod
    from tenfold.classification.predicting import Answered, Refused
    from tenfold.classification.predictor import Predictor, PredictorRecord

TABLE, TABLE_CSV, QUARANTINE, SUMMARY = "predictions.parquet", "predictions.csv", "quarantine.csv", "summary.json"
SALIENCY = "saliency"


@dataclass(frozen=True)
class Explanation:
    """Which maps are wanted: for `label`, or for each image's own answer when None."""

    method: SaliencyMethod
    label: str | None = None


@dataclass(frozen=True)
class PredictionOutcome:
    """The answers, one row an image; the files set aside; `out` is the folder they were written to, if any."""

    table: pd.DataFrame
    refused: tuple[Refused, ...]
    record: PredictorRecord
    hint: str
    caution: str
    out: Path | None

    def facts(self) -> dict[str, Any]:
        """Plain JSON values; the table's empty cells are null."""
        rows: list[dict[str, Any]] = json.loads(self.table.to_json(orient="records", double_precision=10))
        return {
            "classifier": self.record.name,
            "labels": list(self.record.labels),
            "predictions": rows,
            "quarantined": [asdict(one) for one in self.refused],
            "calibration": asdict(self.record.calibration),
            "hint": self.hint,
            "caution": self.caution,
            "out": None if self.out is None else str(self.out),
        }


def open_classifier(classifier: str, workspace: Path | None, device: str, progress: Progress) -> Predictor:
    """A classifier by its folder (in a workspace, or exported), or by its name in `workspace`; made ready when new.

    Raises:
        DataError, CheckpointError: there is none, it is unfinished, or its files do not belong together.
        InputError: the device is not on this machine.
    """
    from tenfold.classification.predictor import RECORD, SUBFOLDER, WEIGHTS, load_predictor
    from tenfold.core.device import resolve_device

    device = resolve_device(device)
    folder = Path(classifier).expanduser()
    if (folder / RECORD).is_file() and folder.name != SUBFOLDER:
        return load_predictor(folder, device)
    place, cell = _workspace_and_cell(folder, classifier, workspace)
    home = place.resolve(f"classifiers/{cell}")
    if (home / SUBFOLDER / "run.json").is_file():
        _prepare(place, cell, device, progress)
    else:
        with place.lock():
            _prepare(place, cell, device, progress)
    return load_predictor(home / SUBFOLDER, device, weights=home / WEIGHTS)


def run_prediction(
    predictor: Predictor,
    images: Sequence[Path],
    progress: Progress,
    *,
    out: Path | None = None,
    explanation: Explanation | None = None,
) -> PredictionOutcome:
    """Answer the images, and those in folders; write the table, the files set aside and the maps to `out`.

    Raises:
        DataError: there is no image, or none that can be read; `out` holds other things.
        InputError: maps are wanted without `out`, for an unknown class, or by a method that the network has no use for.
    """
    import pandas as pd

    from tenfold.classification.predicting import CAUTION, find_images, hint_note, predict_files

    if explanation is not None:
        _check_explanation(explanation, predictor, out)
    if out is not None:
        _check_out(out)
    files = find_images(images)
    if out is not None:
        _remove_maps(out)
    tables: list[pd.DataFrame] = []
    refused: list[Refused] = []
    with progress.task("Answering images", len(files)) as task:
        for answered in predict_files(predictor, files, task):
            if len(answered.table) and explanation is not None and out is not None:
                answered = _explained(predictor, answered, explanation, out)
            tables.append(answered.table)
            refused += answered.refused
    filled = [table for table in tables if len(table)]
    if not filled:
        raise DataError(
            f"none of {len(files)} files can be answered: {refused[0].detail}",
            where=refused[0].path,
            expected="an image file that is whole",
        )
    table = pd.concat(filled, ignore_index=True)
    outcome = PredictionOutcome(table, tuple(refused), predictor.record, hint_note(predictor), CAUTION, out)
    if out is not None:
        _write(outcome, out)
    return outcome


def export_classifier(predictor: Predictor, target: Path, *, with_onnx: bool) -> list[str]:
    """A folder that anyone loads without the workspace: safetensors, model card, and ONNX where wanted; its files.

    Raises:
        CheckpointError: `target` holds something.
        InputError: the packages for ONNX are missing. StageError: the ONNX file answers otherwise than the network.
    """
    from tenfold.classification.export import export_predictor
    from tenfold.models.registry_pull import refuse_occupied

    refuse_occupied(target)
    staged = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}.{target.name}")
    with storage_errors(target):
        staged.mkdir(parents=True)
        try:
            names = export_predictor(predictor, staged, with_onnx=with_onnx)
            if target.is_dir():
                target.rmdir()
            os.replace(staged, target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return names


def is_classifier(folder: Path) -> bool:
    """Whether a folder is a trained cell or an exported classifier, not a generator."""
    from tenfold.classification.predictor import RECORD

    return (folder / RECORD).is_file() or (folder / "training.json").is_file()


def _prepare(workspace: Workspace, cell: str, device: str, progress: Progress) -> None:
    from tenfold.classification.predictor_config import PredictorConfig
    from tenfold.classification.preparing import run

    with SerialExecutor() as executor:
        run(PredictorConfig(cell=cell, device=device), workspace, executor, progress)


def _workspace_and_cell(folder: Path, classifier: str, workspace: Path | None) -> tuple[Workspace, str]:
    home = Path(os.path.abspath(folder))
    if home.parent.name == "classifiers" and holds_workspace(home.parent.parent):
        return Workspace.open(home.parent.parent), home.name
    name = classifier.removeprefix("classifiers/").rstrip("/")
    if workspace is not None and "/" not in name:
        return Workspace.open(workspace), name
    raise DataError(
        f"there is no classifier {classifier!r}",
        where=str(home),
        expected="WORKSPACE/classifiers/NAME, an exported folder, or a name together with --workspace",
    )


def _check_explanation(explanation: Explanation, predictor: Predictor, out: Path | None) -> None:
    from tenfold.classification.explaining import SALIENCY_METHODS

    labels = predictor.record.labels
    if out is None:
        raise InputError("saliency maps need a folder", where="--saliency", todo="Name one with --out.")
    if explanation.method not in SALIENCY_METHODS:
        raise InputError(
            f"there is no saliency method {explanation.method!r}",
            where="--saliency-method",
            expected=" or ".join(SALIENCY_METHODS),
        )
    if explanation.label is not None and explanation.label not in labels:
        raise InputError(
            f"the classifier knows no class {explanation.label!r}", where="--explain", expected=", ".join(labels)
        )


def _check_out(out: Path) -> None:
    own = {TABLE, TABLE_CSV, QUARANTINE, SUMMARY, SALIENCY}
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    inside = {name for name in names if not name.startswith(TEMPORARY_PREFIX)}
    if (out.exists() and not out.is_dir()) or (SUMMARY not in inside and not own.issuperset(inside)):
        raise DataError(
            "the folder for the answers holds other things",
            where=str(out),
            expected="a new or empty folder, or one of earlier answers, which are then replaced",
            todo="Name another with --out.",
        )


def _remove_maps(out: Path) -> None:
    """Maps of earlier answers, so that none is taken for one of these."""
    with storage_errors(out):
        for path in (out / SALIENCY).glob("[0-9a-f]" * 16 + ".png"):
            path.unlink()


def _explained(predictor: Predictor, answered: Answered, explanation: Explanation, out: Path) -> Answered:
    """The batch with the column `saliency_path`, its pictures written."""
    from dataclasses import replace

    from tenfold.classification.explaining import saliency, saliency_picture
    from tenfold.data.images import encode_png

    labels = predictor.record.labels
    names = []
    for row, image in zip(answered.table.to_dict("records"), answered.images, strict=True):
        label = explanation.label or str(row["predicted"])
        found = saliency(predictor.model, image, labels.index(label), explanation.method)
        lines = [
            f"Answer: {row['predicted']}, {row['probability']:.0%}"
            + (", unusual image" if row["is_unusual"] is True else ""),
            f"Bright: what spoke for {label}",
            "Research only, not for diagnosis",
        ]
        names.append(f"{SALIENCY}/{row['image_id']}.png")
        write_bytes_atomic(out / names[-1], encode_png(saliency_picture(image, found.heat, lines)))
    return replace(answered, table=answered.table.assign(saliency_path=names))


def _write(outcome: PredictionOutcome, out: Path) -> None:
    import pandas as pd

    from tenfold.classification.predicting import Refused
    from tenfold.data.manifest import csv_text

    with write_atomic(out / TABLE) as temporary:
        outcome.table.to_parquet(temporary, index=False)
    write_text_atomic(out / TABLE_CSV, csv_text(outcome.table))
    names = list(Refused.__dataclass_fields__)
    refused = pd.DataFrame([asdict(one) for one in outcome.refused], columns=names)
    write_text_atomic(out / QUARANTINE, csv_text(refused))
    facts = {
        name: value for name, value in outcome.facts().items() if name not in ("predictions", "quarantined", "out")
    }
    write_json_atomic(out / SUMMARY, {**facts, "n_images": len(outcome.table), "n_quarantined": len(outcome.refused)})
