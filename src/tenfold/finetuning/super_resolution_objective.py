"""Super-resolution's objective: the denoising loss of an image's latents beside its degraded low-resolution image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.finetuning.datasets import BalancedOrder
from tenfold.finetuning.degradation import Degradation, degrade
from tenfold.finetuning.objectives import denoising_loss
from tenfold.models.sampling import encode_images, encode_prompts
from tenfold.models.upscaling import Upscaler, as_low_images

_ENCODE_BATCH = 32
_MOST_KEPT_PROMPTS = 2048


@dataclass(frozen=True)
class HighImages:
    """High-resolution images with the latents that the upscaler is to find; one entry per image in each.

    images: (N, H, W, 3) uint8 sRGB. moments: (N, 2, C, h, w) float, mean and standard deviation of the scaled latents.
    """

    images: NDArray[np.uint8]
    moments: NDArray[np.floating]
    prompts: Sequence[str]


@dataclass(frozen=True)
class PairSettings:
    """How a batch is drawn: noise levels of 0 to `max_noise_level` are laid on the low images after `degradation`.

    ``by_relative_error`` divides each loss by the energy of its latents, where that is above one: for archives that
    hold garish textures beside skin.
    """

    batch_size: int
    degradation: Degradation
    max_noise_level: int
    caption_dropout: float = 0.1
    snr_gamma: float | None = 5.0
    by_relative_error: bool = False


@dataclass(frozen=True)
class NoisyPairs:
    """B pairs with all that is random about them.

    latents, noise: (B, C, h, w) clean scaled latents and standard normal noise; low, low_noise: (B, 3, h, w), low in
    [-1, 1]; timesteps, levels: (B,) int64 noise levels of latents and low images; prompts: B.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    low: torch.Tensor
    low_noise: torch.Tensor
    timesteps: torch.Tensor
    levels: torch.Tensor
    prompts: Sequence[str]


class PairLoss:
    """The loss of noisy pairs under the upscaler; shared by training and validation."""

    def __init__(self, upscaler: Upscaler, prompts: Sequence[str], settings: PairSettings) -> None:
        """`prompts` are those that will be asked for; their embeddings are kept when they are few."""
        from diffusers import DDPMScheduler

        self._upscaler, self._settings = upscaler, settings
        # The checkpoint's sampler may bend its noise levels; the plain scheduler holds those it was trained with.
        self._scheduler = DDPMScheduler.from_config(upscaler.scheduler.config)
        self._alphas_cumprod = self._scheduler.alphas_cumprod.to(upscaler.device)
        self.timestep_count = int(self._scheduler.config.num_train_timesteps)
        unique = list(dict.fromkeys(["", *prompts]))
        self._text = self._embed(unique) if len(unique) <= _MOST_KEPT_PROMPTS else {}

    def losses(self, pairs: NoisyPairs) -> torch.Tensor:
        """(B,) losses."""
        upscaler, settings = self._upscaler, self._settings
        alphas = self._alphas_cumprod[pairs.timesteps][:, None, None, None]
        noisy = alphas.sqrt() * pairs.latents + (1 - alphas).sqrt() * pairs.noise
        low = upscaler.low_res_scheduler.add_noise(pairs.low, pairs.low_noise, pairs.levels)
        text = self._text or self._embed(list(dict.fromkeys(pairs.prompts)))
        output = upscaler.unet(
            torch.cat([noisy, low], dim=1).contiguous(memory_format=torch.channels_last),
            pairs.timesteps,
            encoder_hidden_states=torch.stack([text[prompt] for prompt in pairs.prompts]),
            class_labels=pairs.levels,
            return_dict=False,
        )[0]
        losses = denoising_loss(
            output,
            pairs.latents,
            pairs.noise,
            pairs.timesteps,
            self._scheduler,
            prediction_type=self._scheduler.config.prediction_type,
            snr_gamma=settings.snr_gamma,
        )
        if settings.by_relative_error:
            losses = losses / pairs.latents.square().mean(dim=(1, 2, 3)).clamp_min(1)
        return losses

    @torch.no_grad()
    def _embed(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        return encode_prompts(self._upscaler, prompts)


class SuperResolutionObjective:
    """Of the upscaler the UNet is trained, or adapters in it; every batch degrades its images anew."""

    def __init__(
        self,
        upscaler: Upscaler,
        material: HighImages,
        order: BalancedOrder,
        settings: PairSettings,
        *,
        seed: int,
        other_prompts: Sequence[str] = (),
    ) -> None:
        """Those parameters of the UNet are trained that ask for a gradient. `other_prompts` are those that `pair_loss`
        will be asked for beside the material's own."""
        self._upscaler, self._material, self._order = upscaler, material, order
        self._settings, self._seed = settings, seed
        self.pair_loss = PairLoss(upscaler, [*material.prompts, *other_prompts], settings)

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The UNet."""
        return {"unet": self._upscaler.unet}

    def loss(self, step: int) -> torch.Tensor:
        """The mean loss of this batch."""
        settings, material = self._settings, self._material
        seed = derive_seed(self._seed, "super-resolution", step)
        generator = torch_generator(seed)
        count = settings.batch_size
        rows = self._order.batch(step, count)
        seeds = [derive_seed(seed, "degradation", position) for position in range(count)]
        moments = torch.from_numpy(np.asarray(material.moments[rows], dtype=np.float32))
        latents = moments[:, 0] + moments[:, 1] * torch.randn(moments[:, 0].shape, generator=generator)
        is_dropped = (torch.rand(count, generator=generator) < settings.caption_dropout).tolist()
        pairs = make_noisy_pairs(
            self._upscaler,
            latents,
            low_images(material.images[rows], self._upscaler.scale, settings.degradation, seeds),
            ["" if drop else material.prompts[row] for row, drop in zip(rows, is_dropped, strict=True)],
            timesteps=_spread(count, self.pair_loss.timestep_count, generator),
            levels=torch.randint(0, settings.max_noise_level + 1, (count,), generator=generator),
            generator=generator,
        )
        return self.pair_loss.losses(pairs).mean()


def encode_high_images(upscaler: Upscaler, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`HighImages.moments` (N, 2, C, h, w) of (N, H, W, 3) uint8."""
    factor, parts = float(upscaler.vae.config.scaling_factor), []
    for start in range(0, len(images), _ENCODE_BATCH):
        batch = np.array(images[start : start + _ENCODE_BATCH])
        mean, log_variance = encode_images(upscaler, batch).float().chunk(2, dim=1)
        spread = (0.5 * log_variance.clamp(-30, 20)).exp()
        parts.append(torch.stack([mean, spread], dim=1).mul(factor).cpu().numpy())
    return np.concatenate(parts)


def low_images(
    images: NDArray[np.uint8], scale: int, degradation: Degradation, seeds: Sequence[int]
) -> NDArray[np.uint8]:
    """(B, H / scale, W / scale, 3) uint8 of (B, H, W, 3), each degraded by its own seed."""
    return np.stack([degrade(image, scale, degradation, seed=seed) for image, seed in zip(images, seeds, strict=True)])


def make_noisy_pairs(
    upscaler: Upscaler,
    latents: torch.Tensor,
    low: NDArray[np.uint8],
    prompts: Sequence[str],
    *,
    timesteps: torch.Tensor,
    levels: torch.Tensor,
    generator: torch.Generator,
) -> NoisyPairs:
    """Pairs on the upscaler's device, with noise drawn from a CPU generator."""
    device = upscaler.device
    pixels = as_low_images(upscaler, low)
    return NoisyPairs(
        latents=latents.to(device, upscaler.dtype),
        noise=torch.randn(latents.shape, generator=generator).to(device, upscaler.dtype),
        low=pixels,
        low_noise=torch.randn(pixels.shape, generator=generator).to(pixels),
        timesteps=timesteps.to(device),
        levels=levels.to(device),
        prompts=prompts,
    )


def _spread(count: int, timestep_count: int, generator: torch.Generator) -> torch.Tensor:
    """(count,) int64: a noise level from each of `count` equal ranges, in random order."""
    places = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    return (places * timestep_count).long().clamp_max(timestep_count - 1)
