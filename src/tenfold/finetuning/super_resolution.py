"""The super-resolution stage: an upscaler learns pairs made from a few images, and is compared with bicubic."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.errors import InputError
from tenfold.core.executor import Executor
from tenfold.core.files import write_bytes_atomic, write_json_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png, image_grid
from tenfold.finetuning.datasets import BalancedOrder
from tenfold.finetuning.degradation import Degradation, enlarge_nearest
from tenfold.finetuning.loop import LoopSettings, LossTrace, Watcher, train
from tenfold.finetuning.super_resolution_config import SuperResolutionConfig
from tenfold.finetuning.super_resolution_material import (
    TRAINING_ROWS,
    Chosen,
    Material,
    base_image_ids,
    read_material,
)
from tenfold.finetuning.super_resolution_objective import PairLoss, PairSettings, SuperResolutionObjective
from tenfold.finetuning.super_resolution_pairs import (
    HeldOutPairs,
    PairViews,
    high_images,
    make_pair_validation,
    training_views,
)
from tenfold.finetuning.super_resolution_scores import (
    BICUBIC,
    enlarge_pairs,
    reference_arms,
    score,
    score_lines,
    summarize,
)
from tenfold.finetuning.super_resolution_watchers import PairLossWatcher, PairSampleWatcher
from tenfold.finetuning.validation import ValidationTrace
from tenfold.models.adapter_ref import AdapterRecord, write_adapter_record
from tenfold.models.checkpoint_ref import checkpoint_parts, checkpoint_sha256, resolve_checkpoint
from tenfold.models.lora import LoraSettings, add_lora, merge_lora, save_lora
from tenfold.models.perceptual import FeatureMaps
from tenfold.models.pipelines import save_components
from tenfold.models.upscaling import Upscaler, UpscaleSettings, load_upscaler

BEFORE, AFTER, ONE_STEP = "before", "after", "after, one step"


def run(config: SuperResolutionConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Fine-tune and write ``models/<name>``: an upscaler in diffusers format, its records, losses.csv and, with
    held-out images, similarity.json, similarity.csv and samples.png.

    One run is one task, so `executor` is not asked.

    Raises:
        DataError: a training image is not in the training split, a validation image is a training or test image, or
            the images are smaller than the upscaler's pictures.
        CheckpointError: the base is missing, damaged, or not an upscaler.
        StageError: the loss is not a finite number, or the memory ran out.
    """
    base = resolve_checkpoint(config.base_checkpoint, workspace)
    data = [workspace.resolve("data/manifest.parquet"), workspace.resolve("data/splits.json")]
    record = [base / TRAINING_ROWS] if (base / TRAINING_ROWS).is_file() else []
    inputs = [*data, *checkpoint_parts(base), *record]
    stage_run = begin_stage(workspace, "super-resolution", f"models/{config.name}", config, inputs, seed=config.seed)
    if stage_run.is_finished:
        return stage_run.result()
    with limited_threads(config.threads):
        return _work(config, stage_run, base, progress)


def _work(config: SuperResolutionConfig, stage_run: StageRun, base: Path, progress: Progress) -> Result:
    folder, device = stage_run.folder, resolve_device(config.device)
    upscaler = load_upscaler(base, device)
    max_noise_level = _max_noise_level(config, upscaler)
    base_ids = base_image_ids(base)
    material = _read_material(config, stage_run.workspace, upscaler, base_ids)
    arms = {} if material.held_out is None else reference_arms(upscaler, material.held_out)
    if material.held_out is not None:
        arms[BEFORE] = enlarge_pairs(upscaler, material.held_out, _sampling(config), seed=config.seed)
    if config.gradient_checkpointing:
        upscaler.unet.enable_gradient_checkpointing()
    if config.method == "lora":
        add_lora(upscaler, LoraSettings(config.lora_rank, config.lora_alpha, seed=config.seed))
    else:
        upscaler.unet.requires_grad_(True)
    objective, views = _make_objective(config, upscaler, material, max_noise_level)
    trace = ValidationTrace(folder / "validation.json")
    watchers = _watchers(config, upscaler, objective.pair_loss, material.held_out, max_noise_level, trace, folder)
    with progress.task(f"super-resolution {config.name}", config.max_train_steps) as task:
        losses = train(objective, _loop_settings(config), folder, task, watchers=watchers)
    if config.gradient_checkpointing:
        upscaler.unet.disable_gradient_checkpointing()

    more = _write_adapter(config, upscaler, base, folder) if config.method == "lora" else []
    save_components(upscaler, folder, source=base, trained=("unet",))
    summary: dict[str, Any] = {
        "training_images": len(material.training.image_ids),
        "views_of_an_image": views,
        "scale": upscaler.scale,
        "max_noise_level": max_noise_level,
        "max_train_steps": config.max_train_steps,
        "loss_of_last_tenth": losses.mean_of_last(max(1, config.max_train_steps // 10)),
        "validation_loss": {str(step): loss for step, loss in sorted(trace.losses.items())},
        "similarity": None,
    }
    _write_tables(folder, material, losses, trace, base_ids)
    outputs = [*checkpoint_parts(folder), *more, folder / TRAINING_ROWS, folder / "losses.csv"]
    if material.held_out is not None:
        summary["similarity"] = _compare(config, upscaler, material, arms, folder)
        outputs += [folder / "similarity.json", folder / "similarity.csv"]
        outputs += [path for path in (folder / "samples.png", folder / "samples") if path.exists()]
    result = stage_run.finish(outputs, summary, device=device)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    (folder / "validation.json").unlink(missing_ok=True)
    return result


def _read_material(
    config: SuperResolutionConfig, workspace: Workspace, upscaler: Upscaler, base_ids: Sequence[str]
) -> Material:
    return read_material(
        workspace,
        Chosen(config.training_ids, config.validation_ids, tuple(base_ids)),
        upscaler,
        _degradation(config),
        seed=config.seed,
    )


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


def _watchers(
    config: SuperResolutionConfig,
    upscaler: Upscaler,
    pair_loss: PairLoss,
    held_out: HeldOutPairs | None,
    max_noise_level: int,
    trace: ValidationTrace,
    folder: Path,
) -> list[Watcher]:
    if held_out is None:
        return []
    validation = make_pair_validation(
        upscaler,
        held_out,
        max_noise_level=max_noise_level,
        timestep_count=pair_loss.timestep_count,
        seed=config.seed,
    )
    batch_size = config.train_batch_size
    watchers: list[Watcher] = [
        PairLossWatcher(validation, pair_loss, trace, every_steps=config.validation_steps, batch_size=batch_size)
    ]
    if config.samples_steps is not None and config.samples_count:
        shown = held_out.first(config.samples_count)
        sampling = _sampling(config)
        watchers.append(
            PairSampleWatcher(
                upscaler, shown, sampling, folder / "samples", every_steps=config.samples_steps, seed=config.seed
            )
        )
    return watchers


def _write_adapter(config: SuperResolutionConfig, upscaler: Upscaler, base: Path, folder: Path) -> list[Path]:
    """Save the adapter with its record, then merge it: the folder is a whole upscaler with its adapter beside."""
    alpha = float(config.lora_rank if config.lora_alpha is None else config.lora_alpha)
    record = AdapterRecord(config.base_checkpoint, checkpoint_sha256(base), config.lora_rank, alpha, ("unet",))
    written = [save_lora(upscaler, folder), write_adapter_record(folder, record)]
    merge_lora(upscaler)
    return written


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


def _loop_settings(config: SuperResolutionConfig) -> LoopSettings:
    return LoopSettings(
        max_train_steps=config.max_train_steps,
        learning_rate=config.learning_rate,
        lr_scheduler=config.lr_scheduler,
        lr_warmup_steps=config.lr_warmup_steps,
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        adam_weight_decay=config.adam_weight_decay,
        adam_epsilon=config.adam_epsilon,
        use_8bit_adam=config.use_8bit_adam,
        max_grad_norm=config.max_grad_norm,
        ema_decay=config.ema_decay,
        checkpointing_steps=config.checkpointing_steps,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        mixed_precision=config.mixed_precision,
        trackers=config.trackers,
        identity=config.model_dump(mode="json"),
    )


def _write_tables(
    folder: Path, material: Material, losses: LossTrace, trace: ValidationTrace, base_ids: Sequence[str]
) -> None:
    training = material.training
    rows = zip(training.image_ids, training.labels, training.prompts, strict=True)
    record = {
        "image_ids": sorted({*training.image_ids, *base_ids}),
        "rows": [{"image_id": image_id, "label": label, "prompt": prompt} for image_id, label, prompt in rows],
        "validation_ids": [] if material.held_out is None else list(material.held_out.image_ids),
    }
    write_json_atomic(folder / TRAINING_ROWS, record)
    lines = ["step,loss,validation_loss"]
    for step in range(len(losses.losses) + 1):
        loss = f"{losses.losses[step - 1]:.6g}" if step else ""
        validation = f"{trace.losses[step]:.6g}" if step in trace.losses else ""
        if loss or validation:
            lines.append(f"{step},{loss},{validation}")
    write_text_atomic(folder / "losses.csv", "\n".join(lines) + "\n")
