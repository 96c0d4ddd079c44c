"""What a pretraining will cost: parameters, memory and time of each training, from a short probe at its real shapes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tenfold.core.device import limited_threads, resolve_device
from tenfold.core.seeds import numpy_generator
from tenfold.finetuning.loop import Objective
from tenfold.finetuning.pretrain_autoencoder import AutoencoderObjective, build_autoencoder
from tenfold.finetuning.pretrain_config import PretrainConfig
from tenfold.finetuning.pretrain_denoiser import CaptionedLatents, DenoiserObjective, encode_captions
from tenfold.finetuning.pretrain_tasks import make_denoiser
from tenfold.finetuning.pretrain_tokenizer import train_tokenizer
from tenfold.models.memory import RUNTIME_BYTES

_PROBED_PIXELS = 32_768
"""Pixels of a probed batch, about eight pictures of 64 px: the cost of the whole batch is scaled up from there."""
_PROBED_STEPS = 2
_BYTES_PER_PARAMETER = 20
"""Weight, gradient, two moments of Adam and the moving average, four bytes each."""
_ALLOCATOR_SHARE = 1.5


@dataclass(frozen=True)
class TrainingEstimate:
    """One training: its parameters, steps, images in a step, seconds in all and bytes at its peak."""

    name: str
    parameters: int
    steps: int
    batch_size: int
    seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class PretrainingEstimate:
    """All trainings in order. The feature net, small and only trained where labels are known, is not counted."""

    trainings: tuple[TrainingEstimate, ...]
    processes: int

    @property
    def seconds(self) -> float:
        """Seconds of all trainings one after another, if processes that share a batch share its time evenly."""
        return sum(training.seconds for training in self.trainings) / self.processes

    @property
    def memory_bytes(self) -> int:
        """Bytes of the training that needs most, with all its processes."""
        return max(training.memory_bytes for training in self.trainings)

    @property
    def parameters(self) -> Mapping[str, int]:
        """Parameters of the autoencoder, and of the UNet with its text encoder."""
        return {"autoencoder": self.trainings[0].parameters, "denoiser": self.trainings[-1].parameters}


def estimate_pretraining(config: PretrainConfig) -> PretrainingEstimate:
    """Take two steps of each training on noise, time them, and count what they keep for their gradients.

    Seconds are the processor's own, so that other programs do not count; seconds and bytes are scaled up to the whole
    batch. Both are of the right size, not exact: within a factor of about two.
    """
    device = resolve_device(config.device)
    own, probes = config.autoencoder, []
    with limited_threads(1), tempfile.TemporaryDirectory() as scratch:
        for name, size_px, steps, batch_size in (
            ("autoencoder, crops", own.crop_px, own.crop_steps, own.crop_batch_size),
            ("autoencoder, whole", config.image_size_px, own.full_steps, own.full_batch_size),
            ("decoder", config.image_size_px, own.decoder_steps, own.full_batch_size),
        ):
            if steps:
                objective = _autoencoder(config, size_px, device, _probed(size_px, batch_size))
                probes.append(_estimate(name, objective, steps, batch_size, size_px, config))
        count = _probed(config.image_size_px, config.denoiser.batch_size)
        denoiser = _denoiser(config, Path(scratch), device, count)
        settings = config.denoiser
        probes.append(
            _estimate("denoiser", denoiser, settings.steps, settings.batch_size, config.image_size_px, config)
        )
    return PretrainingEstimate(tuple(probes), config.data_parallel)


def _probed(size_px: int, batch_size: int) -> int:
    return max(1, min(batch_size, _PROBED_PIXELS // size_px**2))


def _autoencoder(config: PretrainConfig, size_px: int, device: str, batch_size: int) -> Objective:
    vae = build_autoencoder(config.autoencoder, config.image_size_px, seed=0).to(device)
    images = numpy_generator(0).integers(0, 256, (4, *(config.image_size_px,) * 2, 3), dtype=np.uint8)
    kl_weight = config.autoencoder.kl_weight
    return AutoencoderObjective(vae, images, crop_px=size_px, batch_size=batch_size, kl_weight=kl_weight, seed=0)


def _denoiser(config: PretrainConfig, scratch: Path, device: str, batch_size: int) -> Objective:
    settings = config.denoiser
    train_tokenizer(
        [], scratch / "tokenizer", vocabulary_size=settings.vocabulary_size, max_length=settings.caption_tokens
    )
    unet, text_encoder, tokenizer = make_denoiser(config, scratch)
    unet.to(device)
    text_encoder.to(device)
    edge = int(unet.config["sample_size"])
    moments = numpy_generator(0).normal(size=(4, 2, config.autoencoder.latent_channels, edge, edge))
    ids = encode_captions(tokenizer, [config.class_free_caption] * 4)
    data = CaptionedLatents(moments.astype(np.float16), ids, encode_captions(tokenizer, [""])[0])
    return DenoiserObjective(unet, text_encoder, data, config=settings, batch_size=batch_size, seed=0)


def _estimate(
    name: str, objective: Objective, steps: int, batch_size: int, size_px: int, config: PretrainConfig
) -> TrainingEstimate:
    probed = _probed(size_px, batch_size)
    parameters = [parameter for module in objective.modules().values() for parameter in module.parameters()]
    # The first step also sets things up; it is the one whose kept tensors are counted.
    with _counted_activations(parameters) as kept:
        objective.loss(0).backward()
    clock = time.process_time if parameters[0].device.type == "cpu" else time.perf_counter
    seconds = []
    for step in range(1, 1 + _PROBED_STEPS):
        start = clock()
        objective.loss(step).backward()
        _wait(parameters[0].device)
        seconds.append(clock() - start)
    count = sum(parameter.numel() for parameter in parameters)
    share = batch_size / probed
    activations = int(kept[0] * share * _ALLOCATOR_SHARE)
    memory = config.data_parallel * (count * _BYTES_PER_PARAMETER + RUNTIME_BYTES) + activations
    return TrainingEstimate(name, count, steps, batch_size, min(seconds) * share * steps, memory)


@contextmanager
def _counted_activations(parameters: list[torch.nn.Parameter]) -> Iterator[list[int]]:
    """Bytes of the tensors that are kept for the backward pass, each storage once and without the weights."""
    seen = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    total = [0]

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            total[0] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
