"""The inpainting stage: a base learns to paint a masked part of a few images anew, fitting what surrounds it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.errors import InputError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.finetuning.captions_files import cut_ends
from tenfold.finetuning.checkpointing import load_weights, save_weights, saved_weights
from tenfold.finetuning.choosing import Candidate, Choice
from tenfold.finetuning.curves import write_curves
from tenfold.finetuning.inpainting_config import InpaintingConfig
from tenfold.finetuning.inpainting_material import InpaintingMaterial, mask_files, read_inpainting_material
from tenfold.finetuning.inpainting_objective import (
    InpaintingObjective,
    InpaintingSettings,
    inpainting_views,
    make_masked_validation,
)
from tenfold.finetuning.inpainting_samples import (
    MaskedLossWatcher,
    PaintingPlan,
    PaintingWatcher,
    plan_paintings,
    write_paintings,
)
from tenfold.finetuning.loop import WEIGHTS, LossTrace, Watcher, train
from tenfold.finetuning.model_records import (
    base_image_ids,
    base_inputs,
    refuse_other_training,
    save_adapter,
    save_full_model,
    training_identity,
    write_training_rows,
)
from tenfold.finetuning.optimizing import trained_parameters
from tenfold.finetuning.sampling_watch import SAMPLES
from tenfold.finetuning.settings import add_adapter, checkpointed_gradients, loop_settings, views_of
from tenfold.finetuning.validation import ValidationTrace
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.inpainting import Surroundings, is_inpainting_unet
from tenfold.models.pipelines import Components, load_components

STAGE = "inpainting"
PROMPTS = "prompts.json"
CHOICE = "choice.json"
INPAINTING = "inpainting.json"
"""How the model is to be shown an image with a hole: read by whatever paints with it."""


@dataclass(frozen=True)
class _Training:
    """One run at work: the model, what it learns from, and what it is looked at with."""

    config: InpaintingConfig
    stage_run: StageRun
    base: Path
    base_ids: tuple[str, ...]
    components: Components
    surroundings: Surroundings
    material: InpaintingMaterial
    objective: InpaintingObjective
    plan: PaintingPlan | None
    watchers: tuple[Watcher, ...]
    trace: ValidationTrace

    @property
    def folder(self) -> Path:
        return self.stage_run.folder


def run_inpainting(
    config: InpaintingConfig, workspace: Workspace, executor: Executor, progress: Progress
) -> Result:
    """Fine-tune and write ``models/<name>``: a diffusers folder or an adapter, its records, curves and samples.

    One run is one task, so `executor` is not asked.

    Raises:
        DataError: a training image is not in the training split, a validation image is a training or test image, or
            a mask is missing, empty, or of another size than its image.
        CheckpointError: the base is missing or damaged, or neither a text-to-image nor an inpainting checkpoint.
        InputError: a half-done training with other settings lies in the folder, or `surroundings` is given for an
            inpainting UNet.
        StageError: the loss is not a finite number, or the memory ran out.
    """
    base = resolve_checkpoint(config.base_checkpoint, workspace)
    inputs = [*base_inputs(workspace, base), *mask_files(config, workspace)]
    if (base / INPAINTING).is_file():
        inputs.append(base / INPAINTING)
    place = f"models/{config.name}"
    refuse_other_training(workspace, STAGE, workspace.resolve(place), config, inputs)
    stage_run = begin_stage(workspace, STAGE, place, config, inputs, seed=config.seed)
    if stage_run.is_finished:
        return stage_run.result()
    with limited_threads(config.threads):
        return _work(_prepare(config, stage_run, base, progress), progress)


def _prepare(config: InpaintingConfig, stage_run: StageRun, base: Path, progress: Progress) -> _Training:
    components = load_components(base, resolve_device(config.device), kinds=("text2img", "inpainting"))
    surroundings = _surroundings(config, components)
    base_ids = base_image_ids(base, stage_run.workspace)
    material = read_inpainting_material(config, stage_run.workspace, components.image_size_px, base_ids)
    for note in material.notes:
        progress.log(note)
    plan = None
    if config.samples_per_class:
        shown = material.held_out or material.training
        plan = plan_paintings(shown.images, shown.lesions, config.samples_per_class, seed=config.seed)
    seed = derive_seed(config.seed, STAGE)
    views = inpainting_views(
        components, material.training.images, material.training.lesions, views_of(config), seed=seed
    )
    objective_settings = InpaintingSettings(
        batch_size=config.train_batch_size,
        surroundings=surroundings,
        snr_gamma=config.snr_gamma,
        caption_dropout=config.caption_dropout,
        train_text_encoder=config.trains_text,
    )
    add_adapter(config, components)
    held_out = material.held_out
    other_prompts = () if held_out is None else held_out.images.prompts
    objective = InpaintingObjective(components, views, objective_settings, seed=seed, other_prompts=other_prompts)
    trace = ValidationTrace(stage_run.folder / "validation.json")
    watchers: list[Watcher] = []
    if held_out is not None:
        validation = make_masked_validation(
            components, held_out.images, held_out.lesions, timestep_count=objective.timestep_count, seed=config.seed
        )
        steps, batch_size = config.validation_steps, config.train_batch_size
        watchers.append(MaskedLossWatcher(objective, validation, trace, every_steps=steps, batch_size=batch_size))
    if plan is not None and config.samples_steps is not None:
        folder, steps = stage_run.folder, config.samples_steps
        watchers.append(PaintingWatcher(components, plan, surroundings, folder, every_steps=steps))
    return _Training(
        config, stage_run, base, base_ids, components, surroundings, material, objective, plan, tuple(watchers), trace
    )


def _work(training: _Training, progress: Progress) -> Result:
    config, folder = training.config, training.folder
    instances = training.material.training.images
    cut = cut_ends(training.components, instances.prompts)
    if cut:
        progress.log(f"{len(cut)} prompts are longer than the checkpoint reads; their ends were cut")
    before = None if training.plan is None else _painted_by_base(training, training.plan)
    parameters = trained_parameters(training.objective.modules())
    losses = _train(training, progress)
    choice = _choose(training, parameters)

    outputs = _save_model(training)
    outputs += _write_tables(training, losses, config.max_train_steps if choice is None else choice.step)
    if choice is not None:
        write_json_atomic(folder / CHOICE, choice.to_json())
        outputs.append(folder / CHOICE)
        progress.log(f"weights of step {choice.step}: {choice.reason}")
    if training.plan is not None and before is not None:
        after = training.plan.paint(training.components, training.surroundings)
        write_paintings(folder / "samples.png", training.plan, [before, after])
        outputs.append(folder / "samples.png")
        if config.samples_steps is not None:
            outputs.append(folder / SAMPLES)
    result = training.stage_run.finish(
        outputs, _summary(training, losses, cut, choice), device=str(training.components.device)
    )
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    if config.weights_every_steps is None:
        shutil.rmtree(folder / WEIGHTS, ignore_errors=True)
    (folder / "validation.json").unlink(missing_ok=True)
    return result


def _surroundings(config: InpaintingConfig, components: Components) -> Surroundings:
    if not is_inpainting_unet(components):
        return config.surroundings or "clean"
    if config.surroundings is not None:
        raise InputError(
            f"surroundings={config.surroundings} is given, but this base has an inpainting UNet",
            where=config.base_checkpoint,
            expected="nothing: such a UNet sees the mask and the rest of the image beside the noise",
            todo="Leave surroundings out, or take a text-to-image base.",
        )
    return "noisy"


def _painted_by_base(training: _Training, plan: PaintingPlan) -> NDArray[np.uint8]:
    """What the base paints, shown images as it knows them: as noisy as inside, unless it was fine-tuned otherwise."""
    path = training.base / INPAINTING
    surroundings: Surroundings = "noisy"
    if path.is_file() and read_json(path).get("surroundings") == "clean":
        surroundings = "clean"
    return plan.paint(training.components, surroundings)


def _train(training: _Training, progress: Progress) -> LossTrace:
    config, stage_run = training.config, training.stage_run
    identity = training_identity(stage_run.config, stage_run.inputs)
    settings = loop_settings(config, training.components, identity)
    with (
        checkpointed_gradients(config, training.components),
        progress.task(f"inpainting {config.name}", config.max_train_steps) as task,
    ):
        return train(training.objective, settings, training.folder, task, watchers=training.watchers)


def _choose(training: _Training, parameters: Mapping[str, torch.nn.Parameter]) -> Choice | None:
    """Put the kept weights of the lowest validation loss into the model; None where the last weights are wanted."""
    config, folder, losses = training.config, training.folder, training.trace.losses
    if config.checkpoint_choice == "last":
        return None
    save_weights(folder / WEIGHTS, config.max_train_steps, parameters)
    kept = {step: path for step, path in saved_weights(folder / WEIGHTS).items() if step in losses}
    ranked = sorted(kept, key=lambda step: (losses[step], step))
    load_weights(kept[ranked[0]], parameters)
    reason = "the lowest validation loss; painted images keep real pixels, so copies are not looked for"
    return Choice(ranked[0], reason, losses[0], tuple(Candidate(step, losses[step]) for step in ranked))


def _save_model(training: _Training) -> list[Path]:
    config, components, folder = training.config, training.components, training.folder
    trained = tuple(training.objective.modules())
    if config.method == "full":
        written = save_full_model(components, folder, training.base, trained)
    else:
        alpha = float(config.lora_rank if config.lora_alpha is None else config.lora_alpha)
        record = (config.base_checkpoint, config.lora_rank, alpha)
        written = save_adapter(components, folder, training.base, trained, record)
    write_json_atomic(folder / INPAINTING, _usage(training))
    return [*written, folder / INPAINTING]


def _usage(training: _Training) -> dict[str, Any]:
    is_inpainting = is_inpainting_unet(training.components)
    return {
        "unet": "inpainting" if is_inpainting else "text2img",
        "surroundings": None if is_inpainting else training.surroundings,
        "masks": training.config.masks,
        "mask_dilation": training.config.mask_dilation if training.config.masks == "lesion" else None,
    }


def _write_tables(training: _Training, losses: LossTrace, chosen_step: int) -> list[Path]:
    folder, material = training.folder, training.material
    instances = material.training.images
    held_out = None if material.held_out is None else material.held_out.images
    rows = write_training_rows(folder, instances, held_out, None, training.base_ids)
    by_label = {
        label: [prompt for prompt, own in zip(instances.prompts, instances.labels, strict=True) if own == label]
        for label in sorted(set(instances.labels))
    }
    identifiers = {label: material.wording.identifiers[label] for label in by_label}
    write_json_atomic(folder / PROMPTS, {"identifiers": identifiers, "prompts": by_label})
    return [rows, folder / PROMPTS, *write_curves(folder, losses.losses, training.trace.losses, chosen_step)]


def _summary(
    training: _Training, losses: LossTrace, cut: Mapping[str, str], choice: Choice | None
) -> dict[str, Any]:
    config, material = training.config, training.material
    instances = material.training.images
    facts: dict[str, Any] = {
        "labels": sorted(set(instances.labels)),
        "identifiers": dict(material.wording.identifiers),
        "training_images": len(instances.image_ids),
        "validation_images": 0 if material.held_out is None else len(material.held_out.images.image_ids),
        **_usage(training),
        "mean_lesion_share": material.mean_lesion_share,
        "cut_prompts": list(cut),
        "method": config.method,
        "max_train_steps": config.max_train_steps,
        "loss_of_last_tenth": losses.mean_of_last(max(1, config.max_train_steps // 10)),
        "validation_loss": {str(step): loss for step, loss in sorted(training.trace.losses.items())},
        "weights_of_step": config.max_train_steps if choice is None else choice.step,
        "notes": list(material.notes),
    }
    return facts if choice is None else {**facts, "choice": choice.to_json()}
