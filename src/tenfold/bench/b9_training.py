"""B9, training: DreamBooth steps by Tenfold's loop, by the stock script's loop (S) and by that loop tuned (T).

S restates the step of diffusers' ``examples/dreambooth/train_dreambooth.py`` (v0.42.1) in its public API: images
opened, resized and normalized by the data loader each step, autoencoder and text encoder run in every step, noise and
timesteps, UNet, prior preservation by ``torch.chunk``, AdamW, gradient clipping, the loss read each step. T is the
same with what diffusers' own scripts offer beside it: prompts embedded once (``--pre_compute_text_embeddings``),
latents cached (``--cache_latents`` of the SDXL script) and fused AdamW. With a LoRA, both train the adapter that PEFT
adds, as ``train_dreambooth_lora.py`` does; all ways begin with the same weights. B4, B5 and B6 measure with this too.
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
LEARNING_RATE = 1e-4
TOLERANCE = 1e-4


@dataclass(frozen=True)
class _Draw:
    """What chance decided in a step for all its images: which, the autoencoder's noise, the noise and its level."""

    indices: NDArray[np.int64]
    posterior_noise: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor


@dataclass(frozen=True)
class JobSize:
    """Instance images and as many prior ones in the set, and in each step; `lora_rank` None trains the whole UNet."""

    images: int = 16
    batch: int = 8
    lora_rank: int | None = None
    seed: int = 9


@dataclass(frozen=True)
class Job:
    """The work that all ways share: instance images first, then prior images, with a prompt each."""

    size: JobSize
    components: Components
    images: NDArray[np.uint8]
    prompts: tuple[str, ...]
    files: tuple[Path, ...]
    draws: tuple[_Draw, ...] = ()


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
        size = JobSize(lora_rank=lora_rank)
        job = make_job(load_components(resolve_checkpoint(checkpoint)), Path(folder), size)
        losses: dict[str, list[float]] = {}

        def way(name: str, train_steps: Callable[[Job], list[float]]) -> Callable[[], None]:
            def run() -> None:
                losses[name] = train_steps(job)

            return run

        timings = interleaved(
            {"ours": way("ours", train_ours), "S": way("S", train_stock), "T": way("T", train_tuned)}, repeats, task
        )
    kind = "DreamBooth" if lora_rank is None else "LoRA DreamBooth"
    difference = max(float(np.abs(np.subtract(losses["ours"], losses[name])).max()) for name in ("S", "T"))
    return Row(
        what=f"{kind}, {STEPS} steps of {size.batch} + {size.batch} images",
        unit="images",
        units=STEPS * 2 * size.batch,
        seconds=timings.wall,
        cpu_seconds=timings.cpu,
        target=target,
        check=f"losses differ by at most {difference:.1e}",
        is_equal=difference <= tolerance,
    )


def train_ours(job: Job) -> list[float]:
    """The losses of our loop."""
    objective = make_objective(job, trained_copy(job))
    with tempfile.TemporaryDirectory(prefix="tenfold-b9-") as folder, NullProgress().task("", STEPS) as task:
        settings = LoopSettings(STEPS, LEARNING_RATE, checkpointing_steps=STEPS + 1)
        return list(train(objective, settings, Path(folder), task, writes_checkpoints=False).losses)


def train_stock(job: Job) -> list[float]:
    """The losses of the script's loop."""
    parts = trained_copy(job)
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


def train_tuned(job: Job) -> list[float]:
    """The losses of the script's loop with latents and prompts encoded once."""
    parts = trained_copy(job)
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


def _loader(job: Job) -> Any:
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


def make_job(components: Components, folder: Path, size: JobSize) -> Job:
    """Random images, written to `folder` for the ways that read files, and every draw of our objective."""
    from diffusers import DDPMScheduler

    edge_px, count = components.image_size_px, size.images
    images = numpy_generator(size.seed).integers(0, 256, (2 * count, edge_px, edge_px, 3), dtype=np.uint8)
    files = tuple(folder / f"{size.seed}-{index:03d}.png" for index in range(2 * count))
    for path, image in zip(files, images, strict=True):
        Image.fromarray(image).save(path)
    prompts = tuple("a photo of sks lesion" if index < count else "a photo of lesion" for index in range(2 * count))
    # The script trains with DDPMScheduler; the checkpoint's own may be another sampler of the same noise levels.
    scheduler = DDPMScheduler.from_config(components.scheduler.config)
    components = Components(components.vae, components.unet, components.text_encoder, components.tokenizer, scheduler)
    job = Job(size, components, images, prompts, files)
    return replace(job, draws=_record_draws(job))


def make_objective(job: Job, parts: Components) -> DreamBoothObjective:
    """Instances, then prior images, each with a cache of its own, as the DreamBooth stage builds it.

    Args:
        parts: the job's, with what is to be trained.
    """
    count, seed = job.size.images, job.size.seed
    sets = []
    for number, rows in enumerate((slice(0, count), slice(count, 2 * count))):
        sets.append(
            TrainingSet(
                latents=cache_latents(parts, job.images[rows], Views(), seed=seed),
                prompts=job.prompts[rows],
                order=_order(job.size, number),
                batch_size=job.size.batch,
                loss_weight=1.0,
            )
        )
    return DreamBoothObjective(parts, sets, seed=seed)


def trained_copy(job: Job) -> Components:
    """The same parts with a UNet of its own to train, or an adapter in it, in training mode."""
    parts = plain_copy(job.components)
    if job.size.lora_rank is not None:
        add_lora(parts, LoraSettings(job.size.lora_rank, seed=job.size.seed))
    return parts


def plain_copy(whole: Components) -> Components:
    """The same parts with a UNet of its own, in training mode."""
    unet = copy.deepcopy(whole.unet).train().requires_grad_(True)
    return Components(whole.vae, unet, whole.text_encoder, whole.tokenizer, whole.scheduler)


def _order(size: JobSize, number: int) -> BalancedOrder:
    return BalancedOrder(["all"] * size.images, seed=derive_seed(size.seed, "order", number))


def _record_draws(job: Job) -> tuple[_Draw, ...]:
    """What our objective draws in each step, for the other ways to use."""
    size, objective = job.size, make_objective(job, trained_copy(job))
    draws = []
    with torch.no_grad():
        pixels = torch.from_numpy(job.images).permute(0, 3, 1, 2).float() / 127.5 - 1
        posterior = job.components.vae.encode(pixels).latent_dist
        for step in range(STEPS):
            batch = objective.draw(step)
            rows = [_order(size, number).batch(step, size.batch) for number in range(2)]
            indices = np.concatenate([rows[0], size.images + rows[1]])
            plain = batch.latents / job.components.vae.config.scaling_factor
            chance = (plain - posterior.mean[indices]) / posterior.std[indices]
            draws.append(_Draw(indices, chance, batch.noise, batch.timesteps))
    return tuple(draws)


def _trained(parts: Components) -> list[torch.nn.Parameter]:
    return [parameter for parameter in parts.unet.parameters() if parameter.requires_grad]
