"""The parts of a study that workers run: one stage, or a chain of stages, each with its own record."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tenfold.core.config import StageConfig
from tenfold.core.errors import StorageError, TenfoldError
from tenfold.core.executor import SerialExecutor
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.studies.part_progress import PartProgress

StageName = Literal["dreambooth", "generate", "classify", "audit"]


@dataclass(frozen=True)
class Step:
    """One stage of a part; `seconds` is its estimated time."""

    stage: StageName
    config: StageConfig
    seconds: float


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
    is_input_error: bool = field(default=False)


def run_part(part: Part) -> Outcome:
    """Run the steps in order; an error ends the part, not the study.

    Raises:
        StorageError: the disk is full or read-only, which no other part would survive either.
    """
    total = part.seconds or 1.0
    progress = PartProgress(part.progress_file, tuple(step.seconds / total for step in part.steps))
    workspace = Workspace.open(part.workspace)
    summaries = []
    try:
        for step in part.steps:
            result = _stage(step.stage)(step.config, workspace, SerialExecutor(), progress)
            summaries.append(dict(result.summary))
            progress.end_stage()
    except StorageError:
        raise
    except TenfoldError as error:
        is_input_error = error.exit_code == 2
        return Outcome(part.name, tuple(summaries), tuple(progress.messages), str(error), str(error), is_input_error)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        text = f"{type(error).__name__}: {first}"
        return Outcome(part.name, tuple(summaries), tuple(progress.messages), text, traceback.format_exc())
    return Outcome(part.name, tuple(summaries), tuple(progress.messages))


def _stage(name: StageName) -> Callable[..., Result]:
    """The stage's `run`, imported in the worker that needs it."""
    if name == "dreambooth":
        from tenfold.finetuning.dreambooth import run as run_dreambooth

        return run_dreambooth
    if name == "generate":
        from tenfold.generation.run import run as run_generation

        return run_generation
    if name == "classify":
        from tenfold.classification.run import run as run_classification

        return run_classification
    from tenfold.audits.run import run as run_audit

    return run_audit
