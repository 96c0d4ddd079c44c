"""DreamBooth's objective: the denoising loss of instance images plus the weighted one of prior images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.finetuning.datasets import BalancedOrder
from tenfold.finetuning.latents import LatentCache
from tenfold.finetuning.objectives import denoising_loss
from tenfold.models.pipelines import Components
from tenfold.models.sampling import encode_prompts, unet_conditioning


@dataclass(frozen=True)
class TrainingSet:
    """One kind of training images: their cached latents, their prompts and the order they are drawn in."""

    latents: LatentCache
    prompts: tuple[str, ...]
    order: BalancedOrder
    batch_size: int
    loss_weight: float


@dataclass(frozen=True)
class NoisyBatch:
    """What one step learns from, drawn but not yet denoised."""

    latents: torch.Tensor
    """(B, C, h, w) clean and scaled."""
    noise: torch.Tensor
    timesteps: torch.Tensor
    """(B,) int64, the noise level of each image."""
    prompts: tuple[str, ...]
    weights: torch.Tensor
    """(B,) what each image's loss counts in the step's loss."""


class DreamBoothObjective:
    """All sets go through one UNet call a step; the text encoder's work is done once unless it is trained too."""

    def __init__(
        self,
        components: Components,
        sets: Sequence[TrainingSet],
        *,
        seed: int,
        snr_gamma: float | None = None,
        caption_dropout: float = 0.0,
        train_text_encoder: bool = False,
        other_prompts: Sequence[str] = (),
    ) -> None:
        """`other_prompts` are those that `losses` will be asked for beside the sets' own."""
        from diffusers import DDPMScheduler

        self._components = components
        self._sets = tuple(sets)
        self._seed = seed
        self._snr_gamma = snr_gamma
        self._caption_dropout = caption_dropout
        self._trains_text_encoder = train_text_encoder
        # The checkpoint's sampler may bend its noise levels; the plain scheduler holds those it was trained with.
        self._scheduler = DDPMScheduler.from_config(components.scheduler.config)
        self._alphas_cumprod = self._scheduler.alphas_cumprod.to(components.device)
        self.timestep_count = int(self._scheduler.config.num_train_timesteps)
        known = ["", *(prompt for part in sets for prompt in part.prompts), *other_prompts]
        self._embeddings = None if train_text_encoder else encode_prompts(components, known)
        for module in self.modules().values():
            # Where an adapter was added, only that is trained.
            if not any(parameter.requires_grad for parameter in module.parameters()):
                module.requires_grad_(True)

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The UNet, and the text encoder when it is trained (of SDXL both)."""
        modules = {"unet": self._components.unet}
        if self._trains_text_encoder:
            modules |= self._components.text_encoders
        return modules

    def loss(self, step: int) -> torch.Tensor:
        """The scalar loss of this step's batch: each set's mean, weighted."""
        batch = self.draw(step)
        output = self._components.unet(**self.unet_inputs(batch), return_dict=False)[0]
        return self.batch_loss(output, batch)

    def draw(self, step: int) -> NoisyBatch:
        """The batch of this step: the same whenever and wherever it is drawn."""
        generator = torch_generator(derive_seed(self._seed, "step", step))
        latents, prompts, timesteps, weights = [], [], [], []
        for part in self._sets:
            indices = part.order.batch(step, part.batch_size)
            latents.append(part.latents.draw(torch.from_numpy(indices), generator))
            is_dropped = (torch.rand(part.batch_size, generator=generator) < self._caption_dropout).tolist()
            prompts += ["" if drop else part.prompts[k] for k, drop in zip(indices, is_dropped, strict=True)]
            timesteps.append(_spread_timesteps(part.batch_size, self.timestep_count, generator))
            weights.append(torch.full((part.batch_size,), part.loss_weight / part.batch_size))
        clean = torch.cat(latents)
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        levels = torch.cat(timesteps).to(clean.device)
        return NoisyBatch(clean, noise, levels, tuple(prompts), torch.cat(weights).to(clean.device))

    def unet_inputs(self, batch: NoisyBatch) -> dict[str, Any]:
        """The UNet's keyword arguments: noisy latents, noise levels, and what it is told of the prompts."""
        return {
            "sample": self._noisy(batch.latents, batch.noise, batch.timesteps),
            "timestep": batch.timesteps,
            **unet_conditioning(self._components, batch.prompts, self._embeddings),
        }

    def batch_loss(self, output: torch.Tensor, batch: NoisyBatch) -> torch.Tensor:
        """The scalar loss of a batch for which the UNet gave `output` (B, C, h, w)."""
        return (self._losses_of(output, batch.latents, batch.noise, batch.timesteps) * batch.weights).sum()

    def losses(
        self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, prompts: Sequence[str]
    ) -> torch.Tensor:
        """(B,) denoising losses of (B, C, h, w) clean scaled latents at given noise and (B,) noise levels."""
        conditioning = unet_conditioning(self._components, prompts, self._embeddings)
        noisy = self._noisy(latents, noise, timesteps)
        output: torch.Tensor = self._components.unet(noisy, timesteps, **conditioning, return_dict=False)[0]
        return self._losses_of(output, latents, noise, timesteps)

    def _noisy(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        alphas: torch.Tensor = self._alphas_cumprod[timesteps][:, None, None, None]
        return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise

    def _losses_of(
        self, output: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        return denoising_loss(
            output,
            latents,
            noise,
            timesteps,
            self._scheduler,
            prediction_type=self._scheduler.config.prediction_type,
            snr_gamma=self._snr_gamma,
        )


def _spread_timesteps(count: int, timestep_count: int, generator: torch.Generator) -> torch.Tensor:
    """(count,) int64: a noise level from each of `count` equal ranges, in random order."""
    places = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    return (places * timestep_count).long().clamp_max(timestep_count - 1)
