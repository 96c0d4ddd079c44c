"""DreamBooth's objective: the denoising loss of instance images plus the weighted one of prior images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.finetuning.datasets import BalancedOrder
from tenfold.finetuning.latents import LatentCache
from tenfold.finetuning.objectives import denoising_loss
from tenfold.models.pipelines import Components
from tenfold.models.sampling import embed_token_ids, encode_prompts, token_ids


@dataclass(frozen=True)
class TrainingSet:
    """One kind of training images: their cached latents, their prompts and the order they are drawn in."""

    latents: LatentCache
    prompts: tuple[str, ...]
    order: BalancedOrder
    batch_size: int
    loss_weight: float


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
        self._text = self._prepare_text(["", *(prompt for part in sets for prompt in part.prompts), *other_prompts])
        for module in self.modules().values():
            module.requires_grad_(True)

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The UNet, and the text encoder when it is trained."""
        modules = {"unet": self._components.unet}
        if self._trains_text_encoder:
            modules["text_encoder"] = self._components.text_encoder
        return modules

    def loss(self, step: int) -> torch.Tensor:
        """The scalar loss of this step's batch: each set's mean, weighted."""
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
        losses = self.losses(clean, noise, torch.cat(timesteps).to(clean.device), prompts)
        return (losses * torch.cat(weights).to(clean.device)).sum()

    def losses(
        self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, prompts: Sequence[str]
    ) -> torch.Tensor:
        """(B,) denoising losses of (B, C, h, w) clean scaled latents at given noise and (B,) noise levels."""
        alphas = self._alphas_cumprod[timesteps][:, None, None, None]
        noisy = alphas.sqrt() * latents + (1 - alphas).sqrt() * noise
        output = self._components.unet(
            noisy, timesteps, encoder_hidden_states=self._context(prompts), return_dict=False
        )[0]
        return denoising_loss(
            output,
            latents,
            noise,
            timesteps,
            self._scheduler,
            prediction_type=self._scheduler.config.prediction_type,
            snr_gamma=self._snr_gamma,
        )

    def _prepare_text(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        """By unique prompt: its embedding, or its token ids when embeddings change with training."""
        unique = list(dict.fromkeys(prompts))
        if self._trains_text_encoder:
            return dict(zip(unique, token_ids(self._components, unique), strict=True))
        return encode_prompts(self._components, unique)

    def _context(self, prompts: Sequence[str]) -> torch.Tensor:
        if not self._trains_text_encoder:
            return torch.stack([self._text[prompt] for prompt in prompts])
        unique = list(dict.fromkeys(prompts))
        embeddings = embed_token_ids(self._components, torch.stack([self._text[prompt] for prompt in unique]))
        return embeddings[[unique.index(prompt) for prompt in prompts]]


def _spread_timesteps(count: int, timestep_count: int, generator: torch.Generator) -> torch.Tensor:
    """(count,) int64: a noise level from each of `count` equal ranges, in random order."""
    places = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    return (places * timestep_count).long().clamp_max(timestep_count - 1)
