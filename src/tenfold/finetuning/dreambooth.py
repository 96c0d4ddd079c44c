"""The DreamBooth stage: a base learns a few images of several classes, and keeps what it knew by prior preservation."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_bytes_atomic, write_json_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png, image_grid
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.datasets import (
    BalancedOrder,
    ImageSet,
    Wording,
    choose_wording,
    load_image_set,
    read_rows,
    sorted_labels,
)
from tenfold.finetuning.dreambooth_objective import DreamBoothObjective, TrainingSet
from tenfold.finetuning.latents import Views, cache_latents
from tenfold.finetuning.loop import LoopSettings, LossTrace, train
from tenfold.finetuning.prior_images import read_prior_images
from tenfold.finetuning.validation import Denoiser, ValidationBatch, ValidationTrace, make_validation_batch
from tenfold.models.checkpoint_ref import checkpoint_parts, resolve_checkpoint
from tenfold.models.pipelines import Components, load_components, save_components
from tenfold.models.sampling import SamplingSettings, cut_prompts, decode_latents, sample_latents

TRAINING_ROWS = "training_rows.json"
PROMPTS = "prompts.json"


@dataclass(frozen=True)
class _Material:
    """All images that a run reads, with their prompts."""

    wording: Wording
    instances: ImageSet
    held_out: ImageSet | None
    prior: ImageSet | None


def run(config: DreamBoothConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Fine-tune and write ``models/<name>``: a diffusers folder, its records, losses.csv and samples.png.

    One run is one task, so `executor` is not asked; several runs at once are a study's work.

    Raises:
        DataError: a training image is not in the training split, or a validation image is a training or test image.
        CheckpointError: the base is missing or damaged.
        StageError: the loss is not a finite number.
    """
    base = resolve_checkpoint(config.base_checkpoint, workspace)
    data = [workspace.resolve("data/manifest.parquet"), workspace.resolve("data/splits.json")]
    if config.prior_manifest is not None:
        data.append(workspace.resolve(config.prior_manifest))
    record = [base / TRAINING_ROWS] if (base / TRAINING_ROWS).is_file() else []
    inputs = [*data, *checkpoint_parts(base), *record]
    stage_run = begin_stage(workspace, "dreambooth", f"models/{config.name}", config, inputs, seed=config.seed)
    if stage_run.is_finished:
        return stage_run.result()
    with limited_threads(config.threads):
        return _work(config, stage_run, base, progress)


def _work(config: DreamBoothConfig, stage_run: StageRun, base: Path, progress: Progress) -> Result:
    folder = stage_run.folder
    device = resolve_device(config.device)
    components = load_components(base, device)
    base_ids = _base_image_ids(base)
    material = _read_material(config, stage_run.workspace, components.image_size_px, base_ids)
    cut = cut_prompts(components, material.instances.prompts)
    if cut:
        progress.log(f"{len(cut)} prompts are longer than the checkpoint reads; their ends were cut, e.g. {cut[0]!r}")
    validation, objective = _make_objective(config, components, material)
    trace = ValidationTrace(folder / "validation.json")
    with progress.task(f"DreamBooth {config.name}", config.max_train_steps) as task:
        watchers = [] if validation is None else [_ValidationWatcher(objective.losses, validation, trace, config)]
        losses = train(objective, _loop_settings(config), folder, task, watchers=watchers)

    trained = tuple(objective.modules())
    save_components(components, folder, source=base, trained=trained)
    _write_tables(folder, material, losses, trace, base_ids)
    outputs = [*checkpoint_parts(folder), folder / TRAINING_ROWS, folder / PROMPTS, folder / "losses.csv"]
    if config.samples_per_class:
        _write_samples(folder / "samples.png", components, material.instances, config)
        outputs.append(folder / "samples.png")
    summary = {
        "labels": sorted(set(material.instances.labels)),
        "identifiers": dict(material.wording.identifiers),
        "training_images": len(material.instances.image_ids),
        "prior_images": 0 if material.prior is None else len(material.prior.image_ids),
        "cut_prompts": cut,
        "max_train_steps": config.max_train_steps,
        "loss_of_last_tenth": losses.mean_of_last(max(1, config.max_train_steps // 10)),
        "validation_loss": {str(step): loss for step, loss in sorted(trace.losses.items())},
    }
    result = stage_run.finish(outputs, summary, device=device)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    (folder / "validation.json").unlink(missing_ok=True)
    return result


def _read_material(
    config: DreamBoothConfig, workspace: Workspace, image_size_px: int, base_ids: Sequence[str]
) -> _Material:
    if set(config.validation_ids) & {*config.training_ids, *base_ids}:
        raise DataError("an image is both a training and a validation image", todo="Take it out of `validation_ids`.")
    read_rows(workspace, base_ids, allowed_splits=("train",))
    rows = read_rows(workspace, config.training_ids, allowed_splits=("train",))
    held_out_rows = read_rows(workspace, config.validation_ids, allowed_splits=("train", "val"))
    labels = sorted_labels(rows)
    unknown = sorted({str(row["label"]) for row in held_out_rows} - set(labels))
    if unknown:
        raise DataError(
            f"validation images of {', '.join(unknown)}, which no training image shows", expected=", ".join(labels)
        )
    wording = choose_wording(
        labels,
        nouns=config.class_nouns,
        identifiers=config.identifiers,
        shared_noun=config.class_noun,
        captions=config.captions,
    )
    held_out = prior = None
    if held_out_rows:
        prompts = [wording.prompt(row) for row in held_out_rows]
        held_out = load_image_set(workspace, held_out_rows, prompts, image_size_px)
    if config.prior_manifest is not None:
        allowed = {*config.training_ids, *base_ids}
        prior = read_prior_images(
            workspace, config.prior_manifest, training_ids=sorted(allowed), image_size_px=image_size_px
        )
    instances = load_image_set(workspace, rows, [wording.prompt(row) for row in rows], image_size_px)
    return _Material(wording, instances, held_out, prior)


def _make_objective(
    config: DreamBoothConfig, components: Components, material: _Material
) -> tuple[ValidationBatch | None, DreamBoothObjective]:
    views = Views(config.crops_per_image, config.crop_scale, config.random_flip, config.random_rotation)
    sets = [_training_set("instance", components, material.instances, views, config)]
    if material.prior is not None:
        sets.append(_training_set("prior", components, material.prior, Views(), config))
    held_out = material.held_out
    objective = DreamBoothObjective(
        components,
        sets,
        seed=derive_seed(config.seed, "dreambooth"),
        snr_gamma=config.snr_gamma,
        caption_dropout=config.caption_dropout,
        train_text_encoder=config.train_text_encoder,
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


def _loop_settings(config: DreamBoothConfig) -> LoopSettings:
    return LoopSettings(
        max_train_steps=config.max_train_steps,
        learning_rate=config.learning_rate,
        lr_scheduler=config.lr_scheduler,
        lr_warmup_steps=config.lr_warmup_steps,
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        adam_weight_decay=config.adam_weight_decay,
        adam_epsilon=config.adam_epsilon,
        max_grad_norm=config.max_grad_norm,
        ema_decay=config.ema_decay,
        checkpointing_steps=config.checkpointing_steps,
        module_learning_rates={"text_encoder": config.text_encoder_lr} if config.train_text_encoder else {},
    )


def _base_image_ids(base: Path) -> tuple[str, ...]:
    """Real images that the base itself was fine-tuned on; none for a base from outside."""
    path = base / TRAINING_ROWS
    return tuple(read_json(path)["image_ids"]) if path.is_file() else ()


def _write_tables(
    folder: Path, material: _Material, losses: LossTrace, trace: ValidationTrace, base_ids: Sequence[str]
) -> None:
    instances, prior = material.instances, material.prior
    rows = zip(instances.image_ids, instances.labels, instances.prompts, strict=True)
    record = {
        "image_ids": sorted({*instances.image_ids, *base_ids}),
        "rows": [{"image_id": image_id, "label": label, "prompt": prompt} for image_id, label, prompt in rows],
        "validation_ids": [] if material.held_out is None else list(material.held_out.image_ids),
        "prior_ids": [] if prior is None else list(prior.image_ids),
    }
    write_json_atomic(folder / TRAINING_ROWS, record)
    by_label = {
        label: [prompt for prompt, own in zip(instances.prompts, instances.labels, strict=True) if own == label]
        for label in sorted(set(instances.labels))
    }
    identifiers = {label: material.wording.identifiers[label] for label in by_label}
    write_json_atomic(folder / PROMPTS, {"identifiers": identifiers, "prompts": by_label})
    lines = ["step,loss,validation_loss"]
    for step in range(len(losses.losses) + 1):
        loss = f"{losses.losses[step - 1]:.6g}" if step else ""
        validation = f"{trace.losses[step]:.6g}" if step in trace.losses else ""
        if loss or validation:
            lines.append(f"{step},{loss},{validation}")
    write_text_atomic(folder / "losses.csv", "\n".join(lines) + "\n")


def _write_samples(path: Path, components: Components, instances: ImageSet, config: DreamBoothConfig) -> None:
    """One line of pictures for each label: some of its training images, then as many samples of their prompts."""
    pictures: list[np.ndarray] = []
    count = config.samples_per_class
    for label in sorted(set(instances.labels)):
        own = [number for number, other in enumerate(instances.labels) if other == label]
        chosen = [own[number % len(own)] for number in range(count)]
        seeds = [derive_seed(config.seed, "samples", label, number) for number in range(count)]
        latents = sample_latents(components, [instances.prompts[k] for k in chosen], seeds, SamplingSettings())
        pictures += [instances.images[k] for k in chosen]
        pictures += list(decode_latents(components, latents))
    write_bytes_atomic(path, encode_png(image_grid(np.stack(pictures), 2 * count)))
