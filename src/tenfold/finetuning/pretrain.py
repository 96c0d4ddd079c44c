"""Pretraining of a base: archive, tokenizer, autoencoder, denoiser, feature net; from nothing to a diffusers folder."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from tenfold.core.errors import InputError
from tenfold.core.executor import Executor
from tenfold.core.files import write_json_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.finetuning.pretrain_archive import SPLITS, Archive, gather_manifest, open_archive, render_phantom_archive
from tenfold.finetuning.pretrain_config import PretrainConfig
from tenfold.finetuning.pretrain_export import PARTS, export_base, export_features
from tenfold.finetuning.pretrain_tasks import (
    MOMENTS_SHARD_IMAGES,
    MomentsTask,
    TrainingTask,
    encode_shard,
    run_training,
    write_standard_autoencoder,
)
from tenfold.finetuning.pretrain_tokenizer import train_tokenizer
from tenfold.finetuning.process_group import Rank

PHANTOM = "phantom"
TRAINING_ROWS = "training_rows.json"


def run(config: PretrainConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Train a base into ``models/<name>/``: a diffusers folder, the feature net in ``features/``, the ids of the images
    it has seen in ``training_rows.json`` (none from the phantom's archive) and the run record.

    Interrupted, the same call goes on from the newest checkpoint of each part.
    """
    _check(config, executor)
    inputs = [] if config.archive == PHANTOM else [workspace.resolve(config.archive), *_sealed_split(workspace)]
    stage = begin_stage(workspace, "pretrain", f"models/{config.name}", config, inputs, seed=config.seed)
    if stage.is_finished:
        return stage.result()
    work = Work(config, stage.folder / "work", stage.folder / "work" / "archive")
    archive = make_archive(work, workspace, executor, progress)
    train_latent_space(work, executor, progress)
    losses = train_on_latents(work, executor, progress)
    steps = export_base(config, work.folder, stage.folder)
    steps["features"] = export_features(config, work.folder, stage.folder / "features")
    rows = stage.folder / TRAINING_ROWS
    write_json_atomic(rows, {"image_ids": archive.image_ids})
    summary = {"archive_images": len(archive), "steps": steps, "mean_loss_of_last_100_steps": losses}
    names = ("model_index.json", *PARTS, "features", TRAINING_ROWS)
    return stage.finish([stage.folder / name for name in names], summary)


@dataclass(frozen=True)
class Work:
    """A pretraining and the folders it works in; the archive may lie apart from the rest."""

    config: PretrainConfig
    folder: Path
    archive_folder: Path


def make_archive(work: Work, workspace: Workspace | None, executor: Executor, progress: Progress) -> Archive:
    """Render or gather the images; train the tokenizer on their captions."""
    config = work.config
    if config.archive == PHANTOM or workspace is None:
        seed = derive_seed(config.seed, "archive")
        archive = render_phantom_archive(
            work.archive_folder, config.archive_images, seed=seed, image_size_px=config.image_size_px,
            executor=executor, progress=progress,
        )  # fmt: skip
    else:
        archive = gather_manifest(work.archive_folder, workspace, config.archive, image_size_px=config.image_size_px)
    if not (work.folder / "tokenizer" / "merges.txt").is_file():
        settings = config.denoiser
        train_tokenizer(
            archive.captions, work.folder / "tokenizer", vocabulary_size=settings.vocabulary_size,
            max_length=settings.caption_tokens,
        )  # fmt: skip
    return archive


def train_latent_space(work: Work, executor: Executor, progress: Progress) -> None:
    """Train the autoencoder, fix its latents and encode the archive."""
    if not (work.folder / "autoencoder.safetensors").is_file():
        for name in ("autoencoder-crops", "autoencoder-pictures"):
            _train(_tasks(work, name), executor, progress)
    archive = open_archive(work.archive_folder)
    write_standard_autoencoder(work.config, work.folder, archive)
    shards = [
        MomentsTask(
            work.folder, work.archive_folder, work.config, start, min(MOMENTS_SHARD_IMAGES, len(archive) - start)
        )
        for start in range(0, len(archive), MOMENTS_SHARD_IMAGES)
    ]
    missing = [shard for shard in shards if not shard.path.is_file()]
    with progress.task("encode the archive", len(shards)) as task:
        task.advance(len(shards) - len(missing))
        for _ in executor.map(encode_shard, missing):
            task.advance()


def train_on_latents(work: Work, executor: Executor, progress: Progress) -> dict[str, float]:
    """Train denoiser, decoder and feature net, side by side as far as there are workers; each one's last mean loss."""
    alone = ["features"] if work.config.autoencoder.decoder_steps == 0 else ["autoencoder-decoder", "features"]
    tasks = [*_tasks(work, "denoiser"), *_tasks(replace(work, config=_alone(work.config)), *alone)]
    return _train(tasks, executor, progress)


def _tasks(work: Work, *names: str) -> list[TrainingTask]:
    count = work.config.data_parallel
    tasks = []
    for name in names:
        rendezvous = work.folder / "meetings" / f"{name}-{time.time_ns()}"
        ranks = [Rank(number, count) for number in range(count)]
        tasks += [TrainingTask(name, work.folder, work.archive_folder, work.config, rank, rendezvous) for rank in ranks]
    return tasks


def _train(tasks: list[TrainingTask], executor: Executor, progress: Progress) -> dict[str, float]:
    names = ", ".join(dict.fromkeys(task.name for task in tasks))
    losses: dict[str, float] = {}
    with progress.task(f"train {names}", len(tasks)) as shown:
        for index, (name, loss) in executor.map(run_training, tasks):
            if tasks[index].rank.rank == 0:
                losses[name] = loss
            shown.advance()
    return losses


def _sealed_split(workspace: Workspace) -> list[Path]:
    path = workspace.resolve(SPLITS)
    return [path] if path.is_file() else []


def _alone(config: PretrainConfig) -> PretrainConfig:
    return config.model_copy(update={"data_parallel": 1})


def _check(config: PretrainConfig, executor: Executor) -> None:
    if config.data_parallel > executor.worker_count:
        raise InputError(
            f"{config.data_parallel} processes are to train together, but there are {executor.worker_count} workers",
            where="data_parallel",
            expected=f"at most {executor.worker_count}",
            todo="give the executor more workers, or set data_parallel lower",
        )
    for size in (config.autoencoder.crop_batch_size, config.autoencoder.full_batch_size, config.denoiser.batch_size):
        if size % config.data_parallel:
            raise InputError(
                f"a batch of {size} cannot be shared evenly by {config.data_parallel} processes",
                where="data_parallel",
                expected="batch sizes that are multiples of it",
            )
