"""What a tuning leaves behind: its trials, the best one, and how much each setting mattered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

TrialState = Literal["complete", "pruned", "failed"]
Value = str | int | float | bool


@dataclass(frozen=True)
class Look:
    """One look at the validation images: the goal's figure at an optimizer step."""

    step: int
    value: float


@dataclass(frozen=True)
class Trial:
    """One training. value: the goal's figure at its best look (also of a pruned one), None of a failed one.

    reason: why it failed, else empty.
    """

    number: int
    state: TrialState
    values: Mapping[str, Value]
    value: float | None
    log_loss: float | None
    best_step: int | None
    looks: tuple[Look, ...]
    reason: str


@dataclass(frozen=True)
class Searched:
    """Where a setting was searched: in words, whether by powers of ten, and its choices (None of a range)."""

    words: str
    is_log: bool
    choices: tuple[Value, ...] | None


@dataclass(frozen=True)
class TuningContents:
    """tuning.json. n_validation_patients: patients, or groups where an image names none (counted_unit).

    importances: setting -> share of the figure's variance (fANOVA), None with too few whole trials.
    """

    name: str
    goal: str
    labels: tuple[str, ...]
    model: str
    n_training_images: int
    n_validation_images: int
    n_validation_patients: int
    space: Mapping[str, Searched]
    trials: tuple[Trial, ...]
    best_number: int
    importances: Mapping[str, float] | None
    importance_note: str
    counted_unit: Literal["patient", "group"] = "patient"

    @property
    def best(self) -> Trial:
        """The best whole trial."""
        return self.trials[self.best_number]

    def count(self, state: TrialState) -> int:
        """Trials in that state."""
        return sum(trial.state == state for trial in self.trials)
