"""Fitting a cell: its images chosen and loaded, its network built and trained as the configuration says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from tenfold.classification.building import build_model, pretrained_from, weight_files
from tenfold.classification.config import ClassifierConfig
from tenfold.classification.frozen import PENALTIES, HeadImages, HeadLook, fit_head
from tenfold.classification.optimizing import Optimization
from tenfold.classification.resident import resident_images
from tenfold.classification.selection import (
    CellImages,
    check_budget,
    choose_images,
    first_of_each_class,
    read_real_images,
)
from tenfold.classification.training import Checkpoint, TrainingImages, TrainingSettings, drawn_shares, fit
from tenfold.core.device import resolve_device
from tenfold.core.errors import DataError, DesignError, InputError
from tenfold.core.progress import Progress
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import label_indices
from tenfold.data.manifest import read_manifest
from tenfold.data.mixing import equalizing_weights
from tenfold.data.verdicts import kept_out_files, read_filtered
from tenfold.models.feature_cache import FOLDER as FEATURE_CACHE

MANIFEST, SPLIT = "data/manifest.parquet", "data/splits.json"


@dataclass(frozen=True)
class Fitted:
    """A trained model with what is told of it. best, history: looks at the validation images.

    max_train_steps: the steps it was to take; stopped_at_step: those it took; None both for a head that was solved.
    """

    model: nn.Module
    best: Checkpoint | HeadLook
    history: list[Checkpoint] | list[HeadLook]
    max_train_steps: int | None
    stopped_at_step: int | None
    pretrained_from: dict[str, str | None]


def cell_inputs(config: ClassifierConfig, workspace: Workspace) -> list[Path]:
    """Every file and folder that a cell reads, but for the images themselves."""
    named = [MANIFEST, SPLIT, *config.extra_manifests, *([config.extra_weights] if config.extra_weights else [])]
    heeded = kept_out_files(workspace, config.extra_manifests) if config.extra_review == "filtered" else []
    return [*(workspace.resolve(path) for path in named), *heeded, *weight_files(config)]


def cell_images(config: ClassifierConfig, workspace: Workspace, *, needs_test: bool = True) -> CellImages:
    """The manifest rows of a cell, checked; without test rows when they are not needed.

    Images that are kept out go before so many of each class are taken: where the set holds more, others come instead.

    Raises:
        DataError: images are missing, of another split than their use allows, or descend from outside of training.
        DesignError: the generator saw more real images than the arm.
    """
    real, test_sha256 = read_real_images(workspace.resolve(MANIFEST), workspace.resolve(SPLIT), config.labels)
    is_filtered = config.extra_review == "filtered"
    extra = [
        read_filtered(workspace, path) if is_filtered else read_manifest(workspace.resolve(path))
        for path in config.extra_manifests
    ]
    if config.extra_per_class:
        pairs = zip(extra, config.extra_per_class, strict=True)
        extra = [first_of_each_class(rows, count, config.generator_seed) for rows, count in pairs]
    images = choose_images(
        real if needs_test else real[real["split"] != "test"],
        test_sha256 if needs_test else None,
        train_ids=config.train_ids,
        validation_ids=config.validation_ids,
        extra_ids=config.extra_ids,
        extra=extra,
    )
    if config.generator_budget == "strict":
        check_budget(images, config.budget_ids)
    return images


def fit_cell(
    config: ClassifierConfig,
    workspace: Workspace,
    images: CellImages,
    progress: Progress,
    *,
    folder: Path | None = None,
    on_look: Callable[[Checkpoint], None] | None = None,
) -> Fitted:
    """Train the cell's classifier; the model is on its device, in evaluation mode, as the validation images chose it.

    folder: where states are kept to go on from; None: nowhere. on_look is told every look of a stepwise training.

    Raises:
        DesignError: the share of extra images cannot be drawn from these images.
        CheckpointError: the starting weights cannot be used.
        StageError: the loss is no number.
    """
    device = torch.device(resolve_device(config.device))
    if config.mixed_precision == "fp16" and device.type == "cpu":
        raise InputError("fp16 needs a GPU", where="classify.mixed_precision", todo="set it to no, or to bf16")
    model = build_model(config)
    start = pretrained_from(config, model)
    model = model.to(device).to(memory_format=torch.channels_last)
    data = _load(config, workspace, images)
    settings = _settings(config, len(data.labels))
    shares = drawn_shares(data, settings)
    class_weights = _class_weights(data, shares, len(config.labels)) if config.loss_weights == "balanced" else None
    if config.train == "head" and config.transforms != "strong":
        weighed = shares if class_weights is None else shares * class_weights[data.labels]
        best_look, looks = _solve(config, workspace, model, data, weighed / weighed.sum(), progress)
        return Fitted(model, best_look, looks, None, None, start)
    if class_weights is not None:
        settings = replace(settings, class_weights=tuple(map(float, class_weights)))
    with progress.task(f"Training {config.cell}", settings.max_train_steps) as task:
        done = fit(model, data, settings, task, folder=folder, on_look=on_look)
    return Fitted(model, done.best, done.history, settings.max_train_steps, done.stopped_at_step, start)


def steps_of(config: ClassifierConfig, image_count: int) -> int:
    """Optimizer steps on so many training images: those of the passes over them where epochs count."""
    if config.max_train_epochs is None:
        return config.max_train_steps
    return math.ceil(config.max_train_epochs * image_count / config.batch_size)


def _solve(
    config: ClassifierConfig,
    workspace: Workspace,
    model: nn.Module,
    data: TrainingImages,
    shares: NDArray[np.float64],
    progress: Progress,
) -> tuple[HeadLook, list[HeadLook]]:
    """The last layer on frozen features, made once for the workspace."""
    with progress.task(f"Training {config.cell}", len(PENALTIES)) as task:
        return fit_head(
            model,
            HeadImages(
                images=data.images,
                labels=data.labels,
                shares=shares,
                validation_images=data.validation_images,
                validation_labels=data.validation_labels,
            ),
            views=config.feature_views if config.transforms == "paper" else 0,
            label_smoothing=config.label_smoothing,
            seed=derive_seed(config.classifier_seed, "head"),
            cache_folder=workspace.resolve(FEATURE_CACHE),
            progress=task,
        )


def _load(config: ClassifierConfig, workspace: Workspace, images: CellImages) -> TrainingImages:
    parts = [rows for rows in (images.train, images.extra) if len(rows)]
    rows = pd.concat(parts, ignore_index=True)
    labels = label_indices(rows, config.labels)
    count = len(images.train)
    real_labels, extra_labels = labels[:count].tolist(), labels[count:].tolist()
    extra_weights: NDArray[np.float64] | None = None
    if config.extra_weights is not None:
        extra_weights = _read_weights(workspace.resolve(config.extra_weights), images.extra)
    real_weights = None
    if config.balance_by is not None:
        real_weights = equalizing_weights(real_labels, _values(images.train, config.balance_by))
        extra_weights = equalizing_weights(extra_labels, _values(images.extra, config.balance_by), extra_weights)
    return TrainingImages(
        images=resident_images(workspace, rows),
        labels=labels,
        real_count=count,
        validation_images=resident_images(workspace, images.validation),
        validation_labels=label_indices(images.validation, config.labels),
        real_weights=real_weights,
        extra_weights=extra_weights,
    )


def _settings(config: ClassifierConfig, image_count: int) -> TrainingSettings:
    return TrainingSettings(
        max_train_steps=steps_of(config, image_count),
        batch_size=config.batch_size,
        evaluate_every_steps=config.evaluate_every_steps,
        extra_share=config.synthetic_share,
        transforms=config.transforms,
        class_count=len(config.labels),
        seed=config.classifier_seed,
        optimization=Optimization(
            name=config.optimizer,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            layer_decay=config.layer_decay,
            gradient_clip=config.gradient_clip,
            mixed_precision=config.mixed_precision,
        ),
        lr_scheduler=config.lr_scheduler,
        lr_warmup_steps=config.lr_warmup_steps,
        label_smoothing=config.label_smoothing,
        sampling=config.sampling,
        two_stage_fraction=config.two_stage_fraction if config.extra_schedule == "two_stage" else None,
        ema_decay=config.ema_decay,
        early_stopping_looks=config.early_stopping_looks,
        checkpointing_steps=config.checkpointing_steps,
    )


def _class_weights(data: TrainingImages, shares: NDArray[np.float64], class_count: int) -> NDArray[np.float64]:
    """Weights (C,) by which every class counts alike in the loss, however often it is drawn; 1 where it never is."""
    drawn = np.bincount(data.labels, weights=shares, minlength=class_count)
    return np.divide(1.0, class_count * drawn, out=np.ones(class_count), where=drawn > 0)


def _read_weights(path: Path, extra: pd.DataFrame) -> NDArray[np.float64]:
    """How often each extra image is drawn (N,), from a Parquet with image_id and weight."""
    expected = "a Parquet with image_id and weight, a number from 0 to 1, for every extra image"
    try:
        table = pd.read_parquet(path, columns=["image_id", "weight"])
    except Exception as error:
        raise DataError(f"the weights cannot be read: {error}", where=str(path), expected=expected) from error
    known = dict(zip(table["image_id"].astype(str), table["weight"].astype(float), strict=True))
    ids = extra["image_id"].astype(str).tolist()
    absent = [image_id for image_id in ids if image_id not in known]
    if absent:
        raise DataError(
            f"{len(absent)} extra images have no weight",
            where=f"{path}: {', '.join(absent[:5])}",
            expected=expected,
            todo="make the weights again for these images",
        )
    weights = np.array([known[image_id] for image_id in ids])
    if not ((weights >= 0) & (weights <= 1)).all():
        raise DataError("weights lie outside of 0 to 1", where=str(path), expected=expected)
    return weights


def _values(rows: pd.DataFrame, column: str) -> list[str]:
    """The column's values as text; unknown ones are a value of their own."""
    if column not in rows:
        raise DesignError(
            f"the manifest has no column {column!r}", where="classify.balance_by", expected=", ".join(rows.columns)
        )
    values: Any = rows[column].astype("string").fillna("")
    return [str(value) for value in values]
