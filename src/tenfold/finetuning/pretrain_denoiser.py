"""Pretraining of the denoiser: a conditional UNet and its text encoder, trained together on latents and captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tenfold.core.files import write_atomic
from tenfold.core.seeds import derive_seed, numpy_generator, torch_generator
from tenfold.finetuning.objectives import denoising_loss
from tenfold.finetuning.pretrain_autoencoder import as_pictures
from tenfold.finetuning.pretrain_config import DenoiserConfig


def build_scheduler() -> DDIMScheduler:
    """Zero-terminal-SNR noise levels (Lin et al. 2024), velocity prediction, sampled from the last level on."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        rescale_betas_zero_snr=True,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
    )


def build_denoiser(
    config: DenoiserConfig, *, latent_channels: int, latent_px: int, tokenizer: CLIPTokenizer, seed: int
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """A UNet with cross-attention at all levels below the first, and a CLIP text encoder; weights freshly drawn."""
    depth = len(config.block_out_channels)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch_generator(derive_seed(seed, "denoiser")).get_state())
        unet = UNet2DConditionModel(
            sample_size=latent_px,
            in_channels=latent_channels,
            out_channels=latent_channels,
            down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (depth - 1),
            up_block_types=("CrossAttnUpBlock2D",) * (depth - 1) + ("UpBlock2D",),
            block_out_channels=tuple(config.block_out_channels),
            layers_per_block=1,
            cross_attention_dim=config.text_hidden_size,
            attention_head_dim=config.attention_heads,
            norm_num_groups=config.norm_num_groups,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=config.text_hidden_size,
                intermediate_size=4 * config.text_hidden_size,
                projection_dim=config.text_hidden_size,
                num_hidden_layers=config.text_layers,
                num_attention_heads=config.attention_heads,
                max_position_embeddings=config.caption_tokens,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    return unet.to(memory_format=torch.channels_last), text_encoder


def encode_captions(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> NDArray[np.int64]:
    """(N, max_length) int64 token ids, padded and cut to the tokenizer's length."""
    unique = list(dict.fromkeys(captions))
    ids = tokenizer(unique, padding="max_length", truncation=True, max_length=tokenizer.model_max_length)["input_ids"]
    rows = dict(zip(unique, ids, strict=True))
    return np.array([rows[caption] for caption in captions], dtype=np.int64)


@torch.no_grad()
def write_moments(vae: AutoencoderKL, images: NDArray[np.uint8], path: Path, *, batch_size: int = 64) -> None:
    """Write the posterior of (N, H, W, 3) uint8 images as (N, 2, C, h, w) float16: means, then standard deviations."""
    parts = []
    for start in range(0, len(images), batch_size):
        posterior = vae.encode(as_pictures(images[start : start + batch_size]).to(vae.device)).latent_dist
        parts.append(torch.stack([posterior.mean, posterior.std], dim=1).to("cpu", torch.float16))
    with write_atomic(path) as temporary, open(temporary, "wb") as stream:
        np.save(stream, torch.cat(parts).contiguous().numpy())


@dataclass(frozen=True)
class CaptionedLatents:
    """What the denoiser learns from: `moments` (N, 2, C, h, w) of ``write_moments`` and `input_ids` (N, T) of their
    captions; `empty_ids` (T,) are those of no words."""

    moments: NDArray[np.float16]
    input_ids: NDArray[np.int64]
    empty_ids: NDArray[np.int64]


class DenoiserObjective:
    """Velocity prediction on archive latents under their captions, a share of which is left out."""

    def __init__(
        self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel, data: CaptionedLatents, *,
        config: DenoiserConfig, batch_size: int, seed: int,
    ) -> None:  # fmt: skip
        """``batch_size`` images are drawn for each batch."""
        self._unet, self._text_encoder, self._data = unet, text_encoder, data
        self._config, self._batch_size, self._seed = config, batch_size, seed
        self._scheduler = build_scheduler()
        self._cost = _DenoiserCost(unet, text_encoder, self._scheduler, config.snr_gamma)

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The UNet and the text encoder."""
        return {"unet": self._unet, "text_encoder": self._text_encoder}

    def loss(self, step: int) -> torch.Tensor:
        """Scalar loss of the images of this batch."""
        seed = derive_seed(self._seed, "denoiser", step)
        rng, generator = numpy_generator(seed), torch_generator(seed)
        rows = np.sort(rng.integers(len(self._data.moments), size=self._batch_size))
        moments = torch.from_numpy(self._data.moments[rows].astype(np.float32))
        latents = moments[:, 0] + moments[:, 1] * torch.randn(moments[:, 0].shape, generator=generator)
        ids = self._data.input_ids[rows].copy()
        ids[rng.random(len(rows)) < self._config.caption_dropout] = self._data.empty_ids
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(0, self._scheduler.config["num_train_timesteps"], (len(rows),), generator=generator)
        batch = (latents, noise, timesteps, torch.from_numpy(ids))
        cost: torch.Tensor = self._cost(*(part.to(self._unet.device) for part in batch))
        return cost


class _DenoiserCost(torch.nn.Module):
    def __init__(
        self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel, scheduler: DDIMScheduler, snr_gamma: float
    ) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.scheduler, self.snr_gamma = unet, text_encoder, scheduler, snr_gamma

    def forward(
        self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, input_ids: torch.Tensor
    ) -> torch.Tensor:
        noisy = self.scheduler.add_noise(latents, noise, timesteps).contiguous(memory_format=torch.channels_last)
        output = self.unet(noisy, timesteps, self.text_encoder(input_ids)[0]).sample
        losses = denoising_loss(
            output, latents, noise, timesteps, self.scheduler, prediction_type="v_prediction", snr_gamma=self.snr_gamma
        )
        # Garish textures have latents several times as large as skin; they count by their relative error.
        energy = latents.square().mean(dim=(1, 2, 3))
        return (losses / energy.clamp_min(1)).mean()
