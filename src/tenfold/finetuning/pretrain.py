"""Pretraining of a base: archive, tokenizer, autoencoder, denoiser, feature net; from nothing to a diffusers folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tenfold.core.device import resolve_device
from tenfold.core.errors import InputError
from tenfold.core.executor import Executor
from tenfold.core.files import read_json, write_bytes_atomic, write_json_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage, hash_inputs
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.finetuning.checkpointing import refuse_other_run
from tenfold.finetuning.model_records import training_identity
from tenfold.finetuning.pretrain_archive import Archive, gather_manifest, open_archive, render_phantom_archive
from tenfold.finetuning.pretrain_card import CardFacts, model_card
from tenfold.finetuning.pretrain_config import PretrainConfig
from tenfold.finetuning.pretrain_export import PARTS, export_base, export_features
from tenfold.finetuning.pretrain_features import teaches_features
from tenfold.finetuning.pretrain_held_out import MANIFEST, SPLITS
from tenfold.finetuning.pretrain_look import SAMPLES, look_at_base
from tenfold.finetuning.pretrain_sizes import pixels_per_cell
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
from tenfold.models.learned_images import TRAINING_ROWS

PHANTOM = "phantom"
IDENTITY = "identity.json"
CARD = "README.md"


def run(config: PretrainConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Train a base into ``models/<name>/``: a diffusers folder, samples, loss tables, a model card and the run record.

    ``training_rows.json`` holds the ids of the images it has seen (none of the phantom's archive), ``features/`` a
    feature net where the archive knows anything that one could learn.

    Interrupted, the same call goes on from the newest checkpoint of each part. At the end the work folder, with its
    copies of images, is removed: what is left may be handed on as far as the archive's license allows.

    Raises:
        InputError: settings that do not fit together, or another run's unfinished training lies in the folder.
        DataError: the archive holds images that are held out, or none.
    """
    _check(config, executor)
    inputs = [] if config.archive == PHANTOM else [workspace.resolve(config.archive), *_sealed_split(workspace, config)]
    identity = training_identity(_flat(config.model_dump(mode="json")), hash_inputs(workspace, "pretrain", inputs))
    _refuse_other_work(workspace.resolve(f"models/{config.name}"), identity)
    stage = begin_stage(workspace, "pretrain", f"models/{config.name}", config, inputs, seed=config.seed)
    if stage.is_finished:
        return stage.result()
    work = Work(config, stage.folder / "work", stage.folder / "work" / "archive")
    write_json_atomic(work.folder / IDENTITY, identity)
    archive = make_archive(work, workspace, executor, progress)
    progress.log(archive.held_out.sentence() if archive.image_ids else f"{len(archive)} drawn images")
    train_latent_space(work, executor, progress)
    losses = train_on_latents(work, executor, progress)
    steps = export_base(config, work.folder, stage.folder)
    has_features = teaches_features(archive)
    if has_features:
        steps["features"] = export_features(config, work.folder, stage.folder / "features")
    for path in sorted(work.folder.glob("*/losses.csv")):
        write_bytes_atomic(stage.folder / "losses" / f"{path.parent.name}.csv", path.read_bytes())
    write_json_atomic(stage.folder / TRAINING_ROWS, dict(archive.seen_ids))
    figures = look_at_base(config, stage.folder, archive)
    facts = CardFacts(
        archive_license(workspace, config.archive), figures.parameters, steps, losses, figures.psnr_db, has_features
    )
    write_text_atomic(stage.folder / CARD, model_card(config, archive, facts))
    summary = {
        "archive_images": len(archive), "captioned_images": archive.captioned, "held_out": asdict(archive.held_out),
        "data_license": facts.data_license, "parameters": figures.parameters, "steps": steps,
        "mean_loss_of_last_100_steps": losses, "training_psnr_db": round(figures.psnr_db, 2),
    }  # fmt: skip
    names = ["model_index.json", *PARTS, "losses", TRAINING_ROWS, CARD]
    names += ["features"] if has_features else []
    names += [SAMPLES] if config.samples else []
    result = stage.finish([stage.folder / name for name in names], summary)
    shutil.rmtree(work.folder, ignore_errors=True)
    return result


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
        archive = gather_manifest(
            work.archive_folder, workspace, config.archive, image_size_px=config.image_size_px,
            class_free_caption=config.class_free_caption,
        )  # fmt: skip
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
    alone = ["autoencoder-decoder"] if work.config.autoencoder.decoder_steps else []
    alone += ["features"] if teaches_features(open_archive(work.archive_folder)) else []
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


def archive_license(workspace: Workspace, archive: str) -> str:
    """The license of an archive's images: as its import was told, else the workspace's."""
    record = workspace.resolve(archive).parent / "run.json" if archive != PHANTOM else None
    told = read_json(record)["summary"].get("data_license") if record is not None and record.is_file() else None
    return str(told or workspace.data_license)


def _refuse_other_work(folder: Path, identity: Mapping[str, Any]) -> None:
    """InputError, with the differences named, when another run's half-done training lies here."""
    found = folder / "work" / IDENTITY
    if found.is_file() and not (folder / "run.json").exists():
        refuse_other_run(read_json(found), identity, folder)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name, as a person gives them."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _sealed_split(workspace: Workspace, config: PretrainConfig) -> list[Path]:
    """What decides which images are held out, beside the archive itself."""
    names = [name for name in (SPLITS, MANIFEST) if name != workspace.relative(config.archive)]
    return [workspace.resolve(name) for name in names if workspace.resolve(name).is_file()]


def _alone(config: PretrainConfig) -> PretrainConfig:
    return config.model_copy(update={"data_parallel": 1})


def _check(config: PretrainConfig, executor: Executor) -> None:
    cell = pixels_per_cell(len(config.autoencoder.block_out_channels), len(config.denoiser.block_out_channels))
    if config.image_size_px % cell or config.autoencoder.crop_px > config.image_size_px:
        raise InputError(
            f"images of {config.image_size_px} px do not fit these levels and crops of {config.autoencoder.crop_px} px",
            where="image_size_px",
            expected=f"a multiple of {cell}, and no smaller than autoencoder.crop_px",
        )
    if config.data_parallel > 1 and resolve_device(config.device) != "cpu":
        raise InputError(
            "several processes cannot share one GPU's batches", where="data_parallel", expected="1 on a GPU",
            todo="Leave data_parallel out, or set device=cpu.",
        )  # fmt: skip
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
