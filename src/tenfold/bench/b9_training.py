"""B9, training: DreamBooth steps by Tenfold's loop, by the stock script's loop (S) and by that loop tuned (T).

S restates the step of diffusers' ``examples/dreambooth/train_dreambooth.py`` (v0.42.1) in its public API: images
opened, resized and normalized by the data loader each step, autoencoder and text encoder run in every step, noise and
timesteps, UNet, prior preservation by ``torch.chunk``, AdamW, gradient clipping, the loss read each step. T is the
same with what diffusers' own scripts offer beside it: prompts embedded once (``--pre_compute_text_embeddings``),
latents cached (``--cache_latents`` of the SDXL script) and fused AdamW. With a LoRA, both train the adapter that PEFT
adds, as ``train_dreambooth_lora.py`` does; all ways begin with the same weights. B4 and B5 measure with this too.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from tenfold.bench.figures import Row, interleaved
from tenfold.core.progress import NullProgress, TaskProgress
from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.finetuning.datasets import BalancedOrder
from tenfold.finetuning.dreambooth_objective import DreamBoothObjective, TrainingSet
from tenfold.finetuning.latents import Views, cache_latents
from tenfold.finetuning.loop import LoopSettings, train
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.lora import LoraSettings, add_lora
from tenfold.models.pipelines import Components, load_components

STEPS = 12
BATCH = 8
IMAGES = 16
LEARNING_RATE = 1e-4
TOLERANCE = 1e-4
_SEED = 9


@dataclass(frozen=True)
class _Draw:
    """What chance decided in a step for 2 x BATCH images: which, the autoencoder's noise, the noise and its level."""

    indices: NDArray[np.int64]
    posterior_noise: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor


@dataclass(frozen=True)
class _Job:
    """The work that all ways share: instance images first, then prior images, with a prompt each."""

    components: Components
    images: NDArray[np.uint8]
    prompts: tuple[str, ...]
    files: tuple[Path, ...]
    draws: tuple[_Draw, ...]
    lora_rank: int | None
    """None trains the whole UNet."""


def measure(
    checkpoint: str,
    repeats: int,
    task: TaskProgress,
    *,
    lora_rank: int | None = None,
    target: str = "S / ours >= 1.3",
    tolerance: float = TOLERANCE,
) -> Row:
    """Seconds for 12 steps of 8 instance and 8 prior images, caching included; losses compared step by step."""
    with tempfile.TemporaryDirectory(prefix="tenfold-b9-") as folder:
        job = _make_job(checkpoint, Path(folder), lora_rank)
        losses: dict[str, list[float]] = {}

        def way(name: str, train_steps: Callable[[_Job], list[float]]) -> Callable[[], None]:
            def run() -> None:
                losses[name] = train_steps(job)

            return run

        seconds = interleaved(
            {"ours": way("ours", _train_ours), "S": way("S", _train_stock), "T": way("T", _train_tuned)}, repeats, task
        )
    difference = max(float(np.abs(np.subtract(losses["ours"], losses[name])).max()) for name in ("S", "T"))
    return Row(
        what=f"{'DreamBooth' if lora_rank is None else 'LoRA DreamBooth'}, {STEPS} steps of {BATCH} + {BATCH} images",
        unit="images",
        units=STEPS * 2 * BATCH,
        seconds=seconds,
        target=target,
        check=f"losses differ by at most {difference:.1e}",
        is_equal=difference <= tolerance,
    )


def _train_ours(job: _Job) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="tenfold-b9-") as folder, NullProgress().task("", STEPS) as task:
        settings = LoopSettings(STEPS, LEARNING_RATE, checkpointing_steps=STEPS + 1)
        return list(train(_objective(job), settings, Path(folder), task, writes_checkpoints=False).losses)


def _train_stock(job: _Job) -> list[float]:
    parts = _copy(job)
    optimizer = torch.optim.AdamW(_trained(parts), lr=LEARNING_RATE, weight_decay=0.01)
    losses = []
    for draw, pixels in zip(job.draws, _loader(job), strict=True):
        with torch.no_grad():
            posterior = parts.vae.encode(pixels).latent_dist
            latents = (posterior.mean + posterior.std * draw.posterior_noise) * parts.vae.config.scaling_factor
            ids = parts.tokenizer(
                [job.prompts[index] for index in draw.indices],
                truncation=True,
                padding="max_length",
                max_length=parts.tokenizer.model_max_length,
                return_tensors="pt",
            ).input_ids
            context = parts.text_encoder(ids, return_dict=False)[0]
        losses.append(_step(parts, optimizer, latents, context, draw))
    return losses


def _train_tuned(job: _Job) -> list[float]:
    parts = _copy(job)
    optimizer = torch.optim.AdamW(_trained(parts), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    with torch.no_grad():
        pixels = torch.from_numpy(job.images).permute(0, 3, 1, 2).float() / 127.5 - 1
        posterior = parts.vae.encode(pixels).latent_dist
        ids = parts.tokenizer(
            list(job.prompts),
            truncation=True,
            padding="max_length",
            max_length=parts.tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids
        contexts = parts.text_encoder(ids, return_dict=False)[0]
    losses = []
    for draw in job.draws:
        mean, spread = posterior.mean[draw.indices], posterior.std[draw.indices]
        latents = (mean + spread * draw.posterior_noise) * parts.vae.config.scaling_factor
        losses.append(_step(parts, optimizer, latents, contexts[draw.indices], draw))
    return losses


def _step(parts: Components, optimizer: torch.optim.Optimizer, latents: Any, context: Any, draw: _Draw) -> float:
    """Noise, UNet, loss with prior preservation, backward, clipping, step: as in the script, in its order."""
    scheduler = parts.scheduler
    noisy = scheduler.add_noise(latents, draw.noise, draw.timesteps)
    prediction = parts.unet(noisy, draw.timesteps, context, return_dict=False)[0]
    if scheduler.config.prediction_type == "epsilon":
        target = draw.noise
    else:
        target = scheduler.get_velocity(latents, draw.noise, draw.timesteps)
    prediction, prior_prediction = torch.chunk(prediction, 2, dim=0)
    target, prior_target = torch.chunk(target, 2, dim=0)
    prior_loss = F.mse_loss(prior_prediction.float(), prior_target.float(), reduction="mean")
    loss = F.mse_loss(prediction.float(), target.float(), reduction="mean") + prior_loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(_trained(parts), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach().item())


def _loader(job: _Job) -> Any:
    """The script's data set and loader, in the order of the draws: open, resize, crop, to tensor, normalize."""
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    edge_px = job.images.shape[1]
    prepare = transforms.Compose(
        [
            transforms.Resize(edge_px, interpolation=transforms.InterpolationMode.BILINEAR),
            transforms.CenterCrop(edge_px),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.5]),
        ]
    )

    class Images(Dataset[Any]):
        def __len__(self) -> int:
            return len(job.files)

        def __getitem__(self, index: int) -> Any:
            with Image.open(job.files[index]) as image:
                return prepare(image.convert("RGB"))

    return DataLoader(Images(), batch_sampler=[list(draw.indices) for draw in job.draws], num_workers=0)


def _make_job(checkpoint: str, folder: Path, lora_rank: int | None) -> _Job:
    from diffusers import DDPMScheduler

    components = load_components(resolve_checkpoint(checkpoint))
    edge_px = components.image_size_px
    images = numpy_generator(_SEED).integers(0, 256, (2 * IMAGES, edge_px, edge_px, 3), dtype=np.uint8)
    files = tuple(folder / f"{index:03d}.png" for index in range(len(images)))
    for path, image in zip(files, images, strict=True):
        Image.fromarray(image).save(path)
    prompts = tuple("a photo of sks lesion" if index < IMAGES else "a photo of lesion" for index in range(2 * IMAGES))
    # The script trains with DDPMScheduler; the checkpoint's own may be another sampler of the same noise levels.
    scheduler = DDPMScheduler.from_config(components.scheduler.config)
    components = Components(components.vae, components.unet, components.text_encoder, components.tokenizer, scheduler)
    job = _Job(components, images, prompts, files, (), lora_rank)
    return replace(job, draws=_record_draws(job))


def _objective(job: _Job) -> DreamBoothObjective:
    """Instances, then prior images, each with a cache of its own, as the DreamBooth stage builds it."""
    parts = _copy(job)
    sets = []
    for number, rows in enumerate((slice(0, IMAGES), slice(IMAGES, 2 * IMAGES))):
        sets.append(
            TrainingSet(
                latents=cache_latents(parts, job.images[rows], Views(), seed=_SEED),
                prompts=job.prompts[rows],
                order=_order(number),
                batch_size=BATCH,
                loss_weight=1.0,
            )
        )
    return DreamBoothObjective(parts, sets, seed=_SEED)


def _order(number: int) -> BalancedOrder:
    return BalancedOrder(["all"] * IMAGES, seed=derive_seed(_SEED, "order", number))


def _record_draws(job: _Job) -> tuple[_Draw, ...]:
    """What our objective draws in each step, for the other ways to use."""
    objective = _objective(job)
    draws = []
    with torch.no_grad():
        pixels = torch.from_numpy(job.images).permute(0, 3, 1, 2).float() / 127.5 - 1
        posterior = job.components.vae.encode(pixels).latent_dist
        for step in range(STEPS):
            batch = objective.draw(step)
            indices = np.concatenate([_order(0).batch(step, BATCH), IMAGES + _order(1).batch(step, BATCH)])
            plain = batch.latents / job.components.vae.config.scaling_factor
            chance = (plain - posterior.mean[indices]) / posterior.std[indices]
            draws.append(_Draw(indices, chance, batch.noise, batch.timesteps))
    return tuple(draws)


def _copy(job: _Job) -> Components:
    """The same parts with a UNet of its own to train, or an adapter in it, in training mode."""
    whole = job.components
    unet = copy.deepcopy(whole.unet).train().requires_grad_(True)
    parts = Components(whole.vae, unet, whole.text_encoder, whole.tokenizer, whole.scheduler)
    if job.lora_rank is not None:
        add_lora(parts, LoraSettings(job.lora_rank, seed=_SEED))
    return parts


def _trained(parts: Components) -> list[torch.nn.Parameter]:
    return [parameter for parameter in parts.unet.parameters() if parameter.requires_grad]
