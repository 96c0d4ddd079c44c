"""Named sizes can be built, and a pretraining's costs grow as they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenfold.finetuning.pretrain_autoencoder import as_pictures, build_autoencoder
from tenfold.finetuning.pretrain_config import AutoencoderConfig, DenoiserConfig, PretrainConfig
from tenfold.finetuning.pretrain_estimate import estimate_pretraining
from tenfold.finetuning.pretrain_linear_start import start_linear
from tenfold.finetuning.pretrain_sizes import SIZES, pixels_per_cell
from tenfold.recipes.loader import load_settings

TINY = PretrainConfig(
    image_size_px=16,
    autoencoder=AutoencoderConfig(block_out_channels=(16, 56, 16), latent_channels=2, norm_num_groups=2, crop_px=8),
    denoiser=DenoiserConfig(
        block_out_channels=(16, 16), attention_heads=2, text_hidden_size=16, text_layers=1, vocabulary_size=700
    ),
)


def _config(name: str) -> PretrainConfig:
    options = {key: ("--size", value) for key, value in SIZES[name].settings.items()}
    return load_settings(PretrainConfig, [f"image_size_px={SIZES[name].image_size_px}"], options)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_named_size_fits_its_image_size(name: str) -> None:
    config = _config(name)
    levels = len(config.autoencoder.block_out_channels), len(config.denoiser.block_out_channels)
    assert config.image_size_px % pixels_per_cell(*levels) == 0
    assert config.autoencoder.crop_px <= config.image_size_px
    assert all(width % config.denoiser.norm_num_groups == 0 for width in config.denoiser.block_out_channels)
    assert all(width % config.denoiser.attention_heads == 0 for width in config.denoiser.block_out_channels)


@pytest.mark.parametrize("name", ["small", "medium", "large"])
def test_its_autoencoder_starts_as_a_projection(name: str) -> None:
    """Before any training, pictures come back with their brightness: the wide ones have room for the linear start."""
    config = _config(name)
    vae = build_autoencoder(config.autoencoder, 32, seed=0).eval()
    smooth = np.random.default_rng(0).integers(0, 255, (16, 2, 2, 3), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    start_linear(vae, smooth)
    pictures = as_pictures(smooth[:4])
    with torch.no_grad():
        returned = vae.decode(vae.encode(pictures).latent_dist.mean).sample
    assert float((returned - pictures).square().mean()) < 0.1 * float(pictures.var())


def test_costs_are_of_the_trained_modules_and_grow_with_steps_and_batch() -> None:
    estimate = estimate_pretraining(TINY)
    names = [training.name for training in estimate.trainings]
    assert names == ["autoencoder, crops", "autoencoder, whole", "denoiser"]
    vae = build_autoencoder(TINY.autoencoder, 16, seed=0)
    assert estimate.parameters["autoencoder"] == sum(p.numel() for p in vae.parameters())
    wide = TINY.model_copy(update={"denoiser": TINY.denoiser.model_copy(update={"batch_size": 4096})})
    larger = estimate_pretraining(wide).trainings[-1]
    assert larger.memory_bytes > estimate.trainings[-1].memory_bytes
    assert larger.batch_size == 4096
    assert estimate.seconds == pytest.approx(sum(training.seconds for training in estimate.trainings))
