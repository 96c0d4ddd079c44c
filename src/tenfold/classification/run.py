"""The classification stage: one cell's images become a trained classifier and its table of predictions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.classification.config import ClassifierConfig
from tenfold.classification.fitting import Fitted, cell_images, cell_inputs, fit_cell
from tenfold.classification.prediction import predict_logits, prediction_table
from tenfold.classification.resident import resident_images
from tenfold.classification.saving import remove_states, write_weights
from tenfold.classification.selection import CellImages, origin_confound
from tenfold.core.device import resolve_device
from tenfold.core.executor import Executor
from tenfold.core.files import write_atomic, write_json_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace

STAGE = "classification"
RECORDED_SETTINGS = (
    "model",
    "model_options",
    "image_size_px",
    "dropout",
    "attention_dropout",
    "pretrained",
    "weights",
    "train",
    "freeze_blocks",
    "layer_decay",
    "feature_views",
    "max_train_steps",
    "max_train_epochs",
    "batch_size",
    "optimizer",
    "momentum",
    "learning_rate",
    "lr_scheduler",
    "lr_warmup_steps",
    "weight_decay",
    "label_smoothing",
    "gradient_clip",
    "ema_decay",
    "mixed_precision",
    "evaluate_every_steps",
    "early_stopping_looks",
    "sampling",
    "loss_weights",
    "transforms",
)
"""What a fair comparison holds alike in all arms, but for the transforms."""
DRAWING_SETTINGS = ("extra_schedule", "two_stage_fraction", "extra_weights", "extra_review", "balance_by")
"""How an arm draws its images, beside their share."""
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
        StageError: the loss is no number; last_good.safetensors then holds the best weights so far.
    """
    inputs = cell_inputs(config, workspace)
    stage = begin_stage(workspace, STAGE, f"classifiers/{config.cell}", config, inputs, seed=config.classifier_seed)
    if stage.is_finished:
        remove_states(stage.folder)
        return stage.result()
    images = cell_images(config, workspace)
    is_confounded = origin_confound(images, config.labels, is_allowed=config.allow_origin_confound)
    if is_confounded:
        progress.log(f"{config.cell}: a class is all synthetic and another is not; its origin can give it away.")
    fitted = fit_cell(config, workspace, images, progress, folder=stage.folder)
    training = {
        "settings": _recorded(config, fitted),
        "drawing": {name: getattr(config, name) for name in DRAWING_SETTINGS},
        "strategy": config.strategy,
        "generator_budget": config.generator_budget,
        "origin_confound": is_confounded,
        "images_by_origin": images.images_by_origin(),
        "real_images_total": images.real_images_total(),
        "validation_images": len(images.validation),
        "best": asdict(fitted.best),
        "pretrained_from": fitted.pretrained_from,
        "stopped_at_step": fitted.stopped_at_step,
    }
    predictions = _predict(config, workspace, images, fitted)
    paths = _write(stage.folder, predictions, fitted, training)
    result = stage.finish(paths, _summary(config, images, fitted), device=resolve_device(config.device))
    remove_states(stage.folder)
    return result


def _recorded(config: ClassifierConfig, fitted: Fitted) -> dict[str, Any]:
    """The settings as they were in effect: where epochs count, the steps are those that these came to."""
    settings = {name: getattr(config, name) for name in RECORDED_SETTINGS}
    return settings | {"max_train_steps": fitted.max_train_steps}


def _predict(config: ClassifierConfig, workspace: Workspace, images: CellImages, fitted: Fitted) -> pd.DataFrame:
    rows = pd.concat([images.validation, images.test], ignore_index=True)
    logits = predict_logits(fitted.model, resident_images(workspace, rows))
    cell: dict[str, Any] = {name: getattr(config, name) for name in CELL_COLUMNS}
    if config.extra_schedule == "two_stage":
        cell["synthetic_share"] = config.two_stage_fraction
    return prediction_table(rows, logits, config.labels, {**cell, "test_sha256": images.test_sha256})


def _write(folder: Path, predictions: pd.DataFrame, fitted: Fitted, training: dict[str, Any]) -> list[Path]:
    paths = [folder / name for name in ("model.safetensors", "predictions.parquet", "history.csv", "training.json")]
    write_weights(paths[0], fitted.model.state_dict())
    with write_atomic(paths[1]) as temporary:
        predictions.to_parquet(temporary, index=False)
    with write_atomic(paths[2]) as temporary:
        pd.DataFrame([asdict(look) for look in fitted.history]).to_csv(temporary, index=False)
    write_json_atomic(paths[3], training)
    return paths


def _summary(config: ClassifierConfig, images: CellImages, fitted: Fitted) -> dict[str, Any]:
    return {
        "cell": config.cell,
        "arm": config.arm,
        "training_size": config.training_size,
        "n_train_images": len(images.train),
        "n_extra_images": len(images.extra),
        "n_validation_images": len(images.validation),
        "n_test_images": len(images.test),
        "real_images_total": images.real_images_total(),
        "best_step": getattr(fitted.best, "step", None),
        "stopped_at_step": fitted.stopped_at_step,
        "validation_macro_auroc": fitted.best.validation_macro_auroc,
        "validation_log_loss": fitted.best.validation_log_loss,
        "test_reads": 1,
    }
