"""How fast this machine is: a few real steps of each of a study's stages, on a handful of its training images."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.classification.config import ClassifierConfig
from tenfold.core.config import StageConfig
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress, Progress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import write_manifest
from tenfold.data.splits import seal_split
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.inpainting_config import InpaintingConfig
from tenfold.generation.config import GenerateConfig
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.estimates import DEFAULT_RATES, Linear, Rates
from tenfold.studies.parts import run_stage
from tenfold.studies.plan import StudyPlan
from tenfold.studies.settings import fill_config

_FEW, _MORE = 2, 6
_PER_CLASS: Mapping[str, int] = {"train": 4, "val": 2, "test": 2}
"""Images of the probe's own splits; all of them are training images of the study."""
_FORWARD = 1 / 3
"""What predicting an image takes of what a training step on it does."""


@dataclass(frozen=True)
class _Timed:
    result: Result
    seconds: float


def probe(
    config: StudyRunConfig, plan: StudyPlan, workspace: Workspace, table: pd.DataFrame, progress: Progress
) -> Rates:
    """Rates of one worker of this machine, for the stages that the plan has; the others keep the reference's.

    The study's own stages run in a folder that is removed again, with few steps and on training images only: no test
    image is read. table: the real manifest with its ``split``.

    Raises:
        TenfoldError: a stage cannot begin, for the reason that the study would meet as well.
    """
    chosen = _choose(table, plan.labels)
    if chosen is None:
        return replace(DEFAULT_RATES, basis=f"{DEFAULT_RATES.basis} (too few training images for a probe)")
    rates = DEFAULT_RATES
    has_tuning, has_drawing = bool(plan.generators), any(made.strategy == "text2img" for made in plan.sets)
    with tempfile.TemporaryDirectory(prefix="tenfold-probe-") as place:
        scratch = _scratch(workspace, chosen, Path(place) / "probe")
        measured = _Probe(config, plan, workspace, scratch, chosen)
        steps: list[Callable[[Rates], Rates]] = [measured.training]
        steps += [measured.tuning] if has_tuning else []
        steps += [measured.drawing] if has_drawing else []
        with progress.task("Probing this machine", len(steps)) as task:
            for step in steps:
                rates = step(rates)
                task.advance()
    tests = int((table["split"] == "test").sum())
    start = rates.training.start + tests * rates.training.each * _FORWARD
    names = ["training", *(["fine-tuning"] if has_tuning else []), *(["drawing"] if has_drawing else [])]
    basis = f"a probe of this machine ({', '.join(names)}), one worker at a time"
    return replace(rates, basis=basis, training=Linear(start, rates.training.each))


class _Probe:
    def __init__(
        self, config: StudyRunConfig, plan: StudyPlan, workspace: Workspace, scratch: Workspace, chosen: pd.DataFrame
    ) -> None:
        self.config = config
        self.plan = plan
        self.workspace = workspace
        self.scratch = scratch
        self.ids = {name: tuple(map(str, rows["image_id"])) for name, rows in chosen.groupby("split")}

    def training(self, rates: Rates) -> Rates:
        """Of a classifier."""
        settings: Any = self.config.classify
        is_head = settings.train == "head"

        def order(steps: int, name: str) -> ClassifierConfig:
            few = {
                "max_train_steps": steps,
                "max_train_epochs": None,
                "lr_warmup_steps": 0,
                "early_stopping_looks": None,
                "evaluate_every_steps": steps,
                "checkpointing_steps": None,
            }
            filled = {
                "cell": name,
                "arm": "probe",
                "labels": self.plan.labels,
                "training_size": _PER_CLASS["train"],
                "train_ids": self.ids["train"],
                "validation_ids": self.ids["val"],
            }
            return fill_config(ClassifierConfig, settings.model_copy(update=few), "classify", filled)

        line, last = self._measure("classify", order, settings.batch_size, is_flat=is_head)
        size = _bytes(last.folder / "model.safetensors") / 1e6
        return replace(rates, training=line, megabytes_per_classifier=max(size, 0.1))

    def tuning(self, rates: Rates) -> Rates:
        """Of a generator, of the kind that the plan has first."""
        kind = self.plan.generators[0].kind
        section = self.config.inpaint if kind == "inpainting" else self.config.finetune
        settings: Any = section if section is not None else self.config.finetune
        config_class = InpaintingConfig if kind == "inpainting" else DreamBoothConfig

        def order(steps: int, name: str) -> StageConfig:
            few = {
                "base_checkpoint": self._base(str(settings.base_checkpoint)),
                "max_train_steps": steps,
                "checkpointing_steps": 1000,
                "weights_every_steps": None,
                "samples_steps": None,
                "samples_per_class": 0,
                "checkpoint_choice": "last",
            }
            filled = {
                "name": name,
                "seed": 0,
                "training_ids": self.ids["train"],
                "class_nouns": self.config.class_nouns,
            }
            return fill_config(config_class, settings.model_copy(update=few), "finetune", filled)

        images = settings.train_batch_size * settings.gradient_accumulation_steps
        line, last = self._measure(kind, order, images)
        return replace(rates, fine_tuning=line, megabytes_per_generator=_bytes(last.folder) / 1e6)

    def drawing(self, rates: Rates) -> Rates:
        """Of images, drawn by the base."""
        base: Any = self.config.finetune
        settings: Any = self.config.generate

        def order(steps: int, name: str) -> GenerateConfig:
            few = {"num_inference_steps": steps, "skin_types": None, "prompts": {self.plan.labels[0]: ("a photo",)}}
            filled = {
                "name": name,
                "seed": 0,
                "checkpoint": self._base(str(base.base_checkpoint)),
                "labels": self.plan.labels[:1],
                "images_per_class": 4,
            }
            changed = {**few, "negative_prompts": {}, "guidance_scales": {}, "fields": {}}
            return fill_config(GenerateConfig, settings.model_copy(update=changed), "generate", filled)

        line, last = self._measure("generate", order, 4)
        kilobytes = _bytes(last.folder / "images") / 4 / 1000 or rates.kilobytes_per_image
        guided = 1.0 if settings.guidance_scale != 1 else 2.0  # a unit is a guided step
        return replace(
            rates, drawing=Linear(line.start, line.each * guided), decoding=0.0, kilobytes_per_image=kilobytes
        )

    def _base(self, reference: str) -> str:
        """A checkpoint as the scratch workspace finds it."""
        own = self.workspace.path / reference
        return str(own) if reference.startswith("models/") and own.is_dir() else reference

    def _measure(
        self, stage: Any, order: Callable[[int, str], StageConfig], images: int, *, is_flat: bool = False
    ) -> tuple[Linear, Result]:
        """Seconds by image of a step, from two lengths of the same run; a first run reads the libraries."""
        self._run(stage, order(_FEW, "probe-first"))
        few = self._run(stage, order(_FEW, "probe-few"))
        if is_flat:
            return Linear(few.seconds, 0.0), few.result
        more = self._run(stage, order(_MORE, "probe-more"))
        each = max(more.seconds - few.seconds, 1e-4) / ((_MORE - _FEW) * images)
        return Linear(max(few.seconds - _FEW * images * each, 0.0), each), more.result

    def _run(self, stage: Any, config: StageConfig) -> _Timed:
        """In the way of a worker: on one thread."""

        def act(order: StageConfig) -> _Timed:
            began = time.perf_counter()
            result = run_stage(stage, order, self.scratch, NullProgress())
            return _Timed(result, time.perf_counter() - began)

        return next(answer for _, answer in SerialExecutor().map(act, [config]))


def _choose(table: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame | None:
    """A few training images of each class, with splits of their own; None where there are too few."""
    train = table[table["split"] == "train"]
    parts = []
    for label in labels:
        rows = train[train["label"] == label].head(sum(_PER_CLASS.values()))
        if len(rows) < len(_PER_CLASS):
            return None
        splits = [split for split, count in _PER_CLASS.items() for _ in range(count)]
        # Each split has an image first; what is left goes to training.
        first = [*_PER_CLASS, *(["train"] * len(rows))][: len(rows)]
        parts.append(rows.assign(split=splits if len(rows) == len(splits) else first))
    return pd.concat(parts, ignore_index=True)


def _scratch(workspace: Workspace, chosen: pd.DataFrame, place: Path) -> Workspace:
    """A workspace of these images alone."""
    scratch = Workspace.create(place, name="probe", root_seed=0, data_license="not stated")
    for column in ("path", "mask_path"):
        for relative in chosen[column].dropna().astype(str):
            target = scratch.resolve(relative)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(workspace.resolve(relative), target)
    manifest = chosen.assign(split=pd.array([None] * len(chosen), dtype="string"))
    write_manifest(manifest, scratch.resolve("data/manifest.parquet"))
    split = pd.Series(chosen["split"].astype(str).to_numpy(), index=chosen["image_id"].astype(str))
    seal_split(scratch.resolve("data/splits.json"), manifest, split, seed=0)
    return scratch


def _bytes(path: Path) -> float:
    """Of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return float(sum(one.stat().st_size for one in files))
