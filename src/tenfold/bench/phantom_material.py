"""Material of the classifier benchmarks: drawn skin lesions of four conditions in a workspace, split and sealed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import labels_of, read_manifest
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.intake.config import IntakeConfig, PhantomConfig, SplitConfig
from tenfold.intake.run import MANIFEST, SPLIT, run
from tenfold.intake.split import run_split


def phantom_workspace(folder: Path, *, train: int, validation: int, test: int) -> Workspace:
    """So many images of each class (of training at least so many), 64 px."""
    workspace = Workspace.create(folder, name="bench", root_seed=0, data_license="CC0-1.0")
    phantom = PhantomConfig(images_per_class=train + validation + test)
    run(IntakeConfig(phantom=phantom), workspace, SerialExecutor(), NullProgress())
    split = SplitConfig(test_per_class=test, validation_per_class=validation)
    run_split(split, workspace, SerialExecutor(), NullProgress())
    return workspace


def rows_of(workspace: Workspace) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """Manifest rows by split, and the labels."""
    table = with_split(read_manifest(workspace.resolve(MANIFEST)), read_sealed_split(workspace.resolve(SPLIT)))
    rows = {str(split): part.reset_index(drop=True) for split, part in table.groupby("split")}
    return rows, tuple(labels_of(table))
