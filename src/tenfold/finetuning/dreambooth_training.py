"""One DreamBooth training at work: what it reads, what it is looked at with, the weights it keeps, what it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.finetuning.captions_files import cut_ends
from tenfold.finetuning.checkpointing import load_weights, saved_weights
from tenfold.finetuning.choosing import Choice, CopyCheck, choose
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.copy_check import read_real_images
from tenfold.finetuning.curves import write_curves
from tenfold.finetuning.datasets import BalancedOrder, ImageSet
from tenfold.finetuning.dreambooth_material import Material, caption_folder
from tenfold.finetuning.dreambooth_objective import DreamBoothObjective, TrainingSet
from tenfold.finetuning.finishing import training_facts, write_choice, write_prompts
from tenfold.finetuning.latents import Views, cache_latents
from tenfold.finetuning.loop import LossTrace, Watcher
from tenfold.finetuning.model_records import base_inputs, write_training_rows
from tenfold.finetuning.sampling_watch import SampleWatcher, plan_samples, write_class_strips, write_samples
from tenfold.finetuning.settings import focus_margin_of, views_of
from tenfold.finetuning.validation import (
    VALIDATION,
    ValidationBatch,
    ValidationTrace,
    ValidationWatcher,
    make_validation_batch,
)
from tenfold.models.learned_images import LearnedImages
from tenfold.models.pipelines import Components

STAGE = "dreambooth"


@dataclass(frozen=True)
class DreamBoothTraining:
    """The model, what it learns from, and what it is looked at with."""

    config: DreamBoothConfig
    stage_run: StageRun
    learned: LearnedImages
    """By the base."""
    components: Components
    material: Material
    objective: DreamBoothObjective
    validation: ValidationBatch | None
    trace: ValidationTrace
    cut: Mapping[str, str]
    """Prompts that are longer than the checkpoint reads, with the ends that it never sees."""

    @property
    def folder(self) -> Path:
        """The model's folder."""
        return self.stage_run.folder


def training_inputs(config: DreamBoothConfig, workspace: Workspace, base: Path) -> list[Path]:
    """The files that the training reads."""
    inputs = base_inputs(workspace, base)
    if config.prior_manifest is not None:
        inputs.append(workspace.resolve(config.prior_manifest))
    captions = caption_folder(config, workspace)
    return inputs if captions is None else [*inputs, captions]


def make_training(
    config: DreamBoothConfig,
    stage_run: StageRun,
    components: Components,
    material: Material,
    learned: LearnedImages,
    progress: Progress,
) -> DreamBoothTraining:
    """Put the parts together; the components hold their adapter already, where one is trained."""
    validation, objective = _make_objective(config, components, material)
    trace = ValidationTrace(stage_run.folder / VALIDATION)
    for note in material.notes:
        progress.log(note)
    instances = material.instances
    cut = cut_ends(components, instances.prompts)
    if cut:
        prompt, end = next(iter(cut.items()))
        owner = instances.image_ids[instances.prompts.index(prompt)]
        progress.log(
            f"{len(cut)} prompts are longer than the checkpoint reads; their ends were cut, e.g. of image {owner}: "
            f"...{end[:80]!r}"
        )
    return DreamBoothTraining(config, stage_run, learned, components, material, objective, validation, trace, cut)


def watchers_of(training: DreamBoothTraining) -> list[Watcher]:
    """The validation loss and the samples on the way, as far as they are asked for."""
    config = training.config
    watchers: list[Watcher] = []
    validation = training.validation
    if validation is not None:

        def held_out_loss() -> float:
            return validation.loss(training.objective.losses, batch_size=config.train_batch_size)

        watchers.append(ValidationWatcher(held_out_loss, training.trace, every_steps=config.validation_steps))
    if config.samples_steps is not None and config.samples_per_class:
        plans = plan_samples(training.material.instances, config.samples_per_class, seed=config.seed)
        watchers.append(SampleWatcher(training.components, plans, training.folder, every_steps=config.samples_steps))
    return watchers


def choose_weights(training: DreamBoothTraining, parameters: Mapping[str, torch.nn.Parameter], weights: Path) -> Choice:
    """Put the best of the weights that were kept in the folder `weights` into the model."""
    config, components = training.config, training.components
    kept = {step: path for step, path in saved_weights(weights).items() if step in training.trace.losses}
    instances = training.material.instances
    real = read_real_images(
        training.stage_run.workspace,
        [*instances.image_ids, *training.learned.image_ids],
        sorted(set(instances.labels)),
        image_size_px=components.image_size_px,
        focus_margin=focus_margin_of(config),
    )
    plans = plan_samples(instances, config.choice_samples, seed=derive_seed(config.seed, "choice"))

    def look(step: int) -> CopyCheck | None:
        load_weights(kept[step], parameters)
        return real.check(np.concatenate([plan.draw(components) for plan in plans]))

    choice = choose(training.trace.losses, list(kept), look, most_looks=config.choice_candidates)
    load_weights(kept[choice.step], parameters)
    return choice


def finish_training(
    training: DreamBoothTraining, losses: LossTrace, choice: Choice | None, model: list[Path], progress: Progress
) -> Result:
    """Write tables, curves and samples beside the model's files, then the record."""
    config, folder, components = training.config, training.folder, training.components
    instances = training.material.instances
    outputs = [*model, *_write_tables(training, losses, choice), *write_choice(folder, choice, progress)]
    if config.samples_per_class:
        plans = plan_samples(instances, config.samples_per_class, seed=config.seed)
        write_samples(folder / "samples.png", components, instances, plans)
        outputs.append(folder / "samples.png")
        if config.samples_steps is not None:
            write_class_strips(folder, plans)
            outputs.append(folder / "samples")
    return training.stage_run.finish(outputs, _summary(training, losses, choice), device=str(components.device))


def _make_objective(
    config: DreamBoothConfig, components: Components, material: Material
) -> tuple[ValidationBatch | None, DreamBoothObjective]:
    sets = [_training_set("instance", components, material.instances, views_of(config), config)]
    if material.prior is not None:
        sets.append(_training_set("prior", components, material.prior, Views(), config))
    held_out = material.held_out
    objective = DreamBoothObjective(
        components,
        sets,
        seed=derive_seed(config.seed, "dreambooth"),
        snr_gamma=config.snr_gamma,
        caption_dropout=config.caption_dropout,
        train_text_encoder=config.trains_text,
        other_prompts=() if held_out is None else held_out.prompts,
    )
    if held_out is None:
        return None, objective
    validation = make_validation_batch(
        cache_latents(components, held_out.images, Views(), seed=config.seed).means(),
        held_out.image_ids,
        held_out.prompts,
        timestep_count=objective.timestep_count,
        seed=config.seed,
    )
    return validation, objective


def _training_set(
    kind: str, components: Components, images: ImageSet, views: Views, config: DreamBoothConfig
) -> TrainingSet:
    is_prior = kind == "prior"
    seed = derive_seed(config.seed, "dreambooth", kind)
    return TrainingSet(
        latents=cache_latents(components, images.images, views, seed=seed),
        prompts=images.prompts,
        order=BalancedOrder(images.labels, seed=seed),
        batch_size=config.prior_batch_size if is_prior else config.train_batch_size,
        loss_weight=config.prior_loss_weight if is_prior else 1.0,
    )


def _write_tables(training: DreamBoothTraining, losses: LossTrace, choice: Choice | None) -> list[Path]:
    folder, material = training.folder, training.material
    rows = write_training_rows(folder, material.instances, material.held_out, material.prior, training.learned)
    prompts = write_prompts(folder, material.instances, material.wording)
    step = training.config.max_train_steps if choice is None else choice.step
    return [rows, prompts, *write_curves(folder, losses.losses, training.trace.losses, step)]


def _summary(training: DreamBoothTraining, losses: LossTrace, choice: Choice | None) -> dict[str, Any]:
    material, cut = training.material, training.cut
    instances = material.instances
    return {
        "labels": sorted(set(instances.labels)),
        "identifiers": dict(material.wording.identifiers),
        "training_images": len(instances.image_ids),
        "prior_images": 0 if material.prior is None else len(material.prior.image_ids),
        "cut_prompts": list(cut),
        "cut_ends": {
            image_id: cut[prompt]
            for image_id, prompt in zip(instances.image_ids, instances.prompts, strict=True)
            if prompt in cut
        },
        **training_facts(training.config, losses, training.trace.losses, choice),
        "notes": list(material.notes),
    }
