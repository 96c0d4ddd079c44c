"""The tuning's configuration: which settings of a classifier are searched, where, for how long, and by what figure."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, NonNegativeInt, PositiveInt, Tag, ValidationError, model_validator

from tenfold.classification.config import ClassifierConfig
from tenfold.core.config import FolderName, StageConfig

NOT_SEARCHED = frozenset({
    "cell", "study", "arm", "labels", "training_size", "synthetic_ratio", "strategy", "generator_budget",
    "subset_seed", "generator_seed", "classifier_seed", "train_ids", "validation_ids", "extra_manifests", "extra_ids",
    "extra_per_class", "budget_ids", "extra_review", "extra_weights", "balance_by", "evaluate_every_steps",
    "checkpointing_steps", "allow_origin_confound", "device", "model_options", "weights",
})  # fmt: skip
"""What a trial may not change: who is trained on, seeds, when validation is looked at, and where it runs."""

WITHOUT_EFFECT_ON_A_HEAD = frozenset({
    "max_train_steps", "max_train_epochs", "batch_size", "optimizer", "momentum", "learning_rate", "lr_scheduler",
    "lr_warmup_steps", "weight_decay", "gradient_clip", "ema_decay", "mixed_precision", "early_stopping_looks",
})  # fmt: skip
"""A last layer on frozen features is solved, not stepped."""

Value = str | int | float | bool


class Range(StageConfig):
    """Numbers from low to high, both included; whole ones where both ends are written so."""

    low: int | float
    high: int | float
    log: bool = Field(default=False, description="drawn evenly over the powers of ten")
    step: int | float | None = Field(default=None, gt=0, description="multiples of this above low only")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0 and no step")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers are drawn."""
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 1))


class Choices(StageConfig):
    """One of several values."""

    choices: tuple[Value, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({(type(one), one) for one in self.choices}) < len(self.choices):
            raise ValueError("a choice is given twice")
        return self


def _kind(value: Any) -> str:
    has_choices = "choices" in value if isinstance(value, Mapping) else isinstance(value, Choices)
    return "choices" if has_choices else "range"


Dimension = Annotated[Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")], Discriminator(_kind)]


def synthvision_space() -> dict[str, Range | Choices]:
    """The search of the SynthVision paper; its batch sizes are not told, these are the usual ones."""
    return {
        "max_train_epochs": Range(low=20, high=200, step=10),
        "learning_rate": Range(low=1e-5, high=1e-2, log=True),
        "optimizer": Choices(choices=("adam", "rmsprop")),
        "batch_size": Choices(choices=(16, 32, 64)),
    }


class TuningConfig(StageConfig):
    """Search the settings of one classifier by its validation images; it goes to tuning/<name>/result."""

    name: FolderName = Field(description="folder name under tuning/")
    classifier: ClassifierConfig = Field(description="the classifier: its images, and all that is not searched")
    space: dict[str, Dimension] = Field(
        default_factory=synthvision_space, min_length=1, description="setting -> its range or choices"
    )
    trials: PositiveInt = Field(30, description="trainings in all; a larger number goes on where the last one ended")
    goal: Literal["macro_auroc", "log_loss"] = Field(
        "macro_auroc", description="the validation figure that is made best: the one of the best look of a trial"
    )
    sampler: Literal["tpe", "random"] = Field("tpe", description="tpe learns from the trials before; random does not")
    startup_trials: NonNegativeInt = Field(10, description="trials at random before tpe begins")
    pruner: Literal["median", "none"] = Field(
        "median",
        description="median: a trial ends when its best look so far is worse than half the others' at its step",
    )
    pruner_startup_trials: NonNegativeInt = Field(5, description="whole trials before any is ended early")
    pruner_warmup_steps: NonNegativeInt = Field(
        100, description="optimizer steps that every trial is granted: the first looks tell little"
    )
    seed: int = Field(0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _check_space(self) -> Self:
        known = ClassifierConfig.model_fields.keys() - NOT_SEARCHED
        unknown = sorted(self.space.keys() - known)
        if unknown:
            near = [name for one in unknown for name in get_close_matches(one, sorted(known), 1)]
            meant = f", did you mean {', '.join(near)}" if near else ""
            raise ValueError(f"{', '.join(unknown)} cannot be searched{meant}; what can: {', '.join(sorted(known))}")
        if self.classifier.train == "head" and self.classifier.transforms != "strong":
            idle = sorted(self.space.keys() & WITHOUT_EFFECT_ON_A_HEAD)
            if idle and not self.space.keys() & {"train", "transforms"}:
                raise ValueError(f"with train=head the last layer is solved, and {', '.join(idle)} change nothing")
        for name, dimension in self.space.items():
            ends = (dimension.low, dimension.high) if isinstance(dimension, Range) else dimension.choices
            for value in ends:
                _check_value(self.classifier, name, value)
        return self


def with_values(classifier: ClassifierConfig, values: Mapping[str, Any]) -> ClassifierConfig:
    """The classifier with other settings, checked anew. Raises pydantic's ValidationError when they do not agree."""
    return ClassifierConfig.model_validate(classifier.model_dump() | dict(values))


def _check_value(classifier: ClassifierConfig, name: str, value: Value) -> None:
    """ValueError when a setting alone cannot have the value; that settings do not agree is the trials' matter."""
    try:
        with_values(classifier, {name: value})
    except ValidationError as error:
        for detail in error.errors():
            if detail["loc"]:
                raise ValueError(f"{name} cannot be {value!r}: {detail['msg']}") from error
