"""The super-resolution stage: an upscaler learns pairs made from a few images, and is compared with bicubic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.errors import InputError
from tenfold.core.executor import Executor
from tenfold.core.files import write_bytes_atomic, write_json_atomic, write_text_atomic
from tenfold.core.processes import is_first_process
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png, image_grid
from tenfold.finetuning.curves import write_curves
from tenfold.finetuning.datasets import BalancedOrder
from tenfold.finetuning.degradation import Degradation, enlarge_nearest
from tenfold.finetuning.finishing import choose_weights_by_loss, clear_working_files, training_facts, write_choice
from tenfold.finetuning.launched import begin_finetuning, follower_result
from tenfold.finetuning.loop import LossTrace, Watcher, train
from tenfold.finetuning.model_records import (
    base_inputs,
    learned_by_base,
    save_adapter,
    save_full_model,
    training_identity,
    write_training_rows,
)
from tenfold.finetuning.optimizing import trained_parameters
from tenfold.finetuning.sampling_watch import SAMPLES
from tenfold.finetuning.settings import add_adapter, checkpointed_gradients, loop_settings
from tenfold.finetuning.super_resolution_config import SuperResolutionConfig
from tenfold.finetuning.super_resolution_material import Chosen, Material, read_material
from tenfold.finetuning.super_resolution_objective import PairSettings, SuperResolutionObjective
from tenfold.finetuning.super_resolution_pairs import PairViews, high_images, make_pair_validation, training_views
from tenfold.finetuning.super_resolution_scores import (
    BICUBIC,
    enlarge_pairs,
    reference_arms,
    score,
    score_lines,
    summarize,
)
from tenfold.finetuning.super_resolution_watchers import PairSampleWatcher
from tenfold.finetuning.validation import VALIDATION, ValidationTrace, ValidationWatcher
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.learned_images import LearnedImages
from tenfold.models.lora import merge_lora
from tenfold.models.perceptual import FeatureMaps
from tenfold.models.upscaling import Upscaler, UpscaleSettings, load_upscaler

STAGE = "super-resolution"
BEFORE, AFTER, ONE_STEP = "before", "after", "after, one step"


@dataclass(frozen=True)
class _Training:
    """One run at work: the upscaler, what it learns from, and what it is looked at with."""

    config: SuperResolutionConfig
    stage_run: StageRun
    base: Path
    learned: LearnedImages
    """By the base."""
    upscaler: Upscaler
    material: Material
    objective: SuperResolutionObjective
    views: int
    """Of each training image."""
    max_noise_level: int
    trace: ValidationTrace

    @property
    def folder(self) -> Path:
        return self.stage_run.folder


def run(config: SuperResolutionConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Fine-tune and write ``models/<name>``: an upscaler in diffusers format, its records and curves and, with
    held-out images, similarity.json, similarity.csv and samples.png.

    One run is one task, so `executor` is not asked. Processes that `accelerate launch` started share its steps, and
    the first writes.

    Raises:
        DataError: a training image is not in the training split, a validation image is a training or test image, or
            the images are smaller than the upscaler's pictures.
        CheckpointError: the base is missing, damaged, or not an upscaler.
        InputError: a half-done training with other settings lies in the folder, or a noise level is beyond the base's.
        StageError: the loss is not a finite number, or the memory ran out.
    """
    base = resolve_checkpoint(config.base_checkpoint, workspace)
    inputs = base_inputs(workspace, base)
    stage_run = begin_finetuning(workspace, STAGE, config, inputs, device=resolve_device(config.device))
    if stage_run.is_finished:
        return stage_run.result()
    with limited_threads(config.threads):
        upscaler = load_upscaler(base, resolve_device(config.device))
        max_noise_level = _max_noise_level(config, upscaler)
        learned = learned_by_base(base, workspace)
        chosen = Chosen(config.training_ids, config.validation_ids, learned.image_ids)
        material = read_material(workspace, chosen, upscaler, _degradation(config), seed=config.seed)
        arms = _reference_arms(config, upscaler, material) if is_first_process() else {}
        add_adapter(config, upscaler)
        if config.method == "full":
            upscaler.unet.requires_grad_(True)
        objective, views = _make_objective(config, upscaler, material, max_noise_level)
        trace = ValidationTrace(stage_run.folder / VALIDATION)
        training = _Training(
            config, stage_run, base, learned, upscaler, material, objective, views, max_noise_level, trace
        )
        return _work(training, arms, progress)


def _work(training: _Training, arms: dict[str, np.ndarray], progress: Progress) -> Result:
    config, folder, material = training.config, training.folder, training.material
    parameters = trained_parameters(training.objective.modules())
    losses = _train(training, progress)
    if not is_first_process():
        return follower_result(training.stage_run)
    # An upscaled image is told by its low one, a held-out one: a copy of another image would not be like it.
    choice = choose_weights_by_loss(
        config, folder, training.trace.losses, parameters, no_copies="an upscaled image shows what its low image does"
    )
    step = config.max_train_steps if choice is None else choice.step
    outputs = [
        *_save_model(training),
        write_training_rows(folder, material.training, material.held_out, None, training.learned),
        *write_curves(folder, losses.losses, training.trace.losses, step),
        *write_choice(folder, choice, progress),
    ]
    similarity = None
    if material.held_out is not None:
        similarity = _compare(config, training.upscaler, material, arms, folder)
        outputs += [folder / "similarity.json", folder / "similarity.csv"]
        outputs += [path for path in (folder / "samples.png", folder / SAMPLES) if path.exists()]
    summary: dict[str, Any] = {
        "training_images": len(material.training.image_ids),
        "validation_images": 0 if material.held_out is None else len(material.held_out.image_ids),
        "views_of_an_image": training.views,
        "scale": training.upscaler.scale,
        "max_noise_level": training.max_noise_level,
        "similarity": similarity,
        **training_facts(config, losses, training.trace.losses, choice),
    }
    result = training.stage_run.finish(outputs, summary, device=str(training.upscaler.device))
    clear_working_files(folder, config)
    return result


def _train(training: _Training, progress: Progress) -> LossTrace:
    config, stage_run = training.config, training.stage_run
    identity = training_identity(stage_run.config, stage_run.inputs)
    settings = loop_settings(config, training.upscaler, identity)
    watchers = _watchers(training) if is_first_process() else []
    with (
        checkpointed_gradients(config, training.upscaler),
        progress.task(f"super-resolution {config.name}", config.max_train_steps) as task,
    ):
        return train(training.objective, settings, training.folder, task, watchers=watchers)


def _reference_arms(config: SuperResolutionConfig, upscaler: Upscaler, material: Material) -> dict[str, np.ndarray]:
    """What the held-out images are before the training; empty without any."""
    pairs = material.held_out
    if pairs is None:
        return {}
    before = enlarge_pairs(upscaler, pairs, _sampling(config), seed=config.seed)
    return {**reference_arms(upscaler, pairs), BEFORE: before}


def _make_objective(
    config: SuperResolutionConfig, upscaler: Upscaler, material: Material, max_noise_level: int
) -> tuple[SuperResolutionObjective, int]:
    seed = derive_seed(config.seed, "super-resolution")
    asked = PairViews(config.crops_per_image, config.random_flip, config.random_rotation)
    views, count = training_views(material.training, upscaler.image_size_px, asked, seed=seed)
    settings = PairSettings(
        batch_size=config.train_batch_size,
        degradation=_degradation(config),
        max_noise_level=max_noise_level,
        caption_dropout=config.caption_dropout,
        snr_gamma=config.snr_gamma,
    )
    objective = SuperResolutionObjective(
        upscaler,
        high_images(upscaler, views),
        BalancedOrder(views.labels, seed=seed),
        settings,
        seed=seed,
        other_prompts=() if material.held_out is None else material.held_out.prompts,
    )
    return objective, count


def _watchers(training: _Training) -> list[Watcher]:
    config, upscaler, held_out = training.config, training.upscaler, training.material.held_out
    if held_out is None:
        return []
    pair_loss = training.objective.pair_loss
    validation = make_pair_validation(
        upscaler,
        held_out,
        max_noise_level=training.max_noise_level,
        timestep_count=pair_loss.timestep_count,
        seed=config.seed,
    )

    def held_out_loss() -> float:
        return validation.loss(pair_loss, batch_size=config.train_batch_size)

    watchers: list[Watcher] = [ValidationWatcher(held_out_loss, training.trace, every_steps=config.validation_steps)]
    if config.samples_steps is not None and config.samples_count:
        shown, folder, steps = held_out.first(config.samples_count), training.folder / SAMPLES, config.samples_steps
        watchers.append(
            PairSampleWatcher(upscaler, shown, _sampling(config), folder, every_steps=steps, seed=config.seed)
        )
    return watchers


def _save_model(training: _Training) -> list[Path]:
    """The whole upscaler; an adapter is saved with its record first, and merged into it."""
    config, upscaler, folder, base = training.config, training.upscaler, training.folder, training.base
    written: list[Path] = []
    if config.method == "lora":
        record = (config.base_checkpoint, config.lora_rank, config.told_alpha)
        written = save_adapter(upscaler, folder, base, ("unet",), record)
        merge_lora(upscaler)
    return [*save_full_model(upscaler, folder, base, ("unet",)), *written]


def _compare(
    config: SuperResolutionConfig, upscaler: Upscaler, material: Material, arms: dict[str, np.ndarray], folder: Path
) -> dict[str, Any]:
    """Write the scores of all arms and the pictures; the summary of the scores."""
    pairs, sampling = material.held_out, _sampling(config)
    assert pairs is not None
    arms[AFTER] = enlarge_pairs(upscaler, pairs, sampling, seed=config.seed)
    mean = UpscaleSettings(num_inference_steps=1, noise_level=sampling.noise_level)
    arms[ONE_STEP] = enlarge_pairs(upscaler, pairs, mean, seed=config.seed)
    feature_maps = FeatureMaps()
    scores = {arm: score(images, pairs.high, feature_maps) for arm, images in arms.items()}
    summary = summarize(scores, material.patients, seed=config.seed)
    write_json_atomic(folder / "similarity.json", summary)
    write_text_atomic(folder / "similarity.csv", "\n".join(score_lines(scores, pairs.image_ids)) + "\n")
    if config.samples_count:
        count = min(config.samples_count, len(pairs.image_ids))
        low = np.stack([enlarge_nearest(image, upscaler.scale) for image in pairs.low[:count]])
        rows = [low, *(arms[arm][:count] for arm in (BICUBIC, BEFORE, AFTER, ONE_STEP)), pairs.high[:count]]
        write_bytes_atomic(folder / "samples.png", encode_png(image_grid(np.concatenate(rows), count)))
    return summary


def _degradation(config: SuperResolutionConfig) -> Degradation:
    return Degradation(
        blur_sigma=config.blur_sigma,
        noise_sigma=config.noise_sigma,
        jpeg_quality=config.jpeg_quality,
        jpeg_share=config.jpeg_share,
        is_plain=config.plain_degradation,
    )


def _sampling(config: SuperResolutionConfig) -> UpscaleSettings:
    return UpscaleSettings(config.num_inference_steps, config.guidance_scale, config.noise_level)


def _max_noise_level(config: SuperResolutionConfig, upscaler: Upscaler) -> int:
    """The highest level trained; InputError when the upscaler does not know it, or sampling asks for a higher one."""
    most = upscaler.max_noise_level
    wanted = most if config.max_noise_level is None else config.max_noise_level
    if not config.noise_level <= wanted <= most:
        raise InputError(
            f"noise_level is {config.noise_level} and max_noise_level {wanted}",
            expected=f"noise_level <= max_noise_level <= {most}, the highest that this upscaler was trained for",
        )
    return wanted
