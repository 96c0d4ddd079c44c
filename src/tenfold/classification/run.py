"""The classification stage: one cell's images become a trained classifier and its table of predictions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import nn

from tenfold.classification.config import ClassifierConfig
from tenfold.classification.prediction import predict_logits, prediction_table
from tenfold.classification.selection import (
    CellImages,
    check_budget,
    choose_images,
    origin_confound,
    read_real_images,
)
from tenfold.classification.training import Checkpoint, TrainingImages, TrainingSettings, fit
from tenfold.core.device import resolve_device
from tenfold.core.executor import Executor
from tenfold.core.files import write_atomic, write_json_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import label_indices, load_images
from tenfold.data.manifest import read_manifest
from tenfold.models import embedded
from tenfold.models.classifiers import EMBEDDED_SMALL, build_classifier, freeze_first_blocks

STAGE = "classification"
MANIFEST, SPLIT = "data/manifest.parquet", "data/splits.json"
RECORDED_SETTINGS = (
    "model",
    "pretrained",
    "weights",
    "freeze_blocks",
    "max_train_steps",
    "batch_size",
    "learning_rate",
    "lr_warmup_steps",
    "weight_decay",
    "label_smoothing",
    "evaluate_every_steps",
    "transforms",
)
CELL_COLUMNS = (
    "arm",
    "model",
    "training_size",
    "synthetic_ratio",
    "synthetic_share",
    "transforms",
    "strategy",
    "generator_budget",
    "subset_seed",
    "generator_seed",
    "classifier_seed",
)


def run(config: ClassifierConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write classifiers/<cell>/: model.safetensors, predictions.parquet, history.csv and training.json.

    The test images are predicted once, by the checkpoint that the validation images chose.

    Raises:
        DataError: images are missing, of another split than their use allows, or descend from outside of training.
        DesignError: a class is told by its origin, or the generator saw more real images than the arm.
        CheckpointError: the classifier's starting weights cannot be used.
    """
    manifest_path, split_path = workspace.resolve(MANIFEST), workspace.resolve(SPLIT)
    extra_paths = [workspace.resolve(path) for path in config.extra_manifests]
    inputs = [manifest_path, split_path, *extra_paths, *_weight_files(config)]
    folder = f"classifiers/{config.cell}"
    stage = begin_stage(workspace, STAGE, folder, config, inputs, seed=config.classifier_seed)
    if stage.is_finished:
        return stage.result()
    device = resolve_device(config.device)
    real, test_sha256 = read_real_images(manifest_path, split_path, config.labels)
    images = choose_images(
        real,
        test_sha256,
        train_ids=config.train_ids,
        validation_ids=config.validation_ids,
        extra_ids=config.extra_ids,
        extra=[read_manifest(path) for path in extra_paths],
    )
    if config.generator_budget == "strict":
        check_budget(images)
    is_confounded = origin_confound(images, config.labels, is_allowed=config.allow_origin_confound)
    if is_confounded:
        progress.log(f"{config.cell}: a class is all synthetic and another is not; its origin can give it away.")
    model = _build(config).to(device).to(memory_format=torch.channels_last)
    data = _load(workspace, images, config.labels)
    with progress.task(f"Training {config.cell}", config.max_train_steps) as task:
        best, history = fit(model, data, _settings(config), task)
    predictions = _predict(config, workspace, images, model)
    training = {
        "settings": {name: getattr(config, name) for name in RECORDED_SETTINGS},
        "strategy": config.strategy,
        "generator_budget": config.generator_budget,
        "origin_confound": is_confounded,
        "images_by_origin": images.images_by_origin(),
        "real_images_total": images.real_images_total(),
        "validation_images": len(images.validation),
        "best": asdict(best),
    }
    return stage.finish(
        _write(stage.folder, model, predictions, history, training), _summary(config, images, best), device=device
    )


def _build(config: ClassifierConfig) -> nn.Module:
    model = build_classifier(
        config.model,
        len(config.labels),
        pretrained=config.pretrained,
        weights=Path(config.weights).expanduser() if config.weights else None,
        seed=derive_seed(config.classifier_seed, "model"),
    )
    freeze_first_blocks(model, config.freeze_blocks)
    return model


def _load(workspace: Workspace, images: CellImages, labels: tuple[str, ...]) -> TrainingImages:
    parts = [rows for rows in (images.train, images.extra) if len(rows)]
    rows = pd.concat(parts, ignore_index=True)
    return TrainingImages(
        images=load_images(workspace, rows),
        labels=label_indices(rows, labels),
        real_count=len(images.train),
        validation_images=load_images(workspace, images.validation),
        validation_labels=label_indices(images.validation, labels),
    )


def _settings(config: ClassifierConfig) -> TrainingSettings:
    return TrainingSettings(
        max_train_steps=config.max_train_steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        lr_warmup_steps=config.lr_warmup_steps,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        evaluate_every_steps=config.evaluate_every_steps,
        extra_share=config.synthetic_share,
        transforms=config.transforms,
        seed=config.classifier_seed,
    )


def _predict(config: ClassifierConfig, workspace: Workspace, images: CellImages, model: nn.Module) -> pd.DataFrame:
    rows = pd.concat([images.validation, images.test], ignore_index=True)
    logits = predict_logits(model, load_images(workspace, rows))
    cell: dict[str, Any] = {name: getattr(config, name) for name in CELL_COLUMNS}
    return prediction_table(rows, logits, config.labels, {**cell, "test_sha256": images.test_sha256})


def _write(
    folder: Path, model: nn.Module, predictions: pd.DataFrame, history: list[Checkpoint], training: dict[str, Any]
) -> list[Path]:
    paths = [folder / name for name in ("model.safetensors", "predictions.parquet", "history.csv", "training.json")]
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with write_atomic(paths[0]) as temporary:
        save_file(weights, temporary)
    with write_atomic(paths[1]) as temporary:
        predictions.to_parquet(temporary, index=False)
    with write_atomic(paths[2]) as temporary:
        pd.DataFrame([asdict(checkpoint) for checkpoint in history]).to_csv(temporary, index=False)
    write_json_atomic(paths[3], training)
    return paths


def _summary(config: ClassifierConfig, images: CellImages, best: Checkpoint) -> dict[str, Any]:
    return {
        "cell": config.cell,
        "arm": config.arm,
        "training_size": config.training_size,
        "n_train_images": len(images.train),
        "n_extra_images": len(images.extra),
        "n_validation_images": len(images.validation),
        "n_test_images": len(images.test),
        "real_images_total": images.real_images_total(),
        "best_step": best.step,
        "validation_macro_auroc": best.validation_macro_auroc,
        "validation_log_loss": best.validation_log_loss,
        "test_reads": 1,
    }


def _weight_files(config: ClassifierConfig) -> list[Path]:
    """The starting weights, whose hashes belong to the run's identity."""
    if config.model == EMBEDDED_SMALL:
        return [embedded.features_path()]
    return [Path(config.weights).expanduser()] if config.weights else []
