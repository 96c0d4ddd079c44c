"""Training objectives: what a batch costs, apart from the loop that lowers it."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F

PredictionType = Literal["epsilon", "v_prediction", "sample"]


def denoising_loss(
    unet_output: torch.Tensor,
    latents: torch.Tensor,
    noise: torch.Tensor,
    timesteps: torch.Tensor,
    scheduler: Any,
    *,
    prediction_type: PredictionType,
    snr_gamma: float | None,
) -> torch.Tensor:
    """Weighted mean squared error of a denoiser's output for each image.

    Args:
        unet_output, latents, noise: (B, C, h, w) float; latents are the clean, scaled ones.
        timesteps: (B,) int64, the noise level of each image.
        scheduler: a diffusers scheduler with ``alphas_cumprod``.
        prediction_type: what the output stands for: the noise, the velocity or the clean latents.
        snr_gamma: cap on the signal-to-noise ratio in the weights; None weighs all noise levels alike.

    Returns:
        (B,) float32 losses; their mean is the batch's loss.
    """
    alphas_cumprod = scheduler.alphas_cumprod.to(device=latents.device, dtype=torch.float32)[timesteps]
    if prediction_type == "epsilon":
        target = noise
    elif prediction_type == "sample":
        target = latents
    else:
        signal = alphas_cumprod.sqrt()[:, None, None, None]
        spread = (1 - alphas_cumprod).sqrt()[:, None, None, None]
        target = signal * noise - spread * latents
    losses = F.mse_loss(unet_output.float(), target.float(), reduction="none").mean(dim=(1, 2, 3))
    if snr_gamma is None:
        return losses
    return losses * snr_weights(alphas_cumprod, snr_gamma, prediction_type)


def snr_weights(alphas_cumprod: torch.Tensor, gamma: float, prediction_type: PredictionType) -> torch.Tensor:
    """Weights that keep easy, nearly clean images from ruling the loss (after Min-SNR, Hang et al. 2023).

    epsilon: min(snr, gamma) / snr; sample: min(snr, gamma); v_prediction: (min(snr, gamma) + 1) / (snr + 1), which
    equals one below the cap, so that the pure-noise step of a zero-terminal-SNR schedule is still trained (the
    published form has min(snr, gamma) / (snr + 1), zero there).

    Args:
        alphas_cumprod: (B,) float in [0, 1]; zero stands for pure noise.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod).clamp_min(1e-8)
    capped = snr.clamp_max(gamma)
    if prediction_type == "epsilon":
        return torch.where(snr > 0, capped / snr.clamp_min(1e-12), torch.ones_like(snr))
    if prediction_type == "sample":
        return capped
    return (capped + 1) / (snr + 1)


def spread_timesteps(count: int, timestep_count: int, generator: torch.Generator) -> torch.Tensor:
    """(count,) int64: a noise level from each of `count` equal ranges, in random order."""
    places = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    return (places * timestep_count).long().clamp_max(timestep_count - 1)
