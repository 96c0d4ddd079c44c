"""B7: a learning curve's cells by warm workers, beside one process per cell and one process for all by stock code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tenfold.bench.figures import Figures, Row, describe_machine, interleaved
from tenfold.bench.phantom_material import phantom_workspace, rows_of
from tenfold.classification.config import ClassifierConfig
from tenfold.core.device import THREAD_VARIABLES
from tenfold.core.environment import describe_environment
from tenfold.core.errors import StageError
from tenfold.core.executor import ProcessExecutor, usable_cores
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.progress import NullProgress, Progress
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import label_indices
from tenfold.data.subsets import nested_subset
from tenfold.metrics.catalog import METRICS

MODEL = "lcnet_050"
TRAINING_SIZES = (5, 10, 20)
ARMS = ("none", "paper")
SEEDS = 10
STEPS, BATCH, LOOK_EVERY, WARMUP = 40, 16, 10, 10
IMAGES = {"train": 40, "validation": 10, "test": 25}
TARGET = "S >= 3"
_SETTINGS = {"learning_rate": 1e-3, "weight_decay": 0.05, "label_smoothing": 0.1}
_CONFIDENCE = 0.99

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sweep:
    """A workspace and its cells: as the stage takes them, and as the stock script does. truth: of the test images."""

    workspace: Workspace
    configs: tuple[ClassifierConfig, ...]
    stock: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...]
    test_ids: tuple[str, ...]
    truth: NDArray[np.int64]


def measure(repeats: int, threads: int | None, progress: Progress, seeds: int = SEEDS, steps: int = STEPS) -> Figures:
    """The three ways with as many workers, processes or threads; every start of Python counts.

    seeds: for each training size, with and without transforms.
    """
    count = threads or usable_cores()
    with tempfile.TemporaryDirectory(prefix="tenfold-b7-") as folder:
        sweep = make_sweep(Path(folder) / "workspace", seeds, steps)
        found: dict[str, list[Floats]] = {}

        def ours() -> None:
            found["ours"] = by_warm_workers(sweep, count)

        def one_each() -> None:
            with ThreadPoolExecutor(count) as pool:
                answers = pool.map(lambda cell: by_stock(Path(folder), [cell], 1)[0], sweep.stock)
                found["S"] = list(answers)

        def all_in_one() -> None:
            found["T"] = by_stock(Path(folder), sweep.stock, count)

        with progress.task("B7", repeats * 3) as task:
            timings = interleaved(
                {"ours": ours, "S": one_each, "T": all_in_one},
                repeats,
                task,
                prepare=lambda _: shutil.rmtree(sweep.workspace.resolve("classifiers"), ignore_errors=True),
            )
    check, is_equal = _compared(sweep, found)
    return Figures(
        name="B7",
        title="a learning curve's cells; smoke test on the CPU, ratios are no GPU figures",
        machine=describe_machine(count),
        threads=count,
        repeats=repeats,
        rows=(
            Row(
                what=f"{len(sweep.configs)} cells of {steps} steps x {BATCH} images of 64 px, {MODEL}, starts included",
                unit="cells",
                units=len(sweep.configs),
                seconds=timings.wall,
                cpu_seconds=timings.cpu,
                target=TARGET,
                check=check,
                is_equal=is_equal,
            ),
        ),
        environment=describe_environment(),
    )


def make_sweep(folder: Path, seeds: int, steps: int) -> Sweep:
    """Cells of every training size, arm and seed; subsets are nested within a seed."""
    workspace = phantom_workspace(folder, **IMAGES)
    by_split, labels = rows_of(workspace)
    train, validation, test = (by_split[name] for name in ("train", "val", "test"))
    configs, stock, cell_seeds = [], [], []
    for size in TRAINING_SIZES:
        for arm in ARMS:
            for seed in range(seeds):
                ids = nested_subset(train, per_class=size, seed=seed)
                rows = train.set_index("image_id").loc[ids].reset_index()
                config = _config(f"{arm}-n{size}-s{seed}", arm, labels, size, seed)
                config = config.model_copy(
                    update={
                        "train_ids": tuple(ids),
                        "validation_ids": tuple(validation["image_id"].astype(str)),
                        "max_train_steps": steps,
                    }
                )
                configs.append(config)
                cell_seeds.append(seed)
                files = {
                    f"{name}_{what}": values
                    for name, own in (("train", rows), ("validation", validation), ("test", test))
                    for what, values in (
                        ("files", [str(workspace.resolve(str(path))) for path in own["path"]]),
                        ("labels", label_indices(own, labels).tolist()),
                    )
                }
                stock.append(files | _stock_settings(config))
    test_ids = tuple(test["image_id"].astype(str))
    truth = label_indices(test, labels)
    return Sweep(workspace, tuple(configs), tuple(stock), tuple(cell_seeds), test_ids, truth)


def by_warm_workers(sweep: Sweep, workers: int) -> list[Floats]:
    """The stage itself on an executor; probabilities (N, C) of the test images by cell."""
    tasks = [(sweep.workspace.path, config) for config in sweep.configs]
    with ProcessExecutor(workers) as executor:
        for _ in executor.map(_train, tasks):
            pass
    return [_test_probs(sweep, config) for config in sweep.configs]


def by_stock(folder: Path, cells: Sequence[dict[str, Any]], threads: int) -> list[Floats]:
    """The stock script in a process of its own.

    Raises:
        StageError: it failed.
    """
    with tempfile.TemporaryDirectory(dir=folder) as own:
        given, made = Path(own) / "cells.json", Path(own) / "out.json"
        write_json_atomic(given, list(cells))
        done = subprocess.run(
            [sys.executable, "-m", "tenfold.bench.b7_stock", str(given), str(made), str(threads)],
            env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise StageError(f"the stock script failed: {done.stderr.strip()[-500:]}", expected="exit code 0")
        return [np.array(result["probs"]) for result in read_json(made)]


def _train(task: tuple[Path, ClassifierConfig]) -> None:
    from tenfold.classification.run import run
    from tenfold.core.executor import SerialExecutor

    run(task[1], Workspace.open(task[0]), SerialExecutor(), NullProgress())


def _config(name: str, arm: str, labels: tuple[str, ...], size: int, seed: int) -> ClassifierConfig:
    return ClassifierConfig.model_validate(
        {
            "cell": name,
            "arm": f"real_{arm}",
            "labels": labels,
            "training_size": size,
            "classifier_seed": seed,
            "train_ids": ("0",),
            "validation_ids": ("0",),
            "transforms": arm,
            "model": MODEL,
            "pretrained": False,
            "freeze_blocks": 0,
            "batch_size": BATCH,
            "lr_warmup_steps": WARMUP,
            "evaluate_every_steps": LOOK_EVERY,
            "device": "cpu",
            **_SETTINGS,
        }
    )


def _stock_settings(config: ClassifierConfig) -> dict[str, Any]:
    return {
        "name": config.cell,
        "model": MODEL,
        "seed": config.classifier_seed,
        "class_count": len(config.labels),
        "size_px": 64,
        "transforms": config.transforms,
        "steps": config.max_train_steps,
        "batch_size": BATCH,
        "look_every": LOOK_EVERY,
        "warmup_steps": WARMUP,
        **_SETTINGS,
    }


def _test_probs(sweep: Sweep, config: ClassifierConfig) -> Floats:
    table = pd.read_parquet(sweep.workspace.resolve(f"classifiers/{config.cell}/predictions.parquet"))
    rows = table[table["split"] == "test"].set_index("image_id").loc[list(sweep.test_ids)]
    return rows[[f"prob.{label}" for label in config.labels]].to_numpy(dtype=np.float64)


def _compared(sweep: Sweep, found: dict[str, list[Floats]]) -> tuple[str, bool]:
    """Mean test AUC of each way, and whether each stock way's is within the interval that the seeds leave open."""
    by_seed = {way: _mean_by_seed(sweep, probs) for way, probs in found.items()}
    texts, is_equal = [f"test AUC {by_seed['ours'].mean():.3f}"], True
    for way in ("S", "T"):
        gap = by_seed["ours"].mean() - by_seed[way].mean()
        freedom = 2 * len(by_seed[way]) - 2
        spread = np.sqrt((by_seed["ours"].var(ddof=1) + by_seed[way].var(ddof=1)) / len(by_seed[way]))
        width = float(stats.t.ppf((1 + _CONFIDENCE) / 2, freedom) * spread)
        texts.append(
            f"{way} {by_seed[way].mean():.3f} (difference {gap:+.3f}, {_CONFIDENCE:.0%} interval +-{width:.3f})"
        )
        is_equal &= bool(abs(gap) <= width)
    return ", ".join(texts), is_equal


def _mean_by_seed(sweep: Sweep, probs: Sequence[Floats]) -> Floats:
    """Mean macro AUROC over sizes and arms, of each seed."""
    auroc = np.array([METRICS["macro_auroc"].point(sweep.truth, one) for one in probs])
    seeds = np.array(sweep.seeds)
    return np.array([auroc[seeds == seed].mean() for seed in np.unique(seeds)])
