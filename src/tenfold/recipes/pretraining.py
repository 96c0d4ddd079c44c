"""Pretraining from the command line: settings checked, a workspace opened and locked, the stage run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenfold.core.executor import make_executor
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.recipes.loader import load_settings


def run_pretraining(folder: Path, settings: Sequence[str], progress: Progress) -> Result:
    """Train a base and a feature net in the workspace at `folder`, which is made when there is none.

    An interrupted training is resumed.

    Raises:
        RecipeError: a setting is unknown or of a wrong type.
        WorkspaceError: the folder is in use, or holds other things than a workspace.
    """
    from tenfold.finetuning import pretrain
    from tenfold.finetuning.pretrain_config import PretrainConfig

    config = load_settings(PretrainConfig, settings)
    if (folder / "workspace.json").exists():
        workspace = Workspace.open(folder)
    else:
        workspace = Workspace.create(folder, name="pretrain", root_seed=config.seed, data_license="CC0-1.0")
    name = "processes" if config.data_parallel > 1 else "serial"
    with workspace.lock(), make_executor(name, config.data_parallel) as executor:
        return pretrain.run(config, workspace, executor, progress)
