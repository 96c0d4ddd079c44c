"""The teacher stage: cross-fitted classifiers say how surely each extra image shows the class that it was made for.

The real training images are dealt into folds by group. Each teacher, a ridge-penalized logistic regression on frozen
features, learns from all folds but one, so that it can judge what was made from that fold's images without having seen
these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import softmax
from torch import nn

from tenfold.classification.selection import read_real_images
from tenfold.classification.teacher_config import TeacherConfig
from tenfold.core.device import resolve_device
from tenfold.core.errors import DataError, DesignError, Faults
from tenfold.core.executor import Executor
from tenfold.core.files import write_atomic
from tenfold.core.progress import Progress, TaskProgress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import check_one_codec, label_indices, load_images
from tenfold.data.manifest import read_manifest, select_images, unpack_ancestors
from tenfold.data.manifest_checks import check_ancestors
from tenfold.data.split_folds import FEWEST_FOLDS, fold_numbers
from tenfold.data.split_groups import group_keys
from tenfold.metrics.arrays import FloatArray, IntArray
from tenfold.metrics.calibration import fit_temperature
from tenfold.metrics.catalog import METRICS
from tenfold.models import embedded, feature_cache
from tenfold.models.classifier_presets import EMBEDDED_SMALL, NetworkOptions
from tenfold.models.classifiers import build_classifier

STAGE = "teacher"
WEIGHTS = "weights.parquet"
_MANIFEST, _SPLIT = "data/manifest.parquet", "data/splits.json"
_IMAGES_AT_ONCE = 1024

Basis = Literal["ancestors", "parents", "folds", "some_parents"]
"""Whom the teachers behind a weight have not seen: any real image behind the extra one; those that it starts from,
though its generator learned from others; nobody in particular, so that all teachers are asked; or each only some of
those that it starts from, because these lie in several folds."""


def run(config: TeacherConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write classifiers/<name>/weights.parquet: image_id, label, weight, predicted, basis of every extra image.

    weight: probability in [0, 1] of the image's own label, the mean over the teachers that its `basis` allows.
    predicted: the likeliest label by the same teachers.

    Raises:
        DataError: images are missing, of another split than training, or of unknown ancestry.
        DesignError: too few groups of patients, lesions or near-duplicates to leave some out.
        CheckpointError: the features' weights cannot be used.
    """
    paths = [workspace.resolve(path) for path in (_MANIFEST, _SPLIT)]
    extra_paths = [workspace.resolve(path) for path in config.extra_manifests]
    inputs = [*paths, *extra_paths, *_weight_files(config)]
    stage = begin_stage(workspace, STAGE, f"classifiers/{config.name}", config, inputs, seed=config.seed)
    if stage.is_finished:
        return stage.result()
    real, _ = read_real_images(paths[0], paths[1], config.labels)
    train, extra = _rows(config, real, [read_manifest(path) for path in extra_paths])
    fold_of = deal_folds(real, train, folds=config.folds, seed=config.seed)
    device = resolve_device(config.device)
    net = build_classifier(
        config.model,
        len(config.labels),
        pretrained=config.pretrained,
        weights=Path(config.weights).expanduser() if config.weights else None,
        seed=config.seed,
        options=NetworkOptions(config.image_size_px, None, None, dict(config.model_options)),
    ).to(device)
    with progress.task(f"Teacher {config.name}", len(train) + len(extra)) as task:
        labels = label_indices(train, config.labels)
        folds = np.array([fold_of[str(image_id)] for image_id in train["image_id"]], dtype=np.int64)
        features = _features(net, workspace, train, task)
        teachers = fit_teachers(features, labels, folds, l2=config.l2)
        own_logits = teacher_logits(teachers, features)[folds, np.arange(len(train))]
        # Answers that are all right tell no temperature: any sharpening would only make them righter.
        is_told = bool((own_logits.argmax(axis=1) != labels).any())
        temperature = fit_temperature(own_logits, labels) if is_told else 1.0
        weights = _weigh(net, workspace, extra, task, (teachers / temperature, fold_of, config.labels))
    path = stage.folder / WEIGHTS
    with write_atomic(path) as temporary:
        weights.to_parquet(temporary, index=False)
    probs = softmax(own_logits / temperature, axis=-1)
    summary = {
        "teachers": len(teachers),
        "n_train_images": len(train),
        "n_weighed": len(weights),
        "temperature": temperature,
        **{f"unseen_real_{name}": METRICS[name].point(labels, probs) for name in ("accuracy", "macro_auroc")},
        "mean_weight": {label: float(rows["weight"].mean()) for label, rows in weights.groupby("label")},
        "shown_as_asked": float((weights["predicted"] == weights["label"]).mean()),
        "basis": {str(basis): int(count) for basis, count in weights["basis"].value_counts().sort_index().items()},
    }
    return stage.finish([path], summary, device=device)


def deal_folds(real: pd.DataFrame, train: pd.DataFrame, *, folds: int, seed: int) -> dict[str, int]:
    """The fold of every training image, and of every other real image that belongs together with one.

    Whole groups are dealt out; into fewer folds where a class has fewer groups.

    Raises:
        DesignError: a class has too few groups to leave some out.
    """
    key_of = dict(zip(real["image_id"].astype(str), group_keys(real).astype(str), strict=True))
    ids = train["image_id"].astype(str)
    keys = pd.Series([key_of[image_id] for image_id in ids], index=train.index, dtype="string")
    groups = keys.groupby(train["label"].astype(str)).nunique()
    short = [f"{label!r} has {count}" for label, count in groups.items() if count < FEWEST_FOLDS]
    if short:
        raise DesignError(
            f"no teacher can be cross-fitted: of groups of training images, {', '.join(short)}",
            where="the cell's training images, grouped by patient, lesion and near-duplicates",
            expected=f"at least {FEWEST_FOLDS} groups of every class",
            todo="use a larger training size for arms that are weighted by a teacher",
        )
    numbers = fold_numbers(train, min(folds, int(groups.min())), seed=seed, keys=keys)
    fold_of_key = {key_of[str(image_id)]: int(number) for image_id, number in numbers.items()}
    return {image_id: fold_of_key[key] for image_id, key in key_of.items() if key in fold_of_key}


def fit_teachers(features: FloatArray, labels: IntArray, folds: IntArray, *, l2: float) -> FloatArray:
    """Teachers (K, D + 1, C): coefficients and, last, intercepts; the k-th learns from images that are not in fold k.

    features: (N, D), standardized for each teacher by the images it learns from; labels: (N,); folds: (N,), 0 to K - 1.
    """
    from sklearn.linear_model import LogisticRegression

    teachers = []
    for fold in range(int(folds.max()) + 1):
        seen, truth = features[folds != fold], labels[folds != fold]
        center, scale = seen.mean(axis=0), seen.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        model = LogisticRegression(C=1 / l2, max_iter=1000).fit((seen - center) / scale, truth)
        slopes, intercepts = model.coef_ / scale, model.intercept_
        if len(slopes) == 1:  # of two classes, the second one's logit against the first one's
            slopes, intercepts = np.vstack([-slopes, slopes]) / 2, np.array([-intercepts[0], intercepts[0]]) / 2
        teachers.append(np.vstack([slopes.T, intercepts - slopes @ center]))
    return np.stack(teachers)


def teacher_logits(teachers: FloatArray, features: FloatArray) -> FloatArray:
    """(K, N, C): every teacher's logits of features (N, D)."""
    logits: FloatArray = features @ teachers[:, :-1] + teachers[:, -1:]
    return logits


def asked_teachers(
    parents: Sequence[str], ancestors: Sequence[str], fold_of: Mapping[str, int], teacher_count: int
) -> tuple[tuple[int, ...], Basis]:
    """The teachers that may judge an image, and why these.

    Args:
        parents: real images that it starts from.
        ancestors: real images that it or its generator has anything of.
        fold_of: the fold of each image that a teacher can know; the k-th knows those of all folds but k.

    >>> asked_teachers(["a"], ["a", "b"], {"a": 2, "b": 0}, 3)
    ((2,), 'parents')
    """
    everyone = tuple(range(teacher_count))
    behind = {fold_of[image_id] for image_id in (*parents, *ancestors) if image_id in fold_of}
    started_from = {fold_of[image_id] for image_id in parents if image_id in fold_of}
    if not behind:
        return everyone, "ancestors"
    if len(behind) == 1:
        return tuple(behind), "ancestors"
    if not started_from:
        return everyone, "folds"
    return tuple(sorted(started_from)), "parents" if len(started_from) == 1 else "some_parents"


def _rows(
    config: TeacherConfig, real: pd.DataFrame, manifests: Sequence[pd.DataFrame]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training rows, and the extra ones; DataError or FaultsError when one of them may not be used."""
    faults = Faults()
    train = select_images(real, config.train_ids)
    wrong = train[train["split"] != "train"]
    if len(wrong):
        faults.add(
            DataError(
                f"{len(wrong)} images of train_ids are not in the split train",
                where=", ".join(wrong["image_id"].astype(str).head(5)),
                expected="a teacher that never sees validation or test images",
            )
        )
    absent = sorted(set(config.labels) - set(train["label"].astype(str)))
    if absent:
        faults.add(DataError(f"there is no training image of {', '.join(absent)}", expected="some of every class"))
    for rows in manifests:
        for error in check_ancestors(rows, real):
            faults.add(error)
    extra = pd.concat(manifests, ignore_index=True).drop_duplicates("image_id", ignore_index=True)
    faults.raise_if_any()
    label_indices(extra, config.labels)
    check_one_codec(train, extra)
    return train, extra


def _features(net: nn.Module, workspace: Workspace, rows: pd.DataFrame, task: TaskProgress) -> FloatArray:
    cache = workspace.resolve(feature_cache.FOLDER)
    features = feature_cache.features_of(net, load_images(workspace, rows), cache)
    task.advance(len(rows))
    return features.astype(np.float64)


def _weigh(
    net: nn.Module,
    workspace: Workspace,
    extra: pd.DataFrame,
    task: TaskProgress,
    panel: tuple[FloatArray, Mapping[str, int], Sequence[str]],
) -> pd.DataFrame:
    """The table of weights. panel: calibrated teachers (K, D + 1, C), the fold of each training image, the classes."""
    teachers, fold_of, labels = panel
    ancestors_of = {cell: unpack_ancestors(cell) or () for cell in extra["ancestors"].dropna().unique()}
    found: list[dict[str, Any]] = []
    for start in range(0, len(extra), _IMAGES_AT_ONCE):
        rows = extra.iloc[start : start + _IMAGES_AT_ONCE]
        probs = softmax(teacher_logits(teachers, _features(net, workspace, rows, task)), axis=-1)
        own = label_indices(rows, labels)
        starts = rows[["parent_id", "background_id"]].astype(object).to_numpy()
        for number, (image_id, cell) in enumerate(zip(rows["image_id"], rows["ancestors"], strict=True)):
            parents = [str(parent) for parent in starts[number] if not pd.isna(parent)]
            asked, basis = asked_teachers(parents, ancestors_of[cell], fold_of, len(teachers))
            mean = probs[list(asked), number].mean(axis=0)
            found.append(
                {
                    "image_id": str(image_id),
                    "label": labels[own[number]],
                    "weight": float(mean[own[number]]),
                    "predicted": labels[int(mean.argmax())],
                    "basis": basis,
                }
            )
    return pd.DataFrame(found)


def _weight_files(config: TeacherConfig) -> list[Path]:
    """The features' weights, whose hashes belong to the run's identity."""
    if config.model == EMBEDDED_SMALL:
        return [embedded.features_path()]
    return [Path(config.weights).expanduser()] if config.weights else []
