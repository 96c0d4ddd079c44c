"""Importing small sources into a workspace, for the tests of intake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.intake.config import IntakeConfig
from tenfold.intake.run import run


class Log(NullProgress):
    """Keeps what a stage tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)


def intake(workspace: Workspace, source: Path | str, log: Log | None = None, **changes: Any) -> Result:
    """Import at 16 px, in this process."""
    config = IntakeConfig.model_validate({"source": str(source), "image_size_px": 16, **changes})
    return run(config, workspace, SerialExecutor(), log or Log())


def manifest_of(workspace: Workspace) -> pd.DataFrame:
    """The manifest of the real images."""
    return read_manifest(workspace.resolve("data/manifest.parquet"))


def by_name(workspace: Workspace) -> pd.DataFrame:
    """The manifest by the originals' file names."""
    return manifest_of(workspace).set_index("attr.original_path")


def facts_by_name(workspace: Workspace) -> pd.DataFrame:
    """The file facts by the originals' file names."""
    facts = pd.read_parquet(workspace.resolve("data/file_facts.parquet")).set_index("image_id")
    names = manifest_of(workspace).set_index("image_id")["attr.original_path"]
    return facts.rename(index=names)


def quarantine_of(workspace: Workspace) -> pd.DataFrame:
    """data/quarantine.csv by path."""
    return pd.read_csv(workspace.resolve("data/quarantine.csv")).set_index("path")
