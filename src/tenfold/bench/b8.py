"""B8: heads of a learning curve on a frozen backbone: features once and all heads solved together.

S follows what timm's documentation (timm 1.0, "Feature Extraction": `forward_features` on the images of a loader with
timm's own evaluation transform) and scikit-learn's ("StandardScaler, then LogisticRegression") show, for each head.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from tenfold.bench.figures import Figures, Row, Timings, describe_machine, interleaved
from tenfold.bench.phantom_material import phantom_workspace, rows_of
from tenfold.classification.heads import HeadProblem, solve_heads
from tenfold.classification.prediction import softmax
from tenfold.classification.resident import resident_images
from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.environment import describe_environment
from tenfold.core.executor import usable_cores
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import label_indices, load_images
from tenfold.data.subsets import nested_subset
from tenfold.models.classifiers import build_classifier
from tenfold.models.feature_cache import FOLDER, features_of

MODEL = "embedded:small"
IMAGES = {"train": 40, "validation": 10, "test": 25}
TRAINING_SIZES = (5, 10, 20)
SEEDS = 20
PENALTIES = (0.1, 1.0, 10.0, 100.0)
TOLERANCE = 1e-3
PAPER_FEATURES = 458_920
_SIZE_PX = 64
_STOCK_BATCH = 32

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Job:
    """The images with their class numbers, the training images of each head, and the frozen network."""

    model: nn.Module
    workspace: Workspace
    rows: pd.DataFrame
    labels: NDArray[np.int64]
    heads: tuple[NDArray[np.int64], ...]
    """Places of each head's training images in `rows`."""
    held_out: NDArray[np.int64]
    """Places of the validation and test images."""

    @property
    def files(self) -> list[Path]:
        """Of all rows."""
        return [self.workspace.resolve(str(path)) for path in self.rows["path"]]


def measure(
    repeats: int, threads: int | None, progress: Progress, seeds: int = SEEDS, images: dict[str, int] | None = None
) -> Figures:
    """Every head with every penalty, in three ways; ours also with the features in the cache already."""
    count = threads or usable_cores()
    device = resolve_device("auto")
    with limited_threads(count), tempfile.TemporaryDirectory(prefix="tenfold-b8-") as folder:
        job = make_job(Path(folder) / "workspace", seeds, images or IMAGES, device)
        cache = job.workspace.resolve(FOLDER)
        features_of(job.model, load_images(job.workspace, job.rows), cache)
        arrays = stock_features(job, np.arange(len(job.rows)))
        found: dict[str, Floats] = {}

        def keep(way: str, make: Callable[[], Floats]) -> Callable[[], None]:
            def run() -> None:
                found[way] = make()

            return run

        ways = {
            "ours": keep("ours", lambda: ours(job, None)),
            "known": keep("known", lambda: ours(job, cache)),
            "S": keep("S", lambda: stock(job)),
            "T": keep("T", lambda: fit_each(job, stock_features(job, np.arange(len(job.rows))))),
            "T known": keep("T known", lambda: fit_each(job, arrays)),
        }
        for way in ("ours", "known"):
            ways[way]()
        with progress.task("B8", repeats * len(ways)) as task:
            timings = interleaved(ways, repeats, task)
        exact = fit_each(job, arrays, tolerance=1e-10)
    notes = [f"scikit-learn at its default tolerance is {_difference(found['T'], exact):.1e} from the minimum"]
    if device == "cuda":
        rate = len(job.rows) / min(timings.wall["ours"])
        notes.append(f"{PAPER_FEATURES:,} features: {PAPER_FEATURES / rate / 60:.1f} min at this rate")
    return Figures(
        name="B8",
        title=f"{len(job.heads)} heads x {len(PENALTIES)} penalties on frozen features, {len(job.rows)} images",
        machine=describe_machine(count),
        threads=count,
        repeats=repeats,
        rows=_rows(job, timings, found, exact),
        environment=describe_environment(),
        notes=tuple(notes),
    )


def make_job(folder: Path, seeds: int, images: dict[str, int], device: str) -> Job:
    """Nested training sets of each size and seed."""
    workspace = phantom_workspace(folder, **images)
    by_split, labels = rows_of(workspace)
    rows = pd.concat([by_split["train"], by_split["val"], by_split["test"]], ignore_index=True)
    place = {str(image_id): number for number, image_id in enumerate(rows["image_id"])}
    sizes = [size for size in TRAINING_SIZES if size <= images["train"]]
    heads = tuple(
        np.array([place[i] for i in nested_subset(by_split["train"], per_class=size, seed=seed)], dtype=np.int64)
        for size in sizes
        for seed in range(seeds)
    )
    model = build_classifier(MODEL, len(labels), pretrained=True).to(device).to(memory_format=torch.channels_last)
    held_out = np.arange(len(by_split["train"]), len(rows), dtype=np.int64)
    return Job(model.eval(), workspace, rows, label_indices(rows, labels), heads, held_out)


def ours(job: Job, cache: Path | None) -> Floats:
    """Probabilities (heads, penalties, held-out images, C): features once, every head standardized, solved together.

    cache: holds the features already, as this process does the pixels; None: both are new.
    """
    pixels = (load_images if cache is None else resident_images)(job.workspace, job.rows)
    features = features_of(job.model, pixels, cache).astype(np.float64)
    scales = [_standardization(features[head]) for head in job.heads]
    table = np.concatenate(
        [(features[head] - center) / scale for head, (center, scale) in zip(job.heads, scales, strict=True)]
    )
    starts = np.cumsum([0, *map(len, job.heads)])
    classes = int(job.labels.max()) + 1
    problems = [
        HeadProblem(np.arange(start, start + len(head)), job.labels[head], classes)
        for start, head in zip(starts, job.heads, strict=False)
        for _ in PENALTIES
    ]
    solved = solve_heads(table, problems, list(PENALTIES) * len(job.heads))
    held_out = features[job.held_out]
    probs = []
    for number, head in enumerate(solved):
        center, scale = scales[number // len(PENALTIES)]
        probs.append(softmax(head.logits((held_out - center) / scale)))
    return np.array(probs).reshape(len(job.heads), len(PENALTIES), len(held_out), classes)


def stock(job: Job) -> Floats:
    """S: every head loads its images, extracts their features and those of the held-out ones, and is fitted."""
    probs = []
    for head in job.heads:
        features, held_out = stock_features(job, head), stock_features(job, job.held_out)
        probs.append(_fit_penalties(features, job.labels[head], held_out, tolerance=None))
    return np.array(probs)


def fit_each(job: Job, features: NDArray[np.float32], tolerance: float | None = None) -> Floats:
    """T: the same fits on arrays of features."""
    held_out = features[job.held_out]
    return np.array([_fit_penalties(features[head], job.labels[head], held_out, tolerance) for head in job.heads])


def stock_features(job: Job, places: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """Features (n, D) of files by a loader with timm's evaluation transform."""
    from timm.data import create_transform
    from torch.utils.data import DataLoader

    transform = create_transform((3, _SIZE_PX, _SIZE_PX), crop_pct=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    files = job.files
    dataset = _Files([files[place] for place in places], transform)
    parts, device = [], next(job.model.parameters()).device
    network: Any = job.model
    with torch.inference_mode():
        for batch in DataLoader(dataset, batch_size=_STOCK_BATCH):
            parts.append(network.forward_features(batch.to(device)).cpu().numpy())
    return np.concatenate(parts)


class _Files(torch.utils.data.Dataset[torch.Tensor]):
    def __init__(self, files: Sequence[Path], transform: Callable[[Any], torch.Tensor]) -> None:
        self.files = files
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        from PIL import Image

        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB"))


def _fit_penalties(features: Any, labels: Any, held_out: Any, tolerance: float | None) -> list[Floats]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    exact = {} if tolerance is None else {"tol": tolerance}
    given = (features, held_out) if tolerance is None else (features.astype(np.float64), held_out.astype(np.float64))
    probs = []
    for l2 in PENALTIES:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / l2, max_iter=10_000, **exact))
        probs.append(model.fit(given[0], labels).predict_proba(given[1]))
    return probs


def _standardization(rows: Floats) -> tuple[Floats, Floats]:
    scale = rows.std(axis=0)
    return rows.mean(axis=0), np.where(scale > 0, scale, 1.0)


def _difference(left: Floats, right: Floats) -> float:
    return float(np.abs(left - right).max())


def _rows(job: Job, timings: Timings, found: dict[str, Floats], exact: Floats) -> tuple[Row, ...]:
    heads = len(job.heads) * len(PENALTIES)
    rows = []
    for what, ways in (
        ("features and heads", {"ours": "ours", "S": "S", "T": "T"}),
        ("heads, our features in the cache and T's in an array", {"ours": "known", "S": "S", "T": "T known"}),
    ):
        difference = _difference(found[ways["ours"]], exact)
        rows.append(
            Row(
                what=what,
                unit="heads",
                units=heads,
                seconds={name: timings.wall[way] for name, way in ways.items()},
                cpu_seconds={name: timings.cpu[way] for name, way in ways.items()},
                target="S >= 20" if ways["ours"] == "known" else "-",
                check=f"probabilities within {difference:.1e} of scikit-learn's at tolerance 1e-10",
                is_equal=difference <= TOLERANCE,
            )
        )
    return tuple(rows)
