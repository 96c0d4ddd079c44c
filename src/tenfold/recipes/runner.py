"""Running a recipe: its stages in order, in one locked workspace, to the report and its verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tenfold.core.config import StageConfig
from tenfold.core.errors import DataError, StorageError, TenfoldError
from tenfold.core.executor import Executor, make_executor
from tenfold.core.files import read_json, write_bytes_atomic, write_text_atomic
from tenfold.core.progress import NullProgress, Progress, TaskProgress
from tenfold.core.run_record import Result, read_run_record
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.evaluation.config import EvaluationConfig
from tenfold.evaluation.contents import Evaluation, Verdict
from tenfold.recipes.loader import load_recipe
from tenfold.recipes.naming import default_workspace
from tenfold.recipes.schema import Recipe
from tenfold.reports.config import STUDY_PAGE, STUDY_RECIPE, ReportConfig
from tenfold.studies import estimates
from tenfold.studies.failures import failure_error
from tenfold.studies.settings import fill_config

RECIPE_FILE = "recipe.yaml"
UNKNOWN_LICENSE = "not stated"
_WEIGHT = 1000


@dataclass(frozen=True)
class RunSummary:
    """What a run ended with; `notes` are what was trimmed and what the design had to settle for."""

    workspace: Path
    verdict: Verdict
    report_path: Path
    evaluation: Evaluation
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Stage:
    """One stage to run; `share` is its estimated part of the whole time."""

    name: str
    run: Callable[[Progress], Result]
    share: float


def run(
    recipe: str,
    *,
    workspace: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    variants: Sequence[str] = (),
    mini: bool = False,
    executor: str = "processes",
    workers: int | None = None,
) -> RunSummary:
    """Run a built-in recipe or a .yaml file, as ``tenfold run`` does; an interrupted run is resumed.

    Args:
        workspace: folder of the run's files; ``./tenfold-<recipe>`` when not given.
        settings: dotted names and values that replace the recipe's, such as ``{"study.seeds": 3}``.
        variants: names of the recipe's own variants.
        executor: "processes", with `workers` of them (all usable cores when not given), or "serial".
    """
    loaded = load_recipe(recipe, settings or {}, variants=variants, mini=mini)
    place = Path(workspace or default_workspace(recipe, mini=mini, variants=variants))
    with make_executor(executor, workers) as pool:
        return run_recipe(loaded, place, pool, NullProgress())


def run_recipe(recipe: Recipe, folder: Path, executor: Executor, progress: Progress) -> RunSummary:
    """All stages of a checked recipe in `folder`, which is locked meanwhile. Finished stages are recognized.

    Raises:
        TenfoldError: of the stage that could not go on; what was finished is kept.
    """
    began = time.monotonic()
    workspace = Workspace.open_or_create(
        folder, name=recipe.name, root_seed=recipe.seed, data_license=recipe.intake.data_license or UNKNOWN_LICENSE
    )
    with workspace.lock():
        write_text_atomic(workspace.path / RECIPE_FILE, recipe_yaml(recipe))
        study_recipe(workspace, recipe.study.name).unlink(missing_ok=True)
        _run_stages(_stages(recipe, workspace, executor), workspace, progress)
    return read_summary(workspace, recipe.study.name, recipe.trimmed, time.monotonic() - began)


def study_recipe(workspace: Workspace, study: str) -> Path:
    """Where `tenfold study` keeps a study's recipe: the workspace's own stays as it is."""
    return workspace.path / STUDY_RECIPE.format(study=study)


def run_study_stages(
    recipe: Recipe, workspace: Workspace, executor: Executor, progress: Progress, rates: estimates.Rates | None = None
) -> RunSummary:
    """Study, evaluation and report of a recipe on images that are imported and split already, in a locked workspace.

    Raises as `run_recipe` does.
    """
    began = time.monotonic()
    write_text_atomic(study_recipe(workspace, recipe.study.name), recipe_yaml(recipe))
    _run_stages(_study_stages(recipe, workspace, executor, rates), workspace, progress)
    return read_summary(workspace, recipe.study.name, recipe.trimmed, time.monotonic() - began)


def _run_stages(stages: Sequence[_Stage], workspace: Workspace, progress: Progress) -> None:
    """The stages in order. Failed parts of the study end the run only after evaluation and report of the others."""
    failed: TenfoldError | None = None
    with progress.task("In all", len(stages) * _WEIGHT) as total:
        whole = sum(stage.share for stage in stages)
        for stage in stages:
            shared = _SharedProgress(progress, total, round(stage.share / whole * len(stages) * _WEIGHT))
            try:
                result = stage.run(shared)
            except TenfoldError as error:
                if failed is None or isinstance(error, StorageError):
                    raise
                raise failed from error  # what is left cannot be evaluated: the failed parts are why
            shared.end()
            failed = failed or failure_error(result.summary, workspace)
            word = "finished before" if result.was_finished else "done"
            progress.log(f"{stage.name}: {'done in part' if failed and not result.outputs else word}")
    if failed is not None:
        raise failed


def read_summary(workspace: Workspace, study: str, trimmed: tuple[str, ...], seconds: float) -> RunSummary:
    """The summary of a finished run, from its files."""
    evaluation = Evaluation.from_json(read_json(workspace.path / "evaluation" / study / "evaluation.json"))
    notes = _study_notes(workspace, study)
    return RunSummary(
        workspace=workspace.path,
        verdict=evaluation.verdict,
        report_path=workspace.path / "report" / "report.html",
        evaluation=evaluation,
        notes=(*trimmed, *notes),
        seconds=seconds,
    )


def write_report(folder: Path, progress: Progress, study: str | None = None) -> Path:
    """Make the report of a finished study again, of the last one reported when None is named.

    Raises WorkspaceError or DataError when there is none to report.
    """
    workspace = Workspace.open(folder)
    last = workspace.path / "report" / "run.json"
    if study is None and last.is_file():
        study = str(read_run_record(last.parent).config["study"])
    own = None if study is None else study_recipe(workspace, study)
    recipe = load_recipe(str(own if own is not None and own.is_file() else workspace.path / RECIPE_FILE))
    if study not in (None, recipe.study.name):
        raise DataError(
            f"the workspace has no recipe of a study {study!r}",
            where=str(own),
            expected=f"the study of {RECIPE_FILE}, {recipe.study.name!r}, or one that `tenfold study` ran",
            todo="Name one of them.",
        )
    with workspace.lock(), make_executor("serial") as executor:
        _run_report(recipe, workspace, executor, progress)
    return workspace.path / "report" / "report.html"


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe with every value spelled out, as ``tenfold run FILE`` reads it again."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def _stages(recipe: Recipe, workspace: Workspace, executor: Executor) -> list[_Stage]:
    from tenfold.intake.checks.run import run_checks
    from tenfold.intake.run import run as run_intake
    from tenfold.intake.split import run_split
    from tenfold.reports.intake_run import run_intake_page

    def stage(name: str, function: Callable[..., Result], config: StageConfig, share: float) -> _Stage:
        return _Stage(name, lambda progress: function(config, workspace, executor, progress), share)

    return [
        stage("Intake", run_intake, recipe.intake, 8),
        stage("Split", run_split, recipe.split, 1),
        stage("Data checks", run_checks, recipe.checks, estimates.CHECKS_SECONDS),
        stage("Intake page", run_intake_page, recipe.intake_page, estimates.INTAKE_PAGE_SECONDS),
        *_study_stages(recipe, workspace, executor),
    ]


def _study_stages(
    recipe: Recipe, workspace: Workspace, executor: Executor, rates: estimates.Rates | None = None
) -> list[_Stage]:
    from tenfold.evaluation.run import run as run_evaluation
    from tenfold.studies.run import run as run_study

    study, evaluation = recipe.study_run(), _evaluation_config(recipe)
    return [
        _Stage("Study", lambda progress: run_study(study, workspace, executor, progress, rates=rates), 300),
        _Stage("Evaluation", lambda progress: run_evaluation(evaluation, workspace, executor, progress), 12),
        _Stage("Report", lambda progress: _run_report(recipe, workspace, executor, progress), estimates.REPORT_SECONDS),
    ]


def _study_notes(workspace: Workspace, study: str) -> tuple[str, ...]:
    """What the plan had to settle for."""
    return tuple(read_json(workspace.path / "studies" / study / "plan.json")["notes"])


def _evaluation_config(recipe: Recipe) -> EvaluationConfig:
    seed = derive_seed(recipe.seed, "evaluation")
    return fill_config(EvaluationConfig, recipe.evaluate, "evaluate", {"study": recipe.study.name, "seed": seed})


def _run_report(recipe: Recipe, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    from tenfold.reports.run import run as run_report_stage

    notes = _study_notes(workspace, recipe.study.name)
    filled = {"study": recipe.study.name, "command": None, "trimmed": (*recipe.trimmed, *notes)}
    config = fill_config(ReportConfig, recipe.report, "report", filled)
    result = run_report_stage(config, workspace, executor, progress)
    # The folder shows the last study reported; each study's own page is kept beside its files.
    page = (result.folder / "report.html").read_bytes()
    write_bytes_atomic(workspace.path / STUDY_PAGE.format(study=recipe.study.name), page)
    return result


class _SharedProgress:
    """A stage's progress that also moves the whole run's bar, by at most `weight`."""

    def __init__(self, progress: Progress, total: TaskProgress, weight: int) -> None:
        self._progress = progress
        self._total = total
        self._left = weight
        self._weight = weight

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[TaskProgress]:
        with self._progress.task(description, total) as inner:
            yield _SharedTask(inner, self, max(total, 1))

    def log(self, message: str) -> None:
        self._progress.log(message)

    def end(self) -> None:
        """The stage is done: the rest of its weight at once."""
        self.move(1.0)

    def move(self, share: float) -> None:
        """The stage is `share` of its weight further."""
        steps = min(round(share * self._weight), self._left)
        if steps > 0:
            self._left -= steps
            self._total.advance(steps)


class _SharedTask:
    def __init__(self, inner: TaskProgress, stage: _SharedProgress, total: int) -> None:
        self._inner = inner
        self._stage = stage
        self._total = total

    def advance(self, steps: int = 1) -> None:
        self._inner.advance(steps)
        self._stage.move(steps / self._total)
