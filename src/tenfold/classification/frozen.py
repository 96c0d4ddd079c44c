"""A head on a frozen backbone: features once, the penalty chosen on validation images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tenfold.classification.heads import Head, HeadProblem, solve_heads
from tenfold.classification.prediction import softmax
from tenfold.core.progress import TaskProgress
from tenfold.core.seeds import derive_seed
from tenfold.metrics.catalog import METRICS
from tenfold.models.feature_cache import Views, features_of, last_layer

PENALTIES = tuple(10.0 ** (power / 2) for power in range(-8, 3))
"""Tried for every head, 1e-4 to 10: l2 beside a mean loss over standardized features."""


@dataclass(frozen=True)
class HeadImages:
    """Training pixels (N, H, W, 3) uint8 with class numbers (N,) and expected shares of a batch (N,), which sum to 1.

    Validation pixels and class numbers likewise, without shares.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    shares: NDArray[np.float64]
    validation_images: NDArray[np.uint8]
    validation_labels: NDArray[np.int64]


@dataclass(frozen=True)
class HeadLook:
    """One penalty tried. loss: of the training images, without the penalty."""

    l2: float
    loss: float
    validation_macro_auroc: float
    validation_log_loss: float
    iterations: int

    @property
    def rank(self) -> tuple[float, float, float]:
        """The higher, the better: AUROC first, then a low log loss, then the stronger penalty."""
        return self.validation_macro_auroc, -self.validation_log_loss, self.l2


def fit_head(
    model: nn.Module,
    data: HeadImages,
    *,
    views: int,
    label_smoothing: float,
    seed: int,
    cache_folder: Path | None,
    progress: TaskProgress,
) -> tuple[HeadLook, list[HeadLook]]:
    """Solve the last layer of a classifier whose other layers stay; the best look by validation, and all of them.

    The model ends in evaluation mode with that head in its last layer (features are standardized for the solving and
    the head is scaled back). The minimum is unique: no order of batches and no start decides it.

    Args:
        views: changed views of each training image (the "paper" transforms), keyed by seed, pixels and number; 0: the
            images as they are.
        cache_folder: the workspace's `cache/features`; None keeps nothing.
        progress: advanced once per penalty (`len(PENALTIES)` in all).

    Raises:
        DataError: a class has no training image, or features are no numbers.
        InputError: the model's last layer is not linear.
    """
    features, labels, shares = _training_rows(model, data, views, seed, cache_folder)
    center = shares @ features
    scale = np.sqrt(shares @ np.square(features - center))
    scale[scale <= np.finfo(np.float32).eps * np.abs(center)] = np.inf  # a constant feature says nothing
    layer = last_layer(model)
    problem = HeadProblem(np.arange(len(labels)), labels, layer.out_features, shares, label_smoothing)
    heads = solve_heads((features - center) / scale, [problem] * len(PENALTIES), PENALTIES)
    validation = (features_of(model, data.validation_images, cache_folder) - center) / scale
    looks = []
    for l2, head in zip(PENALTIES, heads, strict=True):
        looks.append(_look(l2, head, softmax(head.logits(validation)), data.validation_labels))
        progress.advance()
    best = max(range(len(looks)), key=lambda number: looks[number].rank)
    coefficients = heads[best].coefficients / scale
    _write_layer(layer, coefficients, heads[best].intercepts - coefficients @ center)
    model.eval()
    return looks[best], looks


def _training_rows(
    model: nn.Module, data: HeadImages, views: int, seed: int, cache_folder: Path | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Features (N x views, D), labels and shares of the images that are drawn at all; shares sum to 1."""
    drawn = np.flatnonzero(data.shares > 0)
    wanted = Views(views, derive_seed(seed, "feature-views")) if views else None
    features = features_of(model, data.images[drawn], cache_folder, wanted)
    count = max(views, 1)
    shares = np.repeat(data.shares[drawn] / count, count)
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    return flat, np.repeat(data.labels[drawn], count), shares / shares.sum()


def _look(l2: float, head: Head, probs: NDArray[np.float64], truth: NDArray[np.int64]) -> HeadLook:
    auroc, log_loss = (METRICS[name].point(truth, probs) for name in ("macro_auroc", "log_loss"))
    return HeadLook(l2, head.loss, auroc, log_loss, head.iterations)


def _write_layer(layer: nn.Linear, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    """Into the layer's own type; a layer without a bias gets one."""
    kept: nn.Parameter | None = layer.bias
    if kept is None:
        layer.bias = kept = nn.Parameter(layer.weight.new_zeros(layer.out_features))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        kept.copy_(torch.from_numpy(bias))
