"""The DreamBooth stage: a base learns a few images of several classes, and keeps what it knew by prior preservation."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.executor import Executor
from tenfold.core.files import write_json_atomic
from tenfold.core.processes import is_first_process
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.finetuning.captions_files import cut_ends
from tenfold.finetuning.checkpointing import load_weights, save_weights, saved_weights
from tenfold.finetuning.choosing import Choice, CopyCheck, choose
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.copy_check import read_real_images
from tenfold.finetuning.curves import write_curves
from tenfold.finetuning.datasets import BalancedOrder, ImageSet
from tenfold.finetuning.dreambooth_material import Material, caption_folder, read_material
from tenfold.finetuning.dreambooth_objective import DreamBoothObjective, TrainingSet
from tenfold.finetuning.latents import Views, cache_latents
from tenfold.finetuning.launched import begin_finetuning, follower_result
from tenfold.finetuning.loop import WEIGHTS, LossTrace, Watcher, train
from tenfold.finetuning.model_records import (
    base_image_ids,
    base_inputs,
    save_adapter,
    save_full_model,
    training_identity,
    write_training_rows,
)
from tenfold.finetuning.optimizing import trained_parameters
from tenfold.finetuning.sampling_watch import SampleWatcher, plan_samples, write_class_strips, write_samples
from tenfold.finetuning.settings import (
    add_adapter,
    checkpointed_gradients,
    focus_margin_of,
    loop_settings,
    views_of,
)
from tenfold.finetuning.validation import Denoiser, ValidationBatch, ValidationTrace, make_validation_batch
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.pipelines import Components, load_components

STAGE = "dreambooth"
PROMPTS = "prompts.json"
CHOICE = "choice.json"


@dataclass(frozen=True)
class _Training:
    """One run at work: the model, what it learns from, and what it is looked at with."""

    config: DreamBoothConfig
    stage_run: StageRun
    base: Path
    base_ids: tuple[str, ...]
    components: Components
    material: Material
    objective: DreamBoothObjective
    validation: ValidationBatch | None
    trace: ValidationTrace

    @property
    def folder(self) -> Path:
        return self.stage_run.folder


def run(config: DreamBoothConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Fine-tune and write ``models/<name>``: a diffusers folder or an adapter, its records, curves and samples.

    One run is one task, so `executor` is not asked; several runs at once are a study's work. Processes that
    `accelerate launch` started share its steps, and the first writes.

    Raises:
        DataError: a training image is not in the training split, a validation image is a training or test image, or
            a caption or mask is missing or does not fit.
        CheckpointError: the base is missing or damaged.
        InputError: a half-done training with other settings lies in the folder.
        StageError: the loss is not a finite number, or the memory ran out.
    """
    base = resolve_checkpoint(config.base_checkpoint, workspace)
    inputs = base_inputs(workspace, base)
    if config.prior_manifest is not None:
        inputs.append(workspace.resolve(config.prior_manifest))
    captions = caption_folder(config, workspace)
    if captions is not None:
        inputs.append(captions)
    stage_run = begin_finetuning(workspace, STAGE, config, inputs, device=resolve_device(config.device))
    if stage_run.is_finished:
        return stage_run.result()
    with limited_threads(config.threads):
        return _work(_prepare(config, stage_run, base, progress), progress)


def _prepare(config: DreamBoothConfig, stage_run: StageRun, base: Path, progress: Progress) -> _Training:
    components = load_components(base, resolve_device(config.device))
    base_ids = base_image_ids(base, stage_run.workspace)
    material = read_material(config, stage_run.workspace, components.image_size_px, base_ids)
    add_adapter(config, components)
    validation, objective = _make_objective(config, components, material)
    trace = ValidationTrace(stage_run.folder / "validation.json")
    for note in material.notes:
        progress.log(note)
    return _Training(config, stage_run, base, base_ids, components, material, objective, validation, trace)


def _work(training: _Training, progress: Progress) -> Result:
    config, folder, components = training.config, training.folder, training.components
    instances = training.material.instances
    cut = cut_ends(components, instances.prompts)
    if cut:
        prompt, end = next(iter(cut.items()))
        owner = instances.image_ids[instances.prompts.index(prompt)]
        progress.log(
            f"{len(cut)} prompts are longer than the checkpoint reads; their ends were cut, e.g. of image {owner}: "
            f"...{end[:80]!r}"
        )
    parameters = trained_parameters(training.objective.modules())
    losses = _train(training, progress)
    if not is_first_process():
        return follower_result(training.stage_run)
    choice = _choose(training, parameters)

    trained = tuple(training.objective.modules())
    outputs = _save_model(training, trained)
    outputs += _write_tables(training, losses, config.max_train_steps if choice is None else choice.step)
    if choice is not None:
        write_json_atomic(folder / CHOICE, choice.to_json())
        outputs.append(folder / CHOICE)
        progress.log(f"weights of step {choice.step}: {choice.reason}")
    if config.samples_per_class:
        plans = plan_samples(instances, config.samples_per_class, seed=config.seed)
        write_samples(folder / "samples.png", components, instances, plans)
        outputs.append(folder / "samples.png")
        if config.samples_steps is not None:
            write_class_strips(folder, plans)
            outputs.append(folder / "samples")
    summary = _summary(training, losses, cut, choice)
    result = training.stage_run.finish(outputs, summary, device=str(components.device))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    if config.weights_every_steps is None:
        shutil.rmtree(folder / WEIGHTS, ignore_errors=True)
    (folder / "validation.json").unlink(missing_ok=True)
    return result


def _train(training: _Training, progress: Progress) -> LossTrace:
    config, stage_run = training.config, training.stage_run
    watchers: list[Watcher] = []
    if training.validation is not None and is_first_process():
        watchers.append(_ValidationWatcher(training.objective.losses, training.validation, training.trace, config))
    if config.samples_steps is not None and config.samples_per_class and is_first_process():
        plans = plan_samples(training.material.instances, config.samples_per_class, seed=config.seed)
        watchers.append(SampleWatcher(training.components, plans, training.folder, every_steps=config.samples_steps))
    identity = training_identity(stage_run.config, stage_run.inputs)
    settings = loop_settings(config, training.components, identity)
    with (
        checkpointed_gradients(config, training.components),
        progress.task(f"DreamBooth {config.name}", config.max_train_steps) as task,
    ):
        return train(training.objective, settings, training.folder, task, watchers=watchers)


def _choose(training: _Training, parameters: Mapping[str, torch.nn.Parameter]) -> Choice | None:
    """Put the best of the kept weights into the model; None where the last weights are wanted."""
    config, folder, components = training.config, training.folder, training.components
    if config.checkpoint_choice == "last":
        return None
    save_weights(folder / WEIGHTS, config.max_train_steps, parameters)
    kept = {step: path for step, path in saved_weights(folder / WEIGHTS).items() if step in training.trace.losses}
    instances = training.material.instances
    real = read_real_images(
        training.stage_run.workspace,
        [*instances.image_ids, *training.base_ids],
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


def _save_model(training: _Training, trained: tuple[str, ...]) -> list[Path]:
    config, components = training.config, training.components
    if config.method == "full":
        return save_full_model(components, training.folder, training.base, trained)
    alpha = float(config.lora_rank if config.lora_alpha is None else config.lora_alpha)
    record = (config.base_checkpoint, config.lora_rank, alpha)
    return save_adapter(components, training.folder, training.base, trained, record)


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


class _ValidationWatcher:
    """Records the validation loss while training goes on."""

    def __init__(
        self, losses: Denoiser, batch: ValidationBatch, trace: ValidationTrace, config: DreamBoothConfig
    ) -> None:
        self._losses, self._batch, self._trace = losses, batch, trace
        self._every_steps, self._batch_size = config.validation_steps, config.train_batch_size

    @property
    def every_steps(self) -> int:
        return self._every_steps

    def look(self, step: int) -> Mapping[str, float]:
        loss = self._batch.loss(self._losses, batch_size=self._batch_size)
        self._trace.record(step, loss)
        return {"validation_loss": loss}


def _write_tables(training: _Training, losses: LossTrace, chosen_step: int) -> list[Path]:
    folder, material = training.folder, training.material
    instances = material.instances
    rows = write_training_rows(folder, instances, material.held_out, material.prior, training.base_ids)
    by_label = {
        label: [prompt for prompt, own in zip(instances.prompts, instances.labels, strict=True) if own == label]
        for label in sorted(set(instances.labels))
    }
    identifiers = {label: material.wording.identifiers[label] for label in by_label}
    write_json_atomic(folder / PROMPTS, {"identifiers": identifiers, "prompts": by_label})
    return [rows, folder / PROMPTS, *write_curves(folder, losses.losses, training.trace.losses, chosen_step)]


def _summary(training: _Training, losses: LossTrace, cut: Mapping[str, str], choice: Choice | None) -> dict[str, Any]:
    config, material = training.config, training.material
    instances = material.instances
    facts: dict[str, Any] = {
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
        "method": config.method,
        "max_train_steps": config.max_train_steps,
        "loss_of_last_tenth": losses.mean_of_last(max(1, config.max_train_steps // 10)),
        "validation_loss": {str(step): loss for step, loss in sorted(training.trace.losses.items())},
        "weights_of_step": config.max_train_steps if choice is None else choice.step,
        "notes": list(material.notes),
    }
    return facts if choice is None else {**facts, "choice": choice.to_json()}
