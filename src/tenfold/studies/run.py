"""The study stage: plan the cells, run generators and cells on an executor, tell what failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from tenfold.core.executor import Executor, WorkerDiedError
from tenfold.core.files import plain_json, read_json, write_atomic, write_json_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.review.run import refresh
from tenfold.studies.assembly import Waves, assemble
from tenfold.studies.cell_cache import LINKED_FROM
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.design import Design, plan_study
from tenfold.studies.estimates import Rates
from tenfold.studies.failures import failures_of
from tenfold.studies.filling import Filling
from tenfold.studies.forecast import forecast
from tenfold.studies.part_progress import PartWatch
from tenfold.studies.parts import Outcome, Part, run_part, try_network
from tenfold.studies.plan import StudyPlan
from tenfold.studies.reviewing import heeded_verdicts, review_sets, reviewed_sets, split_at_review
from tenfold.studies.sharing import refuse_loss, with_shared
from tenfold.studies.variants import Dose, Grid

_MANIFEST = "data/manifest.parquet"
_SPLITS = "data/splits.json"
_WEIGHT_PER_SECOND = 10


def run(
    config: StudyRunConfig, workspace: Workspace, executor: Executor, progress: Progress, *, rates: Rates | None = None
) -> Result:
    """Run every part of the study and write ``studies/<name>/``: plan.json, cells.parquet and results.parquet.

    A part that fails does not stop the others. The summary's `failures` then name it and no record is written, so that
    the next run does only what failed or was interrupted; `failures.failure_error` makes the error that tells of them.

    Raises:
        DesignError: the data cannot carry the design.
        InputError: other studies use what this one would make anew, or there is no such network.
        CheckpointError: the network's starting weights cannot be had.
        StorageError: the disk is full, at once.
        WaitingForPeople: sets are drawn, and their review is not finished; all that needs none of it is done.
    """
    refresh(workspace)
    table = read_split_table(workspace)
    plan = plan_study(design_of(config), table, workspace.root_seed)
    filling, shared = with_shared(Filling(config, plan, workspace.root_seed, rates or Rates()), workspace)
    plan = filling.plan
    waves = assemble(filling, workspace.path, workspace.path / f".progress-{config.name}")
    refuse_loss(waves, config.name, workspace)
    folder, inputs = f"studies/{config.name}", [workspace.resolve(_MANIFEST), workspace.resolve(_SPLITS)]
    stage = begin_stage(workspace, "study", folder, config, inputs, seed=workspace.root_seed)
    plan_path = stage.folder / "plan.json"
    is_done = stage.is_finished and plan_path.is_file() and all(is_finished(part) for part in waves.parts)
    sets = reviewed_sets(plan) if config.review is not None else ()
    if is_done and stage.result().summary.get("verdicts", {}) == heeded_verdicts(plan, workspace):
        review_sets(config, sets, {}, workspace, executor, progress)  # its results say what people did since
        return stage.result()
    cells_path, results_path = stage.folder / "cells.parquet", stage.folder / "results.parquet"
    expected = forecast(plan, waves, table, executor.worker_count, filling.rates)
    write_json_atomic(plan_path, asdict(replace(expected, shared=shared)))
    _write_table(plan.cell_table(), cells_path)
    for note in plan.notes:
        progress.log(note)
    try_network(waves.parts)
    before, after = split_at_review(waves, plan, sets)
    outcomes = _run_waves(before, {}, executor, progress)
    review_sets(config, sets, outcomes, workspace, executor, progress)
    verdicts = dict(heeded_verdicts(plan, workspace))  # before the cells read them: a later change is seen next time
    outcomes = _run_waves(after, outcomes, executor, progress)
    results = _results_table(plan, outcomes)
    _write_table(results, results_path)
    summary = {
        "cells": len(plan.cells),
        "parts": len(waves.parts),
        "generators": plan.generator_count,
        "labels": list(plan.labels),
        "training_sizes": list(plan.training_sizes),
        "synthetic_training_sizes": list(plan.synthetic_training_sizes),
        "budgets": list(plan.budgets),
        "linked_cells": int(results[LINKED_FROM].notna().sum()),
        "failures": failures_of(outcomes, workspace),
        "verdicts": verdicts,
        "notes": list(plan.notes),
    }
    if summary["failures"]:
        return Result("study", stage.folder, {}, plain_json(summary))
    # plan.json is no output: its times are those of the workers at hand, and a run's outputs are the same on any.
    return stage.finish([cells_path, results_path], summary)


def read_plan(config: StudyRunConfig, workspace: Workspace) -> StudyPlan:
    """The plan of a study on the workspace's split images. Raises DesignError when the data cannot carry it."""
    return plan_study(design_of(config), read_split_table(workspace), workspace.root_seed)


def read_split_table(workspace: Workspace) -> pd.DataFrame:
    """The workspace's real manifest with its sealed ``split``."""
    return with_split(read_manifest(workspace.resolve(_MANIFEST)), read_sealed_split(workspace.resolve(_SPLITS)))


def design_of(config: StudyRunConfig) -> Design:
    """What the study varies, as plain values."""
    known = config.known_arms()
    dose = Dose(config.synthetic_ratio, config.source_ratio, config.synthetic_share, config.generator_budget)
    grid = Grid(config.ratios, config.shares, config.transforms_grid, config.budgets, config.grid)
    variants = [name for arm in config.grid_arms for name in grid.variants(arm, known[arm], dose)]
    masks = {strategy: own.model_dump().get("mask") for strategy, own in config.generate_by_strategy.items()}
    return Design(
        name=config.name,
        arms=config.arms,
        curve_arms=config.curve_arms,
        training_sizes=config.training_sizes,
        synthetic_training_sizes=config.synthetic_training_sizes,
        seeds=config.seeds,
        dose=dose,
        grid=tuple(variants),
        grid_sizes=config.grid_sizes,
        known=known,
        skin_types=getattr(config.generate, "skin_types"),  # noqa: B009 (a made class: mypy knows no fields)
        unmasked=tuple(strategy for strategy, mask in masks.items() if mask in ("center", "random")),
        generator_per_class=config.generator_per_class,
        has_painter=config.inpaint is not None,
        epochs_count=getattr(config.classify, "max_train_epochs") is not None,  # noqa: B009
        allows_confound=bool(getattr(config.classify, "allow_origin_confound")),  # noqa: B009
    )


def is_finished(part: Part) -> bool:
    """Whether every stage of the part has left its record and its outputs; the stages themselves check the content."""
    for step in part.steps:
        record = part.workspace / step.folder / "run.json"
        if not record.is_file():
            return False
        if not all((part.workspace / path).exists() for path in read_json(record).get("outputs", {})):
            return False
    return True


def _run_waves(
    waves: Waves, earlier: Mapping[str, Outcome], executor: Executor, progress: Progress
) -> dict[str, Outcome]:
    """The outcomes of these parts and of those that ran earlier."""
    weights = {part.name: max(round(part.seconds * _WEIGHT_PER_SECOND), 1) for part in waves.parts}
    outcomes = dict(earlier)
    if not waves.parts:
        return outcomes
    messages: set[str] = set()
    folder = waves.parts[0].progress_file.parent
    with progress.task("Study", sum(weights.values())) as task, PartWatch(folder, weights, task) as watch:
        for wave in waves.waves:
            ready = [part for part in wave if not _failed_needs(part, waves, outcomes)]
            for part in wave:
                if part not in ready:
                    outcomes[part.name] = _not_run(part, waves, outcomes)
            for part, outcome in _outcomes(ready, executor):
                outcomes[part.name] = outcome
                watch.end(part.name)
                for message in outcome.messages:
                    if message not in messages:
                        progress.log(message)
                        messages.add(message)
    return outcomes


def _outcomes(parts: Sequence[Part], executor: Executor) -> Iterator[tuple[Part, Outcome]]:
    """Of all parts, as they end. Where a worker dies, those that had begun are tried again, each alone: one over which
    a worker then dies again has failed, and the others go on.
    """
    waiting = list(parts)
    while waiting:
        ended: set[int] = set()
        try:
            for index, outcome in executor.map(run_part, waiting):
                ended.add(index)
                yield waiting[index], outcome
            return
        except WorkerDiedError:
            waiting = [part for index, part in enumerate(waiting) if index not in ended]
        begun = [part for part in waiting if part.progress_file.exists()] or waiting
        for part in begun:
            yield part, _alone(part, executor)
        waiting = [part for part in waiting if part not in begun]


def _alone(part: Part, executor: Executor) -> Outcome:
    try:
        [(_, outcome)] = executor.map(run_part, [part])
        return outcome
    except WorkerDiedError as error:
        return Outcome(part.name, error=str(error), details=str(error))


def _failed_needs(part: Part, waves: Waves, outcomes: Mapping[str, Outcome]) -> list[str]:
    return [name for name in waves.needs.get(part.name, ()) if name in outcomes and outcomes[name].error]


def _not_run(part: Part, waves: Waves, outcomes: Mapping[str, Outcome]) -> Outcome:
    failed = _failed_needs(part, waves, outcomes)[0]
    return Outcome(part.name, error=f"not run: {failed} failed")


def _results_table(plan: StudyPlan, outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """One row per cell: its design, whether it is done, its error, and the plain values of its stage's summary."""
    rows = []
    for cell in plan.cells:
        outcome = outcomes[cell.name]
        summary = outcome.summaries[-1] if outcome.summaries and not outcome.error else {}
        plain = {name: value for name, value in summary.items() if isinstance(value, str | int | float)}
        plain.pop(LINKED_FROM, None)
        rows.append(
            {
                "cell": cell.name,
                "arm": cell.arm,
                "base_arm": cell.base_arm,
                "training_size": cell.training_size,
                "seed_index": cell.seed_index,
                "is_done": outcome.error is None,
                "error": outcome.error,
                LINKED_FROM: summary.get(LINKED_FROM),
                **{f"summary.{name}": value for name, value in sorted(plain.items())},
            }
        )
    return pd.DataFrame(rows)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with write_atomic(path) as temporary:
        table.to_parquet(temporary, index=False)
