"""The parts of a study that workers run: one stage, or a chain of stages, each with its own record."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from tenfold.classification.config import ClassifierConfig
from tenfold.core.config import StageConfig
from tenfold.core.errors import DataError, StorageError, TenfoldError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.models.classifier_presets import EMBEDDED_SMALL
from tenfold.studies.cell_cache import content_key, remember, take_over
from tenfold.studies.part_progress import PartProgress

StageName = Literal["dreambooth", "inpainting", "super_resolution", "generate", "teacher", "classify", "audit"]
FOLDERS: Mapping[StageName, str] = {
    "dreambooth": "models",
    "inpainting": "models",
    "super_resolution": "models",
    "generate": "synthetic",
    "teacher": "classifiers",
    "classify": "classifiers",
    "audit": "audits",
}


@dataclass(frozen=True)
class Step:
    """One stage of a part; `seconds` is its estimated time."""

    stage: StageName
    config: StageConfig
    seconds: float

    @property
    def folder(self) -> str:
        """Where the stage writes, in the workspace."""
        config: Any = self.config
        return f"{FOLDERS[self.stage]}/{config.cell if self.stage == 'classify' else config.name}"


@dataclass(frozen=True)
class Part:
    """What one worker does without a pause."""

    name: str
    steps: tuple[Step, ...]
    workspace: Path
    progress_file: Path

    @property
    def seconds(self) -> float:
        """Estimated time."""
        return sum(step.seconds for step in self.steps)


@dataclass(frozen=True)
class Outcome:
    """What became of a part: summaries of its stages, log lines, or an error in words and in full."""

    name: str
    summaries: tuple[Mapping[str, Any], ...] = ()
    messages: tuple[str, ...] = ()
    error: str | None = None
    details: str = ""


def try_network(parts: Iterable[Part]) -> None:
    """Build the cells' network once before any worker does: a download happens once, and what no cell could start
    from is said at once instead of by every cell in turn.

    Raises:
        InputError: there is no such network, or it does not take these options.
        CheckpointError: its starting weights cannot be had or do not fit.
    """
    configs = (step.config for part in parts for step in part.steps)
    config = next((config for config in configs if isinstance(config, ClassifierConfig)), None)
    if config is not None and config.model != EMBEDDED_SMALL:
        from tenfold.classification.building import build_model

        build_model(config)


def run_part(part: Part) -> Outcome:
    """Run the steps in order; an error ends the part, not the study.

    Raises:
        StorageError: the disk is full or read-only, which no other part would survive either.
    """
    total = part.seconds or 1.0
    progress = PartProgress(part.progress_file, tuple(step.seconds / total for step in part.steps))
    workspace = Workspace.open(part.workspace)
    summaries = []
    progress.begin()
    try:
        for step in part.steps:
            result = _run_step(step, workspace, progress)
            summaries.append(dict(result.summary))
            progress.end_stage()
    except StorageError:
        raise
    except TenfoldError as error:
        return Outcome(part.name, tuple(summaries), tuple(progress.messages), str(error), str(error))
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        text = f"{type(error).__name__}: {first}"
        return Outcome(part.name, tuple(summaries), tuple(progress.messages), text, traceback.format_exc())
    return Outcome(part.name, tuple(summaries), tuple(progress.messages))


def _run_step(step: Step, workspace: Workspace, progress: Progress) -> Result:
    """The stage; a cell that equals a finished one takes over its files instead."""
    run = _stage(step.stage)
    if not isinstance(step.config, ClassifierConfig):
        return run(step.config, workspace, SerialExecutor(), progress)
    try:
        key = content_key(step.config, workspace)
    except DataError:  # an input is missing, which the stage tells better
        return run(step.config, workspace, SerialExecutor(), progress)
    result = take_over(step.config, workspace, key)
    if result is None:
        result = run(step.config, workspace, SerialExecutor(), progress)
        if not result.was_finished:
            remember(step.config, workspace, key)
    return result


def run_stage(name: StageName, config: StageConfig, workspace: Workspace, progress: Progress) -> Result:
    """One stage, in this process."""
    return _stage(name)(config, workspace, SerialExecutor(), progress)


def _stage(name: StageName) -> Callable[..., Result]:
    """The stage's `run`, imported in the worker that needs it."""
    module, function = _RUNS[name]
    found: Callable[..., Result] = getattr(import_module(f"tenfold.{module}"), function)
    return found


_RUNS: Mapping[StageName, tuple[str, str]] = {
    "dreambooth": ("finetuning.dreambooth", "run"),
    "inpainting": ("finetuning.inpainting", "run_inpainting"),
    "super_resolution": ("finetuning.super_resolution", "run"),
    "generate": ("generation.run", "run"),
    "teacher": ("classification.teacher", "run"),
    "classify": ("classification.run", "run"),
    "audit": ("audits.run", "run"),
}
