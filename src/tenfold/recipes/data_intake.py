"""Data intake from the command line: import, check, split and export in one locked workspace, without a study."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from tenfold.core.config import StageConfig
from tenfold.core.errors import WorkspaceError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, hash_inputs, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.intake.config import NOT_STATED, CheckConfig, ExternalConfig, IntakeConfig, SplitConfig
from tenfold.intake.contents import IntakeFacts
from tenfold.recipes.loader import load_recipe, load_settings
from tenfold.recipes.runner import RECIPE_FILE, recipe_yaml
from tenfold.recipes.schema import Recipe
from tenfold.reports.config import IntakePageConfig

BASE_RECIPE = "folder"
"""The recipe that a study on imported images starts from."""

FACTS = "data/checks/summary.json"
PAGE = "data/report/intake.html"
QUARANTINE = "data/quarantine.csv"
SPLIT = "data/splits.json"
MANIFEST = "data/manifest.parquet"
_RECORDS = {"intake": "data/intake", "split": "data/split", "checks": "data/checks", "intake_page": "data/report"}
_STUDY_FOLDERS = ("models", "classifiers", "studies", "evaluation")


class DataSettings(StageConfig):
    """The settings of the data commands, in the sections that recipes have too."""

    intake: IntakeConfig = Field(default_factory=IntakeConfig)
    split: SplitConfig = Field(default_factory=SplitConfig)
    checks: CheckConfig = Field(default_factory=CheckConfig)
    intake_page: IntakePageConfig = Field(default_factory=IntakePageConfig)


@dataclass(frozen=True)
class DataSummary:
    """What a data command ended with. recipe: the file that a study on these images goes on with."""

    workspace: Path
    facts: IntakeFacts
    page: Path
    recipe: Path
    intake: Mapping[str, Any]
    split: Mapping[str, Any] | None
    seconds: float


def load_data_settings(section: str, settings: Sequence[str], options: Mapping[str, tuple[str, Any]]) -> DataSettings:
    """Checked settings of a data command.

    Args:
        section: where settings belong whose name starts with no section of its own (``image_size_px=64``).
        settings: ``a.b=c`` texts as typed after --set.
        options: name in `section` -> (the option as a person types it, its value); null values are not given.

    Raises:
        RecipeError, FaultsError: with the option or setting at fault.
    """
    given = {f"{section}.{name}": pair for name, pair in options.items() if pair[1] is not None}
    texts = [_qualified(text, section) for text in settings]
    return load_settings(DataSettings, texts, given)


def load_external_settings(settings: Sequence[str], options: Mapping[str, tuple[str, Any]]) -> ExternalConfig:
    """Checked settings of an import of synthetic images made elsewhere; as `load_data_settings`."""
    given = {name: pair for name, pair in options.items() if pair[1] is not None}
    return load_settings(ExternalConfig, settings, given)


def check_place(folder: Path) -> None:
    """Before anybody is asked: raise WorkspaceError when nothing could be imported into `folder`."""
    if (folder.expanduser() / "workspace.json").exists():
        Workspace.open(folder)
    else:
        Workspace.check_free(folder)


def import_data(settings: DataSettings, folder: Path, executor: Executor, progress: Progress) -> DataSummary:
    """Import the images of `settings.intake` into the workspace at `folder`, check them and write the intake page.

    The workspace is made when there is none. An interrupted import is resumed.

    Raises:
        WorkspaceError: the folder is in use, holds other things, or a split or study that other images would void.
        TenfoldError: of the stage that could not go on; what was finished is kept.
    """
    from tenfold.intake.run import run as run_intake

    began = time.monotonic()
    workspace = _open_for_import(folder, settings.intake.data_license)
    config = settings.intake
    if config.data_license == NOT_STATED and workspace.data_license != NOT_STATED:
        config = config.model_copy(update={"data_license": workspace.data_license})
    with workspace.lock():
        run_intake(config, workspace, executor, progress)
        _check_and_show(settings, workspace, executor, progress)
        return _summary(workspace, began)


def import_external(config: ExternalConfig, folder: Path, executor: Executor, progress: Progress) -> Result:
    """Import synthetic images made elsewhere; see `intake.external.run_external`. Raises as `import_data` does."""
    from tenfold.intake.external import run_external

    # The license of synthetic images is their own: a workspace of real ones keeps what it says of those.
    is_new = not (folder.expanduser() / "workspace.json").exists()
    workspace = _open_for_import(folder, config.data_license if is_new else NOT_STATED)
    with workspace.lock():
        return run_external(config, workspace, executor, progress)


def check_data(settings: DataSettings, folder: Path, executor: Executor, progress: Progress) -> DataSummary:
    """Check the images of a workspace and write its intake page. Raises WorkspaceError when there is none."""
    began = time.monotonic()
    workspace = Workspace.open(folder)
    with workspace.lock():
        _check_and_show(settings, workspace, executor, progress)
        return _summary(workspace, began)


def split_data(settings: DataSettings, folder: Path, executor: Executor, progress: Progress) -> DataSummary:
    """Split the images of a workspace, then check them with the split and write the intake page again.

    Raises:
        WorkspaceError: no workspace, or one whose study has already seen another split.
        DataError: a class too small for the request; what is possible is said.
    """
    from tenfold.intake.split import run_split

    began = time.monotonic()
    workspace = Workspace.open(folder)
    with workspace.lock():
        _refuse_other_split(workspace, settings.split)
        run_split(settings.split, workspace, executor, progress)
        _check_and_show(_with_recorded_checks(settings, workspace), workspace, executor, progress)
        return _summary(workspace, began)


def workspace_name(folder: Path) -> str:
    """A folder's name as a recipe and workspace may have it.

    >>> workspace_name(Path("/data/Ünser HAM 10000!"))
    'nser-ham-10000'
    """
    words = re.sub(r"[^a-z0-9_]+", "-", folder.expanduser().absolute().name.lower()).strip("-_")
    return words[:40] or "data"


def _qualified(text: str, section: str) -> str:
    first = text.partition("=")[0].strip().split(".")[0]
    return text if first in DataSettings.model_fields or "=" not in text else f"{section}.{text.lstrip()}"


def _open_for_import(folder: Path, data_license: str) -> Workspace:
    """The workspace at `folder`, made when there is none; one that is there keeps its name and seed."""
    if not (folder.expanduser() / "workspace.json").exists():
        return Workspace.create(folder, name=workspace_name(folder), root_seed=0, data_license=data_license)
    found = Workspace.open(folder)
    wanted = found.data_license if data_license == NOT_STATED else data_license
    return Workspace.open_or_create(folder, name=found.name, root_seed=found.root_seed, data_license=wanted)


def _refuse_other_split(workspace: Workspace, config: SplitConfig) -> None:
    folder = workspace.resolve(_RECORDS["split"])
    used = [name for name in _STUDY_FOLDERS if any(workspace.resolve(name).glob("*/run.json"))]
    if not used or not (folder / "run.json").is_file():
        return
    record = read_run_record(folder)
    manifest = hash_inputs(workspace, "split", [workspace.resolve(MANIFEST)])
    is_same_manifest = manifest.items() <= record.inputs.items()
    if SplitConfig.model_validate(record.config) != config or not is_same_manifest:
        raise WorkspaceError(
            "a study in this workspace has already used its split",
            where=", ".join(str(workspace.path / name) for name in used),
            expected="one split for the life of a study: a second one would let it see its test images",
            todo="Import the images into another workspace and split them there.",
        )


def _with_recorded_checks(settings: DataSettings, workspace: Workspace) -> DataSettings:
    """A split does not change what the checks look for: unless told otherwise, as they were last set."""
    recorded = _recorded_config(workspace, "checks")
    if recorded is None or settings.checks != CheckConfig():
        return settings
    return settings.model_copy(update={"checks": CheckConfig.model_validate(recorded)})


def _recorded_config(workspace: Workspace, section: str) -> dict[str, Any] | None:
    folder = workspace.resolve(_RECORDS[section])
    return dict(read_run_record(folder).config) if (folder / "run.json").is_file() else None


def _check_and_show(settings: DataSettings, workspace: Workspace, executor: Executor, progress: Progress) -> None:
    from tenfold.intake.checks.run import run_checks
    from tenfold.reports.intake_run import run_intake_page

    run_checks(settings.checks, workspace, executor, progress)
    run_intake_page(settings.intake_page, workspace, executor, progress)


def _summary(workspace: Workspace, began: float) -> DataSummary:
    split = workspace.resolve(_RECORDS["split"])
    intake = workspace.resolve(_RECORDS["intake"])
    return DataSummary(
        workspace=workspace.path,
        facts=IntakeFacts.from_json(read_json(workspace.resolve(FACTS))),
        page=workspace.resolve(PAGE),
        recipe=_write_recipe(workspace),
        intake=read_run_record(intake).summary if (intake / "run.json").is_file() else {},
        split=read_run_record(split).summary if (split / "run.json").is_file() else None,
        seconds=time.monotonic() - began,
    )


def _write_recipe(workspace: Workspace) -> Path:
    """Write the recipe that goes on from here: a study with exactly this import, split and these checks."""
    path = workspace.resolve(RECIPE_FILE)
    settings: dict[str, Any] = {"name": workspace.name, "seed": workspace.root_seed}
    for section in _RECORDS:
        recorded = _recorded_config(workspace, section)
        if recorded is not None:
            settings[section] = recorded
    recipe: Recipe = load_recipe(str(path) if path.is_file() else BASE_RECIPE, settings, needs_required=False)
    write_text_atomic(path, recipe_yaml(recipe))
    return path
