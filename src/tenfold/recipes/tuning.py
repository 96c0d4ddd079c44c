"""Tuning as a command: a classifier's images and fixed settings, the space to search, the search and its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core.errors import RecipeError
from tenfold.core.executor import Executor
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result
from tenfold.recipes.loader import load_settings
from tenfold.recipes.training import Chosen, TrainingOrder, estimate_training, order_training
from tenfold.recipes.yaml_source import parse_mapping
from tenfold.review.run import refresh

if TYPE_CHECKING:
    from tenfold.classification.tuning_config import TuningConfig

OWN_PREFIX = "tuning."


@dataclass(frozen=True)
class TuningOrder:
    """A checked search, and the training that it varies."""

    training: TrainingOrder
    config: TuningConfig


@dataclass(frozen=True)
class TuningEstimate:
    """What a search would take. space: setting -> words; seconds_of_longest: None where trials take no steps."""

    space: Mapping[str, str]
    trials: int
    images: Mapping[str, Mapping[str, int]]
    seconds_of_longest: float | None
    device: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        most = None if self.seconds_of_longest is None else self.seconds_of_longest * self.trials
        return {
            "space": dict(self.space), "trials": self.trials, "device": self.device,
            "images": {kind: dict(counts) for kind, counts in self.images.items()},
            "seconds_of_longest_trial": self.seconds_of_longest, "seconds_at_most": most,
        }  # fmt: skip


@dataclass(frozen=True)
class TuningOutcome:
    """A finished search, its page, and the settings it found as a file for `tenfold train --config`."""

    result: Result
    page: Path
    best: Path


def order_tuning(
    folder: Path,
    chosen: Chosen,
    settings: Sequence[str] = (),
    options: Mapping[str, tuple[str, Any]] | None = None,
    *,
    own_options: Mapping[str, tuple[str, Any]] | None = None,
    file: Path | None = None,
    space: Path | None = None,
) -> TuningOrder:
    """A checked search on images of the sealed split. Nothing is written.

    Args:
        chosen: the classifier's images, as for a training; its name is the search's.
        settings: ``a=b`` texts; those that begin with ``tuning.`` are the search's, others the classifier's.
        options: the classifier's field -> (the option as a person types it, its value); null values are not given.
        own_options: the same of the search.
        file: a YAML file of the classifier's fields. space: one of settings and their ranges or choices.

    Raises as `order_training` does, and RecipeError when the space cannot be searched.
    """
    from tenfold.classification.tuning_config import TuningConfig

    own = [text.removeprefix(OWN_PREFIX) for text in settings if text.startswith(OWN_PREFIX)]
    others = [text for text in settings if not text.startswith(OWN_PREFIX)]
    training = order_training(folder, replace(chosen, name=f"tuning-{chosen.name}"), others, options, file=file)
    given = {name: pair for name, pair in (own_options or {}).items() if pair[1] is not None}
    if space is not None:
        given["space"] = (f"--space {space}", _read_space(space))
    defaults = {"name": chosen.name, "classifier": training.config, "seed": training.config.classifier_seed}
    return TuningOrder(training, load_settings(TuningConfig, own, given, defaults=defaults))


def estimate_tuning(order: TuningOrder) -> TuningEstimate:
    """Time a few steps of the longest trial; nothing is written."""
    from tenfold.classification.trial_store import searched
    from tenfold.classification.tuning_config import Choices, with_values

    longest: dict[str, Any] = {}
    for name in ("max_train_steps", "max_train_epochs", "batch_size", "image_size_px"):
        dimension = order.config.space.get(name)
        if dimension is not None:
            numbers = dimension.choices if isinstance(dimension, Choices) else (dimension.high,)
            longest[name] = max(value for value in numbers if isinstance(value, int | float))
    config = with_values(order.training.config, longest)
    found = estimate_training(replace(order.training, config=config))
    space = {name: searched(dimension).words for name, dimension in order.config.space.items()}
    return TuningEstimate(space, order.config.trials, order.training.images, found.seconds, found.device)


def run_tuning(order: TuningOrder, executor: Executor, progress: Progress) -> TuningOutcome:
    """Search, then write the page. Resumes: trials that were ended are kept.

    Raises:
        DataError: the name is taken by another search. StageError: no trial came to its end.
    """
    from tenfold.classification.tuning import BEST, run
    from tenfold.reports.config import TuningPageConfig
    from tenfold.reports.tuning_page import PAGE, run_tuning_page

    workspace = order.training.workspace
    with workspace.lock():
        refresh(workspace)
        result = run(order.config, workspace, executor, progress)
        page = run_tuning_page(TuningPageConfig(name=order.config.name), workspace, executor, progress)
    return TuningOutcome(result, page.folder / PAGE, result.folder / BEST)


def _read_space(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or "") if isinstance(error, OSError) else "it is no UTF-8 text"
        raise RecipeError(
            f"the space cannot be read: {reason}", where=str(path),
            expected="a YAML file such as `learning_rate: {low: 1e-5, high: 1e-2, log: true}`",
        ) from error  # fmt: skip
    return parse_mapping(text, str(path)).data
