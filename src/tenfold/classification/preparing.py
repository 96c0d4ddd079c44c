"""The predictor stage: a trained cell gets its temperature and its reference of training images, once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from tenfold.classification.building import network_of
from tenfold.classification.config import ClassifierConfig
from tenfold.classification.counting import count_people
from tenfold.classification.novelty import Reference, make_reference
from tenfold.classification.prediction import softmax
from tenfold.classification.predictor import (
    CELL_FIELDS,
    FORMAT_VERSION,
    RECORD,
    REFERENCE,
    SUBFOLDER,
    WEIGHTS,
    Calibration,
    Network,
    PredictorRecord,
    Preparation,
    logits_and_features,
    rebuild,
)
from tenfold.classification.predictor_config import PredictorConfig
from tenfold.core.device import resolve_device
from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_atomic, write_json_atomic
from tenfold.core.hashing import sha256_file
from tenfold.core.plain import from_plain, to_plain
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage, read_run_record
from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import load_images
from tenfold.data.manifest import read_manifest, select_images
from tenfold.data.verdicts import kept_out_files, read_filtered
from tenfold.metrics.arrays import one_weighting
from tenfold.metrics.calibration import fit_temperature, log_loss

STAGE = "predictor"
MOST_REFERENCE_IMAGES = 2000
MANIFEST, INTAKE = "data/manifest.parquet", "data/intake/run.json"
TRAINING_FACTS = (
    "images_by_origin", "real_images_total", "origin_confound", "validation_images", "best", "pretrained_from",
)  # fmt: skip


def run(config: PredictorConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write classifiers/<cell>/predictor/: predictor.json and reference.safetensors. No test image is read.

    Raises:
        DataError: there is no such cell, it is not finished, or its images are gone.
        CheckpointError: its weights do not fit.
    """
    cell = workspace.resolve(f"classifiers/{config.cell}")
    if not (cell / "run.json").is_file():
        raise _no_cell(config.cell, cell)
    manifest_path = workspace.resolve(MANIFEST)
    trained = read_run_record(cell).config
    extra = list(trained["extra_manifests"]) if not trained["train_ids"] else []
    heeds = trained.get("extra_review", "filtered") == "filtered"
    others = [*map(workspace.resolve, extra), *(kept_out_files(workspace, extra) if heeds else [])]
    others += [path for path in (workspace.resolve(INTAKE),) if path.is_file()]
    inputs = [cell / WEIGHTS, cell / "predictions.parquet", cell / "training.json", manifest_path, *others]
    folder = f"classifiers/{config.cell}/{SUBFOLDER}"
    stage = begin_stage(workspace, STAGE, folder, config, inputs, seed=workspace.root_seed)
    if stage.is_finished:
        return stage.result()
    device = resolve_device(config.device)
    labels = tuple(trained["labels"])
    network = from_plain(Network, network_of(ClassifierConfig.model_validate(trained)))
    model = rebuild(network, len(labels), cell / WEIGHTS).to(device)
    rows = read_manifest(manifest_path)
    own = trained["train_ids"]
    learned = select_images(rows, own) if own else _extra_rows(workspace, extra, heeds)
    learned = _thinned(learned, derive_seed(stage.seed, "reference", config.cell))
    held_out = select_images(rows, trained["validation_ids"])
    with progress.task(f"Making {config.cell} ready for new images", total=2) as task:
        pixels = load_images(workspace, learned)
        features = logits_and_features(model, pixels)[1]
        task.advance()
        reference = make_reference(features, logits_and_features(model, load_images(workspace, held_out))[1])
        task.advance()
    facts, predictions = read_json(cell / "training.json"), pd.read_parquet(cell / "predictions.parquet")
    record = PredictorRecord(
        format_version=FORMAT_VERSION,
        name=config.cell,
        labels=labels,
        network=network,
        weights_sha256=sha256_file(cell / WEIGHTS),
        preparation=_preparation(workspace, int(pixels.shape[1])),
        calibration=calibrate(predictions, labels),
        n_reference=len(reference.features),
        n_held_out=len(reference.null),
        cell=json.loads(predictions.head(1)[[*CELL_FIELDS]].to_json(orient="records"))[0],
        training={name: facts[name] for name in TRAINING_FACTS if name in facts},
        data_license=workspace.data_license,
        tenfold_version=read_run_record(cell).tenfold_version,
    )
    paths = write_record(stage.folder, record, reference)
    summary = {"cell": config.cell, "temperature": record.calibration.temperature, "n_reference": record.n_reference}
    return stage.finish(paths, summary, device=device)


def calibrate(predictions: pd.DataFrame, labels: tuple[str, ...]) -> Calibration:
    """The temperature that fits the validation rows of a predictions table best (Guo et al. 2017), by log loss."""
    rows = predictions[predictions["split"] == "val"]
    logits = rows[[f"logit.{label}" for label in labels]].to_numpy(dtype=np.float64)
    truth = np.array([labels.index(str(label)) for label in rows["label"]], dtype=np.int64)
    people, unit = count_people(rows)
    uncalibrated = Calibration(1.0, len(rows), people, None, None, None, "", unit)
    if not len(rows) or len(np.unique(truth)) < 2:
        return replace(uncalibrated, note="there are no validation images of two or more classes")
    temperature = float(fit_temperature(logits, truth))
    if not np.isfinite(temperature) or temperature <= 0:
        return replace(uncalibrated, note="no finite temperature fits the validation images")
    before, after = (
        float(log_loss(truth, softmax(values), one_weighting(len(rows)))[0])
        for values in (logits, logits / temperature)
    )
    shares = np.unique(truth, return_counts=True)[1] / len(rows)
    return replace(
        uncalibrated, temperature=temperature, log_loss_before=before, log_loss_after=after,
        log_loss_chance=float(-(shares * np.log(shares)).sum()),
    )  # fmt: skip


def write_record(folder: Path, record: PredictorRecord, reference: Reference) -> list[Path]:
    """predictor.json and reference.safetensors; their paths."""
    paths = [folder / RECORD, folder / REFERENCE]
    arrays = {"features": reference.features, "null": reference.null}
    with write_atomic(paths[1]) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)
    write_json_atomic(paths[0], to_plain(record))
    return paths


def _extra_rows(workspace: Workspace, manifests: list[str], heeds: bool) -> pd.DataFrame:
    """What a classifier without real images learned from: neither quarantined nor, where it heeds reviews, kept out."""
    tables = [read_filtered(workspace, path) if heeds else read_manifest(workspace.resolve(path)) for path in manifests]
    rows = pd.concat(tables, ignore_index=True)
    return rows[rows["quarantine_reason"].isna()].reset_index(drop=True)


def _thinned(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    if len(rows) <= MOST_REFERENCE_IMAGES:
        return rows
    chosen = numpy_generator(seed).choice(len(rows), MOST_REFERENCE_IMAGES, replace=False)
    return rows.iloc[np.sort(chosen)].reset_index(drop=True)


def _preparation(workspace: Workspace, image_size_px: int) -> Preparation:
    """As the workspace's import made its images; without its record, as an import does by itself."""
    path = workspace.resolve(INTAKE)
    config: Mapping[str, Any] = read_json(path)["config"] if path.is_file() else {}
    window = (config.get("dicom") or {}).get("window", "file")
    return Preparation(image_size_px, config.get("resize_mode", "center_crop"), window)


def _no_cell(cell: str, folder: Path) -> DataError:
    cells = sorted(path.parent.name for path in folder.parent.glob("*/run.json"))
    shown = ", ".join(cells[:8]) + (f" and {len(cells) - 8} more" if len(cells) > 8 else "")
    return DataError(
        f"there is no finished classifier {cell!r}",
        where=str(folder),
        expected=f"one of {shown}" if cells else "a classifier that `tenfold train` or a study has finished",
        todo="Name one of these, or train one: `tenfold train --help`.",
    )
