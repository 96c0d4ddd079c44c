"""Training as a command: a classifier's config from chosen classes, sets and options; the run, its curves, its test."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd

from tenfold.core.errors import DataError, InputError
from tenfold.core.executor import Executor
from tenfold.core.files import write_bytes_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.data.subsets import nested_subset
from tenfold.recipes.earlier_runs import refuse_other_run
from tenfold.recipes.finetuning_images import at_most, choose_labels, split_tables
from tenfold.recipes.loader import load_settings
from tenfold.review.run import refresh

if TYPE_CHECKING:
    from tenfold.classification.config import ClassifierConfig
    from tenfold.recipes.evaluating import EvaluationOutcome

DEFAULT_SHARE = 0.25
CURVES = "curves.png"
_PROBE_STEPS = 6


@dataclass(frozen=True)
class Chosen:
    """What a person chose. None of classes: all; sets: names of synthetic sets.

    None of images_per_class: all there are; of validation_per_class: at most as many as the smallest class trains on.
    share: synthetic part of each batch; None: a quarter where there are sets. 1 trains on synthetic images alone.
    """

    name: str
    classes: tuple[str, ...] | None = None
    images_per_class: int | None = None
    validation_per_class: int | None = None
    sets: tuple[str, ...] = ()
    share: float | None = None
    is_pretrained: bool = True


@dataclass(frozen=True)
class TrainingOrder:
    """A checked config in its workspace, with the number of images of each class by what they are for."""

    workspace: Workspace
    config: ClassifierConfig
    images: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class TrainingEstimate:
    """What a training would take: steps, the passes over its images that they are, seconds by a probe of this machine.

    seconds is None where the last layer is solved on frozen features, which takes no steps.
    """

    order: TrainingOrder
    device: str
    max_train_steps: int | None
    epochs: float | None
    seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        config = self.order.config
        return {
            "classifier": f"classifiers/{config.cell}", "arm": config.arm, "model": config.model,
            "pretrained": config.pretrained, "train": config.train, "transforms": config.transforms,
            "images": {kind: dict(counts) for kind, counts in self.order.images.items()},
            "synthetic_share": config.synthetic_share, "batch_size": config.batch_size, "device": self.device,
            "steps": self.max_train_steps, "epochs": self.epochs, "seconds": self.seconds,
        }  # fmt: skip


@dataclass(frozen=True)
class TrainingOutcome:
    """A finished classifier, the picture of its curves, its looks at validation, and its test figures if asked for."""

    result: Result
    curves: Path
    history: pd.DataFrame
    training: Mapping[str, Any]
    evaluation: EvaluationOutcome | None


def order_training(
    folder: Path,
    chosen: Chosen,
    settings: Sequence[str] = (),
    options: Mapping[str, tuple[str, Any]] | None = None,
    *,
    file: Path | None = None,
) -> TrainingOrder:
    """A checked config on images of the sealed split. Nothing is written.

    Training images are a nested subset: more images per class contain fewer, whatever the classifier's name and seed.

    Args:
        settings: ``a=b`` texts as typed after --set.
        options: field -> (the option as a person types it, its value); null values are not given.
        file: a YAML file of ClassifierConfig's fields; options and settings replace its values.

    Raises:
        WorkspaceError: there is no workspace.
        DataError: no sealed split, fewer images than asked for, or no such synthetic set.
        InputError: an unknown class, only one class, or a classifier of that name with other settings.
        RecipeError, FaultsError: a setting is unknown or of a wrong type, or settings do not fit together.
    """
    from tenfold.classification.config import ClassifierConfig

    workspace = Workspace.open(folder)
    training, validation = split_tables(workspace)
    labels = choose_labels(chosen.classes, training)
    if len(labels) < 2:
        raise InputError(
            f"there is nothing to tell {labels[0]} from",
            where="--classes",
            expected=f"two classes or more of {', '.join(sorted(set(map(str, training['label']))))}",
            todo="name another class, or import images of one, such as normal findings",
        )
    training, validation = (table[table["label"].isin(labels)] for table in (training, validation))
    share = chosen.share if chosen.share is not None else (DEFAULT_SHARE if chosen.sets else 0.0)
    seed = derive_seed(workspace.root_seed, "train", "subset")
    size = chosen.images_per_class
    ids = list(nested_subset(training, per_class=size, seed=seed)) if size else [str(i) for i in training["image_id"]]
    learned = training[training["image_id"].astype(str).isin(ids)]
    smallest = int(learned["label"].value_counts().min())
    count = smallest if chosen.validation_per_class is None else chosen.validation_per_class
    held_out = at_most(validation, count, seed)
    extra = {name: _read_set(workspace, name) for name in chosen.sets}
    given = {name: pair for name, pair in (options or {}).items() if pair[1] is not None}
    strategies = sorted({str(strategy) for rows in extra.values() for strategy in rows["strategy"].dropna().unique()})
    defaults = {
        "cell": chosen.name,
        "study": "train",
        "arm": _arm(chosen.sets, share),
        "labels": labels,
        "training_size": smallest,
        "synthetic_ratio": round(sum(map(len, extra.values())) / max(1, len(learned)), 4),
        "synthetic_share": share,
        "strategy": "+".join(strategies) or "none",
        "subset_seed": seed,
        "classifier_seed": derive_seed(workspace.root_seed, "train"),
        "train_ids": ids if share < 1 else (),
        "validation_ids": held_out,
        "extra_manifests": [f"synthetic/{name}/manifest.parquet" for name in chosen.sets],
        "pretrained": chosen.is_pretrained,
        "checkpointing_steps": 100,
        **({} if chosen.is_pretrained and given.get("train", ("", "full"))[1] == "full" else {"freeze_blocks": 0}),
    }
    config = load_settings(ClassifierConfig, settings, given, file=file, defaults=defaults)
    refuse_other_run(workspace.resolve(f"classifiers/{config.cell}"), config, "classification", "classifier")
    tables = {
        "training": learned if share < 1 else learned.iloc[:0],
        "synthetic": pd.concat(list(extra.values())) if extra else learned.iloc[:0],
        "validation": validation[validation["image_id"].astype(str).isin(held_out)],
    }
    return TrainingOrder(workspace, config, {kind: _counts(rows) for kind, rows in tables.items()})


def estimate_training(order: TrainingOrder) -> TrainingEstimate:
    """Take a few steps on the very images and time them; nothing is written.

    Raises as the training itself does for images, weights and settings that cannot be used.
    """
    from tenfold.classification.fitting import cell_images, fit_cell, steps_of
    from tenfold.core.device import resolve_device

    config = order.config
    images = cell_images(config, order.workspace)
    device = resolve_device(config.device)
    if config.train == "head" and config.transforms != "strong":
        return TrainingEstimate(order, device, None, None, None)
    count = len(images.train) + len(images.extra)
    steps = steps_of(config, count)
    few = {"max_train_steps": min(steps, _PROBE_STEPS), "evaluate_every_steps": _PROBE_STEPS}
    none = dict.fromkeys(("max_train_epochs", "early_stopping_looks", "checkpointing_steps"))
    watch = _Watch()
    fit_cell(config.model_copy(update=few | none), order.workspace, images, watch)
    each, look = watch.step_and_rest()
    looks = -(-steps // config.evaluate_every_steps)
    return TrainingEstimate(order, device, steps, steps * config.batch_size / count, steps * each + looks * look)


def run_training(
    order: TrainingOrder, executor: Executor, progress: Progress, *, with_test: bool = True
) -> TrainingOutcome:
    """Train, draw the curves and, unless told otherwise, judge the test predictions. Resumes.

    Raises:
        TenfoldError: of the training; what was finished is kept.
    """
    from tenfold.classification.run import run
    from tenfold.core.files import read_json
    from tenfold.recipes.evaluating import evaluation_settings, order_classifiers, run_evaluation
    from tenfold.reports.training_figures import training_curves

    with order.workspace.lock():
        refresh(order.workspace)
        result = run(order.config, order.workspace, executor, progress)
        history = pd.read_csv(result.folder / "history.csv")
        curves = result.folder / CURVES
        write_bytes_atomic(curves, training_curves(history))
    evaluation = None
    if with_test:
        wanted = evaluation_settings((), {"title": ("--name", order.config.cell)})
        tables = order_classifiers(wanted, order.workspace.path, [order.config.cell])
        evaluation = run_evaluation(tables, progress)
    return TrainingOutcome(result, curves, history, read_json(result.folder / "training.json"), evaluation)


@dataclass
class _Watch:
    """A progress that notes the time of every step."""

    times: list[float] = field(default_factory=list)
    end: float = 0.0

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[_Watch]:
        self.times.append(time.monotonic())
        yield self
        self.end = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        if steps:
            self.times.append(time.monotonic())

    def log(self, message: str) -> None:
        """Not shown twice: the training itself will say it."""

    def step_and_rest(self) -> tuple[float, float]:
        """Seconds of one step (the first one left out where there are more), and of what came after the last one."""
        steps = [after - before for before, after in pairwise(self.times)]
        return median(steps[1:] or steps), self.end - self.times[-1]


def _read_set(workspace: Workspace, name: str) -> pd.DataFrame:
    path = workspace.resolve(f"synthetic/{name}/manifest.parquet")
    if not path.is_file():
        known = sorted(place.parent.name for place in workspace.path.glob("synthetic/*/manifest.parquet"))
        raise DataError(
            f"there is no synthetic set {name!r}",
            where=str(path.parent),
            expected=", ".join(known) if known else "a set made by `tenfold generate`",
        )
    return read_manifest(path)


def _arm(sets: Sequence[str], share: float) -> str:
    if not sets:
        return "real"
    return "synthetic_only" if share == 1 else "hybrid"


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {str(label): int(count) for label, count in rows["label"].value_counts().sort_index().items()}
