"""Measures the phantom's difficulty: real-only learning curves of a thumbnail probe and of a small net from scratch.

Run, with one thread (the figures in docs/phantom.md):
OMP_NUM_THREADS=1 PYTHONPATH=src python scripts/phantom_difficulty.py --seeds 0 1 --out docs/phantom_difficulty.json
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from tenfold.data.phantom import COMMON, EMERGING, PhantomImage, make_cohort

SIZES = (8, 32, 128, 200)
TEST_IMAGES_PER_CLASS = 120
BATCH = 32


class Block(nn.Module):
    """Residual block of two 3x3 convolutions with GroupNorm; halves the side when stride is 2."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False), nn.GroupNorm(8, channels_out), nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False), nn.GroupNorm(8, channels_out),
        )  # fmt: skip
        self.skip = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.skip(x))


class SmallNet(nn.Module):
    """A ResNet of 0.31 M parameters; images (B, 3, H, W) in [-1, 1] to logits (B, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.GroupNorm(8, 24), nn.ReLU(),
            Block(24, 32, 1), Block(32, 64, 2), Block(64, 128, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Dropout(0.2), nn.Linear(128, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.net(x))


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", FutureWarning)
    labels = COMMON if arguments.common else EMERGING
    results: list[dict[str, float | int | str]] = []
    for seed in arguments.seeds:
        train = make_cohort(dict.fromkeys(labels, max(arguments.sizes)), seed=seed, name="train")
        test = make_cohort(dict.fromkeys(labels, TEST_IMAGES_PER_CLASS), seed=seed, name="test")
        for size in arguments.sizes:
            chosen = [image for label in labels for image in [i for i in train if i.label == label][:size]]
            started = time.perf_counter()
            row: dict[str, float | int | str] = {"seed": seed, "size": size, "test_images": len(test)}
            row["train_patients"] = len({image.patient_id for image in chosen})
            row["test_patients"] = len({image.patient_id for image in test})
            row["probe_auc"] = thumbnail_probe(chosen, test, labels)
            if not arguments.probe_only:
                row["net_auc"], row["net_accuracy"] = small_net(chosen, test, labels, seed, arguments.steps)
            row["seconds"] = round(time.perf_counter() - started, 1)
            results.append(row)
            print(json.dumps(row), flush=True)
    record = {"labels": labels, "steps": arguments.steps, "batch": BATCH, "results": results}
    if arguments.out:
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")


def thumbnail_probe(train: list[PhantomImage], test: list[PhantomImage], labels: tuple[str, ...]) -> float:
    """Macro one-vs-rest AUC of a logistic regression on 8x8 thumbnails; C by cross-validation on training images."""
    folds = min(5, min(sum(i.label == label for i in train) for label in labels))
    probe = make_pipeline(
        StandardScaler(), LogisticRegressionCV(Cs=np.logspace(-5, 1, 7).tolist(), cv=folds, max_iter=400)
    )
    probe.fit(_thumbnails(train), _targets(train, labels))
    return _macro_auc(probe.predict_proba(_thumbnails(test)), _targets(test, labels))


def small_net(
    train: list[PhantomImage], test: list[PhantomImage], labels: tuple[str, ...], seed: int, steps: int
) -> tuple[float, float]:
    """Macro AUC and accuracy of a net trained from scratch with transforms; the last weights, no early stopping."""
    torch.manual_seed(seed)
    net = SmallNet(len(labels))
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    images, targets = _tensor(train), torch.from_numpy(_targets(train, labels))
    for _ in range(steps):
        rows = torch.randint(len(images), (BATCH,))
        loss = functional.cross_entropy(net(augment(images[rows])), targets[rows], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        views = _tensor(test)
        scores = torch.cat([(net(part).softmax(1) + net(part.flip(3)).softmax(1)) / 2 for part in views.split(100)])
    truth = _targets(test, labels)
    return _macro_auc(scores.numpy(), truth), round(float((scores.argmax(1).numpy() == truth).mean()), 4)


def augment(images: Tensor) -> Tensor:
    """Random rotation, scale, shift and flip, brightness, contrast and channel jitter of (B, 3, H, W) in [-1, 1]."""
    count = len(images)
    angle, scale = (torch.rand(count) - 0.5) * 2 * torch.pi, 0.8 + 0.35 * torch.rand(count)
    flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = (torch.rand(count, 2) - 0.5) * 0.3
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([cos * flip, -sin, shift[:, 0], sin * flip, cos, shift[:, 1]], 1).view(count, 2, 3)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gain = (0.85 + 0.3 * torch.rand(count, 1, 1, 1)) * (0.95 + 0.1 * torch.rand(count, 3, 1, 1))
    return moved * gain + (torch.rand(count, 1, 1, 1) - 0.5) * 0.2


def _thumbnails(images: list[PhantomImage]) -> NDArray[np.float64]:
    stack = np.stack([image.image for image in images]).astype(np.float64)
    side = stack.shape[1] // 8
    thumbnails: NDArray[np.float64] = (
        stack.reshape(len(stack), 8, side, 8, side, 3).mean(axis=(2, 4)).reshape(len(stack), -1)
    )
    return thumbnails


def _targets(images: list[PhantomImage], labels: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([labels.index(image.label) for image in images], dtype=np.int64)


def _tensor(images: list[PhantomImage]) -> Tensor:
    return torch.from_numpy(np.stack([image.image for image in images])).permute(0, 3, 1, 2).float() / 127.5 - 1


def _macro_auc(scores: NDArray[np.floating], targets: NDArray[np.int64]) -> float:
    scores = scores / scores.sum(axis=1, keepdims=True)
    return round(float(roc_auc_score(targets, scores, multi_class="ovr", average="macro")), 4)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--common", action="store_true", help="the common conditions instead of the emerging ones")
    parser.add_argument("--probe-only", action="store_true", help="the thumbnail probe alone (seconds)")
    parser.add_argument("--out", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
