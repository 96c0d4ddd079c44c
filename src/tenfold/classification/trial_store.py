"""Trials in Optuna's SQLite file: begun, reported, ended, and read back; an interrupted one does not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from tenfold.classification.tuning_config import Choices, Range, TuningConfig
from tenfold.classification.tuning_contents import Look, Searched, Trial
from tenfold.core.errors import DataError, StageError
from tenfold.core.seeds import derive_seed

FEWEST_FOR_IMPORTANCE = 8
_FINGERPRINT, _INTERRUPTED, _REASON = "fingerprint", "interrupted", "reason"
_LOG_LOSS, _BEST_STEP = "log_loss", "best_step"


@dataclass(frozen=True)
class TrialStore:
    """The trials of one tuning, of which only one process writes."""

    config: TuningConfig
    study: optuna.Study

    def trials(self) -> list[Trial]:
        """The ended ones in order, numbered without the interrupted ones."""
        ended = [trial for trial in self._frozen() if trial.state.is_finished() and not _is_interrupted(trial)]
        return [_read(number, trial) for number, trial in enumerate(ended)]

    def interrupted(self) -> int:
        """Trials that a kill ended; each was begun again."""
        return sum(map(_is_interrupted, self._frozen()))

    def end_interrupted(self) -> None:
        """Mark trials that were running when their process ended."""
        for trial in self._frozen():
            if not trial.state.is_finished():
                self.study._storage.set_trial_user_attr(trial._trial_id, _INTERRUPTED, True)
                self.study.tell(trial.number, state=TrialState.FAIL)

    def begin(self, number: int) -> OpenTrial:
        """The next trial, its values drawn by a sampler that this number alone seeds."""
        self.study.sampler = _sampler(self.config, number)
        trial = self.study.ask()
        values = {name: _suggest(trial, name, dimension) for name, dimension in self.config.space.items()}
        return OpenTrial(self.study, trial, values)

    def importances(self) -> tuple[dict[str, float] | None, str]:
        """Each setting's share of the figure's variance by fANOVA (Hutter 2014); or None and why."""
        whole = [trial for trial in self.trials() if trial.state == "complete"]
        if len(self.config.space) < 2:
            return None, "only one setting was searched"
        if len(whole) < FEWEST_FOR_IMPORTANCE:
            return None, f"{len(whole)} whole trials, and fewer than {FEWEST_FOR_IMPORTANCE} tell nothing"
        if len({trial.value for trial in whole}) < 2:
            return None, "all whole trials have the same figure"
        evaluator = optuna.importance.FanovaImportanceEvaluator(
            seed=_short(derive_seed(self.config.seed, "importance"))
        )
        found = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        note = f"from {len(whole)} whole trials, without an interval: so few trials tell an order at best"
        return {name: float(share) for name, share in found.items()}, note

    def _frozen(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)


@dataclass(frozen=True)
class OpenTrial:
    """A trial that is being trained."""

    study: optuna.Study
    trial: optuna.Trial
    values: Mapping[str, Any]

    def report(self, step: int, value: float) -> bool:
        """Tell a look; whether the trial should end here."""
        self.trial.report(value, step)
        return bool(self.trial.should_prune())

    def complete(self, value: float, log_loss: float, step: int | None) -> None:
        """The whole training's best look; step: None where there are no steps."""
        self._note({_LOG_LOSS: log_loss, _BEST_STEP: step})
        self.study.tell(self.trial, value)

    def prune(self, log_loss: float, step: int) -> None:
        """Ended early; its best look so far is noted."""
        self._note({_LOG_LOSS: log_loss, _BEST_STEP: step})
        self.study.tell(self.trial, state=TrialState.PRUNED)

    def fail(self, reason: str) -> None:
        """These settings cannot be trained."""
        self._note({_REASON: reason})
        self.study.tell(self.trial, state=TrialState.FAIL)

    def _note(self, facts: Mapping[str, Any]) -> None:
        for name, value in facts.items():
            self.trial.set_user_attr(name, value)


@contextmanager
def open_store(path: Path, config: TuningConfig, fingerprint: str) -> Iterator[TrialStore]:
    """The trials of a tuning, made when new; interrupted ones are marked.

    Raises:
        DataError: the file is of a search with other settings or images, or is no such file.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    except Exception as error:
        raise DataError(
            f"the trials' file cannot be opened: {str(error).splitlines()[0]}", where=str(path),
            expected="an SQLite file that `tenfold tune` wrote", todo="Move it away, or choose another --name.",
        ) from error  # fmt: skip
    try:
        study = optuna.create_study(
            storage=storage, study_name=config.name, load_if_exists=True, pruner=_pruner(config),
            direction="maximize" if config.goal == "macro_auroc" else "minimize",
        )  # fmt: skip
        found = study.user_attrs.get(_FINGERPRINT)
        if found is None:
            study.set_user_attr(_FINGERPRINT, fingerprint)
        elif found != fingerprint:
            raise DataError(
                f"the tuning {config.name} was begun with other settings or other images",
                where=str(path),
                expected="the same command; only --trials may differ",
                todo="Choose another --name, or remove the folder to begin anew.",
            )
        store = TrialStore(config, study)
        store.end_interrupted()
        yield store
    finally:
        storage.remove_session()
        storage.engine.dispose()


def searched(dimension: Range | Choices) -> Searched:
    """A range or choices for readers.

    >>> searched(Range(low=1e-5, high=0.01, log=True)).words, searched(Choices(choices=("adam", "rmsprop"))).words
    ('1e-05 to 0.01, by powers of ten', 'adam, rmsprop')
    """
    if isinstance(dimension, Choices):
        return Searched(", ".join(map(str, dimension.choices)), False, dimension.choices)
    step = f" in steps of {dimension.step:g}" if dimension.step else ""
    powers = ", by powers of ten" if dimension.log else ""
    return Searched(f"{dimension.low:g} to {dimension.high:g}{step}{powers}", dimension.log, None)


def _suggest(trial: optuna.Trial, name: str, dimension: Range | Choices) -> Any:
    if isinstance(dimension, Choices):
        return trial.suggest_categorical(name, list(dimension.choices))
    low, high, step = dimension.low, dimension.high, dimension.step
    if dimension.is_whole:
        return trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=dimension.log)
    return trial.suggest_float(name, low, high, step=step, log=dimension.log)


def _sampler(config: TuningConfig, number: int) -> BaseSampler:
    seed = _short(derive_seed(config.seed, "trial", number))
    if config.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=config.startup_trials)


def _pruner(config: TuningConfig) -> BasePruner:
    if config.pruner == "none":
        return NopPruner()
    return MedianPruner(
        n_startup_trials=config.pruner_startup_trials,
        n_warmup_steps=config.pruner_warmup_steps,
        n_min_trials=max(1, config.pruner_startup_trials),
    )


def _short(seed: int) -> int:
    """Numpy's old generators, which Optuna has, take 32 bits."""
    return seed & 0xFFFFFFFF


def _is_interrupted(trial: FrozenTrial) -> bool:
    return _INTERRUPTED in trial.user_attrs


def _read(number: int, trial: FrozenTrial) -> Trial:
    looks = tuple(Look(step, float(value)) for step, value in sorted(trial.intermediate_values.items()))
    states: dict[TrialState, Any] = {
        TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"
    }  # fmt: skip
    if trial.state not in states:
        raise StageError(f"trial {number} is {trial.state.name.lower()} though it has ended")
    facts = trial.user_attrs
    step = facts.get(_BEST_STEP)
    of_best = [look.value for look in looks if look.step == step]
    value = trial.value if trial.state == TrialState.COMPLETE else (of_best[0] if of_best else None)
    return Trial(
        number, states[trial.state], dict(trial.params), value, facts.get(_LOG_LOSS), step, looks,
        str(facts.get(_REASON, "")),
    )  # fmt: skip
