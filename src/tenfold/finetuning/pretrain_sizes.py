"""Named sizes of a base: widths, depths and training lengths of its parts; single settings may differ from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class BaseSize:
    """A size: what it is for, its usual image size, and settings (dotted names of `PretrainConfig`)."""

    purpose: str
    image_size_px: int
    settings: Mapping[str, Any]


SIZES: Mapping[str, BaseSize] = MappingProxyType({
    "small": BaseSize("a CPU; the embedded base has this size", 64, {}),
    "medium": BaseSize(
        "a GPU for some hours", 128,
        {
            "autoencoder.block_out_channels": (48, 96, 160), "autoencoder.crop_px": 64,
            "autoencoder.crop_steps": 2000, "autoencoder.full_steps": 500, "autoencoder.crop_batch_size": 32,
            "denoiser.block_out_channels": (96, 192, 288), "denoiser.attention_heads": 8,
            "denoiser.text_hidden_size": 256, "denoiser.text_layers": 4, "denoiser.vocabulary_size": 4000,
            "denoiser.caption_tokens": 64, "denoiser.steps": 20_000, "denoiser.learning_rate": 5e-4,
        },
    ),
    "large": BaseSize(
        "a GPU for days", 256,
        {
            "autoencoder.block_out_channels": (64, 128, 256, 384), "autoencoder.latent_channels": 16,
            "autoencoder.crop_px": 128, "autoencoder.crop_steps": 10_000, "autoencoder.full_steps": 2000,
            "autoencoder.crop_batch_size": 32, "autoencoder.full_batch_size": 16,
            "denoiser.block_out_channels": (192, 384, 576), "denoiser.attention_heads": 8,
            "denoiser.text_hidden_size": 512, "denoiser.text_layers": 6, "denoiser.vocabulary_size": 8000,
            "denoiser.caption_tokens": 77, "denoiser.steps": 100_000, "denoiser.learning_rate": 2e-4,
            "denoiser.ema_decay": 0.9995,
        },
    ),
})  # fmt: skip
"""Each may be trained at another image size: a multiple of `pixels_per_cell` of its settings."""


def pixels_per_cell(autoencoder_levels: int, denoiser_levels: int) -> int:
    """The image size must be a multiple of this: autoencoder and UNet halve the side at each level but one.

    >>> pixels_per_cell(3, 3)
    16
    """
    return int(2 ** (autoencoder_levels - 1) * 2 ** (denoiser_levels - 1))
