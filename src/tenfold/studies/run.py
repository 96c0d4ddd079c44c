"""The study stage: plan the cells, run generators and cells on an executor, tell what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import InputError, StageError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.data.splits import read_sealed_split, with_split
from tenfold.studies.assembly import Waves, assemble
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.design import Design, StudyPlan, plan_study
from tenfold.studies.part_progress import PartWatch
from tenfold.studies.parts import Outcome, Part, run_part

_MANIFEST = "data/manifest.parquet"
_SPLITS = "data/splits.json"
_WEIGHT_PER_SECOND = 10
_SHOWN_FAILURES = 5


def run(config: StudyRunConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Run every part of the study and write ``studies/<name>/cells.parquet`` and ``results.parquet``.

    A part that fails does not stop the others; at the end the study raises and names what failed. Run again, only what
    failed or was interrupted is done.

    Raises:
        DesignError: the data cannot carry the design.
        StageError: parts failed; InputError when all of them did for reasons the user can mend.
        StorageError: the disk is full, at once.
    """
    folder = f"studies/{config.name}"
    inputs = [workspace.resolve(_MANIFEST), workspace.resolve(_SPLITS)]
    stage = begin_stage(workspace, "study", folder, config, inputs, seed=workspace.root_seed)
    plan = read_plan(config, workspace)
    waves = assemble(config, plan, workspace.root_seed, workspace.path, workspace.path / f".progress-{config.name}")
    if stage.is_finished and all(is_finished(part) for part in waves.parts):
        return stage.result()
    cells_path, results_path = stage.folder / "cells.parquet", stage.folder / "results.parquet"
    _write_table(plan.cell_table(), cells_path)
    for note in plan.notes:
        progress.log(note)
    outcomes = _run_waves(waves, executor, progress)
    _write_table(_results_table(plan, outcomes), results_path)
    _raise_failures(outcomes, workspace)
    summary = {
        "cells": len(plan.cells),
        "generators": plan.generator_count,
        "labels": list(plan.labels),
        "training_sizes": list(plan.training_sizes),
        "synthetic_training_sizes": list(plan.synthetic_training_sizes),
        "notes": list(plan.notes),
    }
    return stage.finish([cells_path, results_path], summary)


def read_plan(config: StudyRunConfig, workspace: Workspace) -> StudyPlan:
    """The plan of a study on the workspace's split images. Raises DesignError when the data cannot carry it."""
    table = with_split(read_manifest(workspace.resolve(_MANIFEST)), read_sealed_split(workspace.resolve(_SPLITS)))
    design = Design(
        name=config.name,
        arms=config.arms,
        curve_arms=config.curve_arms,
        training_sizes=config.training_sizes,
        synthetic_training_sizes=config.synthetic_training_sizes,
        seeds=config.seeds,
        synthetic_ratio=config.synthetic_ratio,
        source_ratio=config.source_ratio,
        synthetic_share=config.synthetic_share,
        generator_budget=config.generator_budget,
        skin_types=getattr(config.generate, "skin_types"),  # noqa: B009 (a made class: mypy knows no fields)
    )
    return plan_study(design, table, workspace.root_seed)


def is_finished(part: Part) -> bool:
    """Whether every stage of the part has left its record and its outputs; the stages themselves check the content."""
    for step in part.steps:
        record = part.workspace / _folder(step.stage, step.config) / "run.json"
        if not record.is_file():
            return False
        if not all((part.workspace / path).exists() for path in read_json(record).get("outputs", {})):
            return False
    return True


def _folder(stage: str, config: Any) -> Path:
    if stage == "classify":
        return Path("classifiers", str(config.cell))
    roots = {"dreambooth": "models", "generate": "synthetic", "audit": "audits"}
    return Path(roots[stage], str(config.name))


def _run_waves(waves: Waves, executor: Executor, progress: Progress) -> dict[str, Outcome]:
    weights = {part.name: max(round(part.seconds * _WEIGHT_PER_SECOND), 1) for part in waves.parts}
    outcomes: dict[str, Outcome] = {}
    messages: set[str] = set()
    folder = waves.parts[0].progress_file.parent
    with progress.task("Study", sum(weights.values())) as task, PartWatch(folder, weights, task) as watch:
        for wave in (waves.first, waves.second, waves.third):
            ready = [part for part in wave if not _failed_needs(part, waves, outcomes)]
            for part in wave:
                if part not in ready:
                    outcomes[part.name] = _not_run(part, waves, outcomes)
            for index, outcome in executor.map(run_part, ready):
                outcomes[ready[index].name] = outcome
                watch.end(ready[index].name)
                for message in outcome.messages:
                    if message not in messages:
                        progress.log(message)
                        messages.add(message)
    return outcomes


def _failed_needs(part: Part, waves: Waves, outcomes: Mapping[str, Outcome]) -> list[str]:
    return [name for name in waves.needs.get(part.name, ()) if name in outcomes and outcomes[name].error]


def _not_run(part: Part, waves: Waves, outcomes: Mapping[str, Outcome]) -> Outcome:
    failed = _failed_needs(part, waves, outcomes)[0]
    return Outcome(part.name, error=f"not run: {failed} failed", is_input_error=outcomes[failed].is_input_error)


def _results_table(plan: StudyPlan, outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """One row per cell: its design, whether it is done, its error, and the plain values of its stage's summary."""
    rows = []
    for cell in plan.cells:
        outcome = outcomes[cell.name]
        summary = outcome.summaries[-1] if outcome.summaries and not outcome.error else {}
        plain = {name: value for name, value in summary.items() if isinstance(value, str | int | float)}
        rows.append(
            {
                "cell": cell.name,
                "arm": cell.arm,
                "training_size": cell.training_size,
                "seed_index": cell.seed_index,
                "is_done": outcome.error is None,
                "error": outcome.error,
                **{f"summary.{name}": value for name, value in sorted(plain.items())},
            }
        )
    return pd.DataFrame(rows)


def _raise_failures(outcomes: Mapping[str, Outcome], workspace: Workspace) -> None:
    failed = [outcome for outcome in outcomes.values() if outcome.error]
    if not failed:
        return
    causes = [outcome for outcome in failed if outcome.details]
    log = workspace.path / "logs" / "failed-parts.txt"
    write_text_atomic(log, "\n\n".join(f"{outcome.name}\n{outcome.details}" for outcome in causes) + "\n")
    lines = [f"{outcome.name}: {outcome.error}" for outcome in causes[:_SHOWN_FAILURES]]
    if len(causes) > _SHOWN_FAILURES:
        lines.append(f"... and {len(causes) - _SHOWN_FAILURES} more")
    kind = InputError if all(outcome.is_input_error for outcome in causes) else StageError
    raise kind(
        f"{len(failed)} of {len(outcomes)} parts of the study failed: {_listed([outcome.name for outcome in failed])}",
        where=str(log),
        expected="every part to finish; the others did and are kept\n" + "\n".join(lines),
        todo="Mend the cause and run the same command again: only these are done anew.",
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_FAILURES])
    return shown if len(names) <= _SHOWN_FAILURES else f"{shown} and {len(names) - _SHOWN_FAILURES} more"


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with write_atomic(path) as temporary:
        table.to_parquet(temporary, index=False)
