"""The tuning stage: trials of a classifier's settings, kept in Optuna's own SQLite file, judged on validation only.

The n-th trial's settings depend on the seed, n and the trials before alone: a search that was killed and goes on ends
as one that was not. Test images are taken out of the manifest before anything is looked up in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from pydantic import ValidationError

from tenfold.classification.counting import count_people
from tenfold.classification.fitting import cell_images, cell_inputs, fit_cell
from tenfold.classification.frozen import HeadLook
from tenfold.classification.selection import CellImages, origin_confound
from tenfold.classification.training import Checkpoint
from tenfold.classification.trial_store import OpenTrial, TrialStore, open_store, searched
from tenfold.classification.tuning_config import TuningConfig, with_values
from tenfold.classification.tuning_contents import TuningContents
from tenfold.core.errors import DesignError, StageError
from tenfold.core.executor import Executor
from tenfold.core.files import write_json_atomic, write_text_atomic
from tenfold.core.hashing import sha256_json
from tenfold.core.plain import to_plain
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import csv_text

STAGE = "tuning"
TRIALS, RESULT = "trials.sqlite", "result"
BEST, CONTENTS, TABLE = "best.yaml", "tuning.json", "trials.csv"
OF_THE_IMAGES = frozenset({
    "cell", "study", "arm", "labels", "training_size", "synthetic_ratio", "synthetic_share", "strategy",
    "generator_budget", "subset_seed", "generator_seed", "classifier_seed", "train_ids", "validation_ids",
    "extra_manifests", "extra_ids", "extra_per_class", "budget_ids", "extra_review", "extra_weights",
    "extra_schedule", "two_stage_fraction", "checkpointing_steps", "allow_origin_confound", "device",
})  # fmt: skip
"""What best.yaml leaves to the command that trains: which images, seeds and where, not how."""


def run(config: TuningConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write tuning/<name>/result/: best.yaml, trials.csv and tuning.json. Goes on where an earlier search ended.

    The trials stand in tuning/<name>/trials.sqlite, which other settings or images never mix with.

    Raises:
        DataError: the name is taken by another search, or images cannot be used.
        StageError: no trial came to its end.
    """
    folder = f"tuning/{config.name}"
    inputs = cell_inputs(config.classifier, workspace)
    stage = begin_stage(workspace, STAGE, f"{folder}/{RESULT}", config, inputs, seed=config.seed)
    if stage.is_finished:
        return stage.result()
    images = cell_images(config.classifier, workspace, needs_test=False)
    origin_confound(images, config.classifier.labels, is_allowed=config.classifier.allow_origin_confound)
    identity = {"config": config.model_dump(mode="json", exclude={"trials"}), "inputs": stage.inputs}
    with open_store(workspace.resolve(f"{folder}/{TRIALS}"), config, sha256_json(identity)) as store:
        done = len(store.trials())
        if done:
            progress.log(f"{done} trials were ended before; the search goes on behind them.")
        with progress.task(f"Tuning {config.name}", config.trials) as task:
            task.advance(min(done, config.trials))
            for number in range(done, config.trials):
                _train(store.begin(number), config, workspace, images, progress)
                task.advance()
        contents = _contents(config, store, images)
        summary = {**_summary(contents), "interrupted_trials": store.interrupted()}
    return stage.finish(_write(stage.folder, config, contents), summary)


class _Pruned(Exception):
    """A trial that is not worth going on with."""


def _train(
    trial: OpenTrial, config: TuningConfig, workspace: Workspace, images: CellImages, progress: Progress
) -> None:
    """One trial, ended in the store; what these settings cannot do fails the trial, all else is raised."""
    looks: list[Checkpoint] = []

    def on_look(look: Checkpoint) -> None:
        looks.append(look)
        if trial.report(look.step, _figure(look, config.goal)):
            raise _Pruned

    try:
        classifier = with_values(config.classifier, trial.values)
        fitted = fit_cell(classifier, workspace, images, progress, on_look=on_look)
    except _Pruned:
        best = _best_look(looks, config.goal)
        trial.prune(best.validation_log_loss, best.step)
    except ValidationError as error:
        trial.fail("; ".join(str(detail["msg"]).removeprefix("Value error, ") for detail in error.errors()))
    except (StageError, DesignError, torch.OutOfMemoryError) as error:
        trial.fail(str(error).splitlines()[0])
    else:
        # A head that is solved has no steps to look after: its own choice of penalty is its one look.
        found = _best_look(looks, config.goal) if looks else fitted.best
        step = found.step if isinstance(found, Checkpoint) else None
        trial.complete(_figure(found, config.goal), found.validation_log_loss, step)


def _figure(look: Checkpoint | HeadLook, goal: str) -> float:
    return look.validation_macro_auroc if goal == "macro_auroc" else look.validation_log_loss


def _best_look(looks: Sequence[Checkpoint], goal: str) -> Checkpoint:
    """The look that is best by the goal; the lower log loss, then the earlier one, of equals."""
    sign = -1.0 if goal == "macro_auroc" else 1.0
    return min(looks, key=lambda look: (sign * _figure(look, goal), look.validation_log_loss, look.step))


def _contents(config: TuningConfig, store: TrialStore, images: CellImages) -> TuningContents:
    trials = store.trials()
    whole = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    if not whole:
        reasons = {trial.reason for trial in trials if trial.reason}
        raise StageError(
            f"none of {len(trials)} trials came to its end",
            where="; ".join(sorted(reasons)[:3]),
            expected="at least one whole training",
            todo="Search other ranges under another --name.",
        )
    sign = -1.0 if config.goal == "macro_auroc" else 1.0
    best = min(whole, key=lambda trial: (sign * (trial.value or 0.0), trial.log_loss or 0.0, trial.number))
    importances, note = store.importances()
    people, unit = count_people(images.validation)
    return TuningContents(
        name=config.name,
        goal=config.goal,
        labels=config.classifier.labels,
        model=config.classifier.model,
        n_training_images=len(images.train) + len(images.extra),
        n_validation_images=len(images.validation),
        n_validation_patients=people,
        space={name: searched(dimension) for name, dimension in config.space.items()},
        trials=tuple(trials),
        best_number=best.number,
        importances=importances,
        importance_note=note,
        counted_unit=unit,
    )


def _write(folder: Path, config: TuningConfig, contents: TuningContents) -> list[Path]:
    paths = [folder / BEST, folder / CONTENTS, folder / TABLE]
    write_text_atomic(paths[0], best_yaml(config, contents))
    write_json_atomic(paths[1], to_plain(contents))
    rows = [
        {
            "trial": trial.number + 1, "state": trial.state, **trial.values, f"validation_{contents.goal}": trial.value,
            "validation_log_loss_there": trial.log_loss, "best_step": trial.best_step,
            "reason": trial.reason,
        }
        for trial in contents.trials
    ]  # fmt: skip
    write_text_atomic(paths[2], csv_text(pd.DataFrame(rows)))
    return paths


def best_yaml(config: TuningConfig, contents: TuningContents) -> str:
    """The best trial's settings as `tenfold train --config` reads them, with those that were not searched but given."""
    tuned = with_values(config.classifier, contents.best.values)
    given = tuned.model_dump(mode="json", exclude=set(OF_THE_IMAGES), exclude_defaults=True)
    settings = {**given, **tuned.model_dump(mode="json", include=set(contents.best.values))}
    best = contents.best
    head = (
        f"# The best of {len(contents.trials)} trials of the tuning {contents.name}: validation {contents.goal} "
        f"{best.value:.4f} at step {best.best_step}.\n"
        f"# A figure chosen as the best of many is too good: judge these settings on the test images.\n"
    )
    return head + yaml.safe_dump(settings, sort_keys=True)


def _summary(contents: TuningContents) -> dict[str, Any]:
    best = contents.best
    return {
        "name": contents.name,
        "goal": contents.goal,
        "best_value": best.value,
        "best_trial": best.number + 1,
        "best_step": best.best_step,
        "best_values": dict(best.values),
        "trials": len(contents.trials),
        "complete": contents.count("complete"),
        "pruned": contents.count("pruned"),
        "failed": contents.count("failed"),
        "n_validation_images": contents.n_validation_images,
        "n_validation_patients": contents.n_validation_patients,
        "counted_unit": contents.counted_unit,
        "test_reads": 0,
    }
