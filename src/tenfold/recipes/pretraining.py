"""Pretraining from the command line: settings checked, a workspace opened and locked, the stage run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.recipes.loader import load_settings


def run_pretraining(folder: Path, settings: Sequence[str], progress: Progress) -> Result:
    """Train the embedded base and feature net again in a workspace at `folder`; resumes what was interrupted.

    Raises:
        RecipeError: a setting is unknown or of a wrong type.
        WorkspaceError: the folder is in use or holds another seed's training.
    """
    from tenfold.finetuning import pretrain
    from tenfold.finetuning.pretrain_config import PretrainConfig

    config = load_settings(PretrainConfig, settings)
    workspace = Workspace.open_or_create(folder, name="pretrain", root_seed=config.seed, data_license="CC0-1.0")
    with workspace.lock():
        return pretrain.run(config, workspace, SerialExecutor(), progress)
