"""A cell trained on blobs, and its answers: what the tests of predicting and exporting both stand on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.classification.config import ClassifierConfig
from tenfold.classification.predicting import predict_files
from tenfold.classification.predictor import Predictor
from tenfold.classification.run import run
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tests.unit.classification.blobs import LABELS, ids_of, real_rows

CELL = "real-n12-s0"
QUIET = NullProgress()


def train(workspace: Workspace, **changes: Any) -> None:
    """The cell `CELL`, or another one with other settings."""
    settings: dict[str, Any] = {
        "cell": CELL, "arm": "real_only", "labels": LABELS, "training_size": 12, "classifier_seed": 11,
        "train_ids": ids_of(workspace, "train", per_class=12), "validation_ids": ids_of(workspace, "val", per_class=8),
        "transforms": "none", "max_train_steps": 30, "batch_size": 12, "learning_rate": 5e-3,
        "evaluate_every_steps": 10, "device": "cpu",
    }  # fmt: skip
    run(ClassifierConfig(**(settings | changes)), workspace, SerialExecutor(), QUIET)


def image_files(workspace: Workspace, split: str) -> list[Path]:
    """The files of a split."""
    rows = real_rows(workspace)
    return [workspace.resolve(str(path)) for path in rows.loc[rows["split"] == split, "path"]]


def answers(predictor: Predictor, files: list[Path]) -> pd.DataFrame:
    """The table of a predictor's answers."""
    with QUIET.task("", 1) as task:
        return pd.concat([batch.table for batch in predict_files(predictor, files, task)], ignore_index=True)
