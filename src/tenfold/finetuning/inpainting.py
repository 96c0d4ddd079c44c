"""The inpainting stage: a base learns to paint a masked part of a few images anew, fitting what surrounds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.errors import InputError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.processes import is_first_process
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.finetuning.captions_files import cut_ends
from tenfold.finetuning.choosing import Choice
from tenfold.finetuning.curves import write_curves
from tenfold.finetuning.finishing import (
    choose_weights_by_loss,
    clear_working_files,
    save_trained,
    training_facts,
    write_choice,
    write_prompts,
)
from tenfold.finetuning.inpainting_config import InpaintingConfig
from tenfold.finetuning.inpainting_material import InpaintingMaterial, mask_files, read_inpainting_material
from tenfold.finetuning.inpainting_objective import (
    InpaintingObjective,
    InpaintingSettings,
    inpainting_views,
    make_masked_validation,
)
from tenfold.finetuning.inpainting_samples import (
    PaintingPlan,
    PaintingWatcher,
    plan_paintings,
    write_paintings,
)
from tenfold.finetuning.launched import begin_finetuning, follower_result
from tenfold.finetuning.loop import LossTrace, Watcher, train
from tenfold.finetuning.model_records import base_inputs, learned_by_base, training_identity, write_training_rows
from tenfold.finetuning.optimizing import trained_parameters
from tenfold.finetuning.sampling_watch import SAMPLES
from tenfold.finetuning.settings import add_adapter, checkpointed_gradients, loop_settings, views_of
from tenfold.finetuning.validation import VALIDATION, ValidationTrace, ValidationWatcher
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.inpainting import Surroundings, is_inpainting_unet
from tenfold.models.learned_images import LearnedImages
from tenfold.models.pipelines import Components, load_components

STAGE = "inpainting"
INPAINTING = "inpainting.json"
"""How the model is to be shown an image with a hole: read by whatever paints with it."""


@dataclass(frozen=True)
class _Training:
    """One run at work: the model, what it learns from, and what it is looked at with."""

    config: InpaintingConfig
    stage_run: StageRun
    base: Path
    learned: LearnedImages
    """By the base."""
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


def run_inpainting(config: InpaintingConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Fine-tune and write ``models/<name>``: a diffusers folder or an adapter, its records, curves and samples.

    One run is one task, so `executor` is not asked. Processes that `accelerate launch` started share its steps, and
    the first writes.

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
    stage_run = begin_finetuning(workspace, STAGE, config, inputs, device=resolve_device(config.device))
    if stage_run.is_finished:
        return stage_run.result()
    with limited_threads(config.threads):
        return _work(_prepare(config, stage_run, base, progress), progress)


def _prepare(config: InpaintingConfig, stage_run: StageRun, base: Path, progress: Progress) -> _Training:
    components = load_components(base, resolve_device(config.device), kinds=("text2img", "inpainting"))
    surroundings = _surroundings(config, components)
    learned = learned_by_base(base, stage_run.workspace)
    material = read_inpainting_material(config, stage_run.workspace, components.image_size_px, learned.image_ids)
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
    trace = ValidationTrace(stage_run.folder / VALIDATION)
    watchers: list[Watcher] = []
    if held_out is not None:
        validation = make_masked_validation(
            components, held_out.images, held_out.lesions, timestep_count=objective.timestep_count, seed=config.seed
        )

        def held_out_loss() -> float:
            return validation.loss(objective, batch_size=config.train_batch_size)

        watchers.append(ValidationWatcher(held_out_loss, trace, every_steps=config.validation_steps))
    if plan is not None and config.samples_steps is not None:
        folder, steps = stage_run.folder, config.samples_steps
        watchers.append(PaintingWatcher(components, plan, surroundings, folder, every_steps=steps))
    return _Training(
        config, stage_run, base, learned, components, surroundings, material, objective, plan, tuple(watchers), trace
    )


def _work(training: _Training, progress: Progress) -> Result:
    config, folder = training.config, training.folder
    instances = training.material.training.images
    cut = cut_ends(training.components, instances.prompts)
    if cut:
        progress.log(f"{len(cut)} prompts are longer than the checkpoint reads; their ends were cut")
    paints = training.plan is not None and is_first_process()
    before = _painted_by_base(training, training.plan) if training.plan is not None and paints else None
    parameters = trained_parameters(training.objective.modules())
    losses = _train(training, progress)
    if not is_first_process():
        return follower_result(training.stage_run)
    choice = choose_weights_by_loss(
        config, folder, training.trace.losses, parameters, no_copies="painted images keep real pixels"
    )

    trained = tuple(training.objective.modules())
    outputs = save_trained(config, training.components, folder, training.base, trained)
    write_json_atomic(folder / INPAINTING, _usage(training))
    outputs += [folder / INPAINTING, *_write_tables(training, losses, choice), *write_choice(folder, choice, progress)]
    if training.plan is not None and before is not None:
        after = training.plan.paint(training.components, training.surroundings)
        write_paintings(folder / "samples.png", training.plan, [before, after])
        outputs.append(folder / "samples.png")
        if config.samples_steps is not None:
            outputs.append(folder / SAMPLES)
    summary = _summary(training, losses, cut, choice)
    result = training.stage_run.finish(outputs, summary, device=str(training.components.device))
    clear_working_files(folder, config)
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
        watchers = training.watchers if is_first_process() else ()
        return train(training.objective, settings, training.folder, task, watchers=watchers)


def _usage(training: _Training) -> dict[str, Any]:
    is_inpainting = is_inpainting_unet(training.components)
    return {
        "unet": "inpainting" if is_inpainting else "text2img",
        "surroundings": None if is_inpainting else training.surroundings,
        "masks": training.config.masks,
        "mask_dilation": training.config.mask_dilation if training.config.masks == "lesion" else None,
    }


def _write_tables(training: _Training, losses: LossTrace, choice: Choice | None) -> list[Path]:
    config, folder, material = training.config, training.folder, training.material
    held_out = None if material.held_out is None else material.held_out.images
    rows = write_training_rows(folder, material.training.images, held_out, None, training.learned)
    prompts = write_prompts(folder, material.training.images, material.wording)
    step = config.max_train_steps if choice is None else choice.step
    return [rows, prompts, *write_curves(folder, losses.losses, training.trace.losses, step)]


def _summary(training: _Training, losses: LossTrace, cut: Mapping[str, str], choice: Choice | None) -> dict[str, Any]:
    config, material = training.config, training.material
    instances = material.training.images
    return {
        "labels": sorted(set(instances.labels)),
        "identifiers": dict(material.wording.identifiers),
        "training_images": len(instances.image_ids),
        "validation_images": 0 if material.held_out is None else len(material.held_out.images.image_ids),
        **_usage(training),
        "mean_lesion_share": material.mean_lesion_share,
        "cut_prompts": list(cut),
        "notes": list(material.notes),
        **training_facts(config, losses, training.trace.losses, choice),
    }
