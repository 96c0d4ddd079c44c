"""The trainings that make up a base, each a task that any executor can run, alone or several processes together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from tenfold.core.device import resolve_device
from tenfold.core.files import write_atomic
from tenfold.core.progress import NullProgress
from tenfold.finetuning.checkpointing import averaged_weights
from tenfold.finetuning.loop import LoopSettings, Objective, train
from tenfold.finetuning.pretrain_archive import Archive, open_archive
from tenfold.finetuning.pretrain_autoencoder import AutoencoderObjective, build_autoencoder, standardize_latents
from tenfold.finetuning.pretrain_config import PretrainConfig
from tenfold.finetuning.pretrain_denoiser import (
    CaptionedLatents,
    DenoiserObjective,
    build_denoiser,
    encode_captions,
    write_moments,
)
from tenfold.finetuning.pretrain_features import FeatureObjective, build_feature_net
from tenfold.finetuning.pretrain_linear_start import start_linear
from tenfold.finetuning.process_group import Rank, joined
from tenfold.models.small_net import SmallNet

TRAININGS = ("autoencoder-crops", "autoencoder-pictures", "autoencoder-decoder", "denoiser", "features")
MOMENTS_SHARD_IMAGES = 2048
_STANDARDIZING_IMAGES = 4096


@dataclass(frozen=True)
class TrainingTask:
    """One process of one training.

    name: one of TRAININGS; folder: the work folder of the whole pretraining; archive_folder: where its archive lies;
    rendezvous: the file at which the processes that share this training meet.
    """

    name: str
    folder: Path
    archive_folder: Path
    config: PretrainConfig
    rank: Rank
    rendezvous: Path


@dataclass(frozen=True)
class MomentsTask:
    """Archive images ``start`` to ``start + count`` to be encoded."""

    folder: Path
    archive_folder: Path
    config: PretrainConfig
    start: int
    count: int

    @property
    def path(self) -> Path:
        """Where the moments are written."""
        return self.folder / "moments" / f"shard-{self.start:07d}-{self.count}.npy"


def run_training(task: TrainingTask) -> tuple[str, float]:
    """Run one training from its newest checkpoint to its end; its name and the mean loss of its last 100 steps."""
    archive = open_archive(task.archive_folder)
    if task.name == "autoencoder-crops":
        return task.name, _train_on_crops(task, archive)
    if task.name == "autoencoder-pictures":
        return task.name, _train_on_pictures(task, archive)
    if task.name == "autoencoder-decoder":
        return task.name, _train_decoder(task, archive)
    if task.name == "denoiser":
        return task.name, _train_denoiser(task, archive)
    return task.name, _train_features(task, archive)


def encode_shard(task: MomentsTask) -> None:
    """Write the latent moments of one part of the archive."""
    archive = open_archive(task.archive_folder)
    vae = standard_autoencoder(task.config, task.folder).to(resolve_device(task.config.device))
    write_moments(vae, archive.images[task.start : task.start + task.count], task.path)


def write_standard_autoencoder(config: PretrainConfig, folder: Path, archive: Archive) -> None:
    """Write the trained autoencoder with standardized latents, which stay what they are from here on.

    Textures are left out of the standard: their large contrasts would leave little of the scale to the images that
    matter.
    """
    path = folder / "autoencoder.safetensors"
    if path.is_file():
        return
    vae = build_autoencoder(config.autoencoder, config.image_size_px, seed=config.seed)
    load_trained({"vae": vae}, folder / "autoencoder-pictures")
    rows = [row for row, kind in enumerate(archive.kinds) if kind != "texture"][:_STANDARDIZING_IMAGES]
    standardize_latents(vae.eval(), archive.images[rows or slice(_STANDARDIZING_IMAGES)])
    with write_atomic(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in vae.state_dict().items()}, temporary)


def standard_autoencoder(config: PretrainConfig, folder: Path) -> AutoencoderKL:
    """The autoencoder of ``write_standard_autoencoder``, in evaluation mode."""
    vae = build_autoencoder(config.autoencoder, config.image_size_px, seed=config.seed)
    vae.load_state_dict(load_file(folder / "autoencoder.safetensors"))
    vae.register_to_config(scaling_factor=1.0)
    return vae.eval()


def make_denoiser(config: PretrainConfig, folder: Path) -> tuple[UNet2DConditionModel, CLIPTextModel, CLIPTokenizer]:
    """Fresh UNet and text encoder for the tokenizer in the work folder."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    latent_px = config.image_size_px // 2 ** (len(config.autoencoder.block_out_channels) - 1)
    channels = config.autoencoder.latent_channels
    unet, text_encoder = build_denoiser(
        config.denoiser, latent_channels=channels, latent_px=latent_px, tokenizer=tokenizer, seed=config.seed
    )
    return unet, text_encoder, tokenizer


def make_feature_net(config: PretrainConfig) -> SmallNet:
    """A fresh feature net."""
    return build_feature_net(config.features.channels, seed=config.seed)


@torch.no_grad()
def load_trained(modules: dict[str, nn.Module], folder: Path) -> int:
    """Load the (averaged) weights of a training's newest checkpoint into modules; the number of steps behind them."""
    step, weights = averaged_weights(folder)
    for module_name, module in modules.items():
        for name, parameter in module.named_parameters():
            if f"{module_name}.{name}" in weights:
                parameter.copy_(weights[f"{module_name}.{name}"])
    return step


def _train_on_crops(task: TrainingTask, archive: Archive) -> float:
    config = task.config.autoencoder
    vae = build_autoencoder(config, task.config.image_size_px, seed=task.config.seed)
    start_linear(vae, archive.images[:_STANDARDIZING_IMAGES])
    vae.to(resolve_device(task.config.device))
    settings = _autoencoder_settings(task, config.crop_steps, config.crop_learning_rate)
    return _run(task, settings, lambda: _reconstruction(task, vae, archive, config.crop_px, config.crop_batch_size))


def _train_on_pictures(task: TrainingTask, archive: Archive) -> float:
    config = task.config.autoencoder
    vae = build_autoencoder(config, task.config.image_size_px, seed=task.config.seed)
    load_trained({"vae": vae}, task.folder / "autoencoder-crops")
    vae.to(resolve_device(task.config.device))
    settings = _autoencoder_settings(task, config.full_steps, config.full_learning_rate)
    size_px = task.config.image_size_px
    return _run(task, settings, lambda: _reconstruction(task, vae, archive, size_px, config.full_batch_size))


def _train_decoder(task: TrainingTask, archive: Archive) -> float:
    config = task.config.autoencoder
    vae = standard_autoencoder(task.config, task.folder).to(resolve_device(task.config.device))
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    settings = _autoencoder_settings(task, config.decoder_steps, config.full_learning_rate)
    size_px = task.config.image_size_px
    return _run(task, settings, lambda: _reconstruction(task, vae, archive, size_px, config.full_batch_size))


def _train_denoiser(task: TrainingTask, archive: Archive) -> float:
    config, share = task.config.denoiser, task.config.denoiser.batch_size // task.rank.world_size
    unet, text_encoder, tokenizer = make_denoiser(task.config, task.folder)
    unet.to(resolve_device(task.config.device))
    text_encoder.to(resolve_device(task.config.device))
    data = CaptionedLatents(
        moments=open_moments(task.folder),
        input_ids=encode_captions(tokenizer, archive.captions),
        empty_ids=encode_captions(tokenizer, [""])[0],
    )
    settings = LoopSettings(
        max_train_steps=config.steps, learning_rate=config.learning_rate, lr_scheduler="cosine",
        lr_warmup_steps=min(200, config.steps // 10), adam_beta2=0.99, ema_decay=config.ema_decay,
        checkpointing_steps=task.config.checkpointing_steps,
    )  # fmt: skip
    return _run(
        task, settings,
        lambda: DenoiserObjective(unet, text_encoder, data, config=config, batch_size=share, seed=task.config.seed),
    )  # fmt: skip


def _train_features(task: TrainingTask, archive: Archive) -> float:
    config = task.config.features
    settings = LoopSettings(
        max_train_steps=config.steps, learning_rate=config.learning_rate, lr_scheduler="cosine",
        lr_warmup_steps=min(100, config.steps // 10), adam_weight_decay=0.02, ema_decay=config.ema_decay,
        checkpointing_steps=task.config.checkpointing_steps,
    )  # fmt: skip
    net = make_feature_net(task.config).to(resolve_device(task.config.device))
    return _run(
        task, settings, lambda: FeatureObjective(net, archive, batch_size=config.batch_size, seed=task.config.seed)
    )


def open_moments(folder: Path) -> NDArray[np.float16]:
    """(N, 2, C, h, w) float16 latent moments of the whole archive, memory-mapped; gathered from their shards once."""
    shards = sorted((folder / "moments").glob("shard-*.npy"))
    whole = folder / "moments.npy"
    if not whole.is_file():
        parts = [np.load(shard, mmap_mode="r", allow_pickle=False) for shard in shards]
        shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
        with write_atomic(whole) as temporary:
            target = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
            start = 0
            for part in parts:
                target[start : start + len(part)] = part
                start += len(part)
            target.flush()
    moments: NDArray[np.float16] = np.load(whole, mmap_mode="r", allow_pickle=False)
    return moments


def _reconstruction(
    task: TrainingTask, vae: AutoencoderKL, archive: Archive, crop_px: int, batch_size: int
) -> AutoencoderObjective:
    return AutoencoderObjective(
        vae, archive.images, crop_px=crop_px, batch_size=batch_size // task.rank.world_size,
        kl_weight=task.config.autoencoder.kl_weight, seed=task.config.seed,
    )  # fmt: skip


def _autoencoder_settings(task: TrainingTask, steps: int, learning_rate: float) -> LoopSettings:
    return LoopSettings(
        max_train_steps=steps, learning_rate=learning_rate, lr_scheduler="cosine", lr_warmup_steps=min(100, steps //
        10), adam_beta2=0.99, adam_weight_decay=1e-4, ema_decay=task.config.autoencoder.ema_decay,
        checkpointing_steps=task.config.checkpointing_steps,
    )  # fmt: skip


def _run(task: TrainingTask, settings: LoopSettings, make_objective: Callable[[], Objective]) -> float:
    """Train inside the task's process group."""
    settings = replace(settings, mixed_precision=task.config.mixed_precision)
    with joined(task.rank, task.rendezvous), NullProgress().task(task.name, settings.max_train_steps) as progress:
        folder, writes = task.folder / task.name, task.rank.rank == 0
        trace = train(make_objective(), settings, folder, progress, writes_checkpoints=writes)
    return trace.mean_of_last(100)
