"""The embedded upscaler is whole, small, half precision, loads offline with plain diffusers, and keeps to its image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from tenfold.core.errors import CheckpointError
from tenfold.data.phantom import COMMON, make_cohort
from tenfold.finetuning.degradation import PLAIN, degrade
from tenfold.metrics.image_similarity import psnr_db
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.embedded import upscaler_path
from tenfold.models.upscaling import UpscaleSettings, load_upscaler, upscale


def test_it_is_small_and_half_precision() -> None:
    files = [path for path in upscaler_path().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6e6
    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as weights:
                assert {weights.get_slice(name).get_dtype() for name in weights.keys()} <= {"F16"}  # noqa: SIM118


def test_it_has_a_name() -> None:
    assert resolve_checkpoint("embedded:upscaler") == upscaler_path()
    with pytest.raises(CheckpointError, match="no embedded checkpoint"):
        resolve_checkpoint("embedded:other")


def test_plain_diffusers_loads_it_in_single_precision_and_draws() -> None:
    from diffusers import StableDiffusionUpscalePipeline

    pipeline = StableDiffusionUpscalePipeline.from_pretrained(upscaler_path(), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.unet.dtype == pipeline.vae.dtype == pipeline.text_encoder.dtype == torch.float32
    low = Image.fromarray(np.full((16, 16, 3), 150, dtype=np.uint8))
    drawn = pipeline(
        "", image=low, num_inference_steps=2, guidance_scale=1.0, noise_level=0, output_type="np",
        generator=torch.Generator().manual_seed(1),
    ).images  # fmt: skip
    assert drawn.shape == (1, 64, 64, 3)


def test_what_it_draws_is_the_low_image_seen_closer() -> None:
    """Reduced again, the enlarged phantoms are the low ones; they are nearer to their own originals than to others'."""
    high = np.stack([item.image for item in make_cohort(dict.fromkeys(COMMON, 1), seed=4)])
    low = np.stack([degrade(image, 4, PLAIN, seed=0) for image in high])
    seeds = list(range(len(low)))
    drawn = upscale(load_upscaler(upscaler_path()), low, [""] * len(low), seeds, UpscaleSettings(4))
    again = np.stack([degrade(image, 4, PLAIN, seed=0) for image in drawn])
    assert psnr_db(again, low).mean() > 30
    assert psnr_db(drawn, high).mean() > psnr_db(drawn, np.roll(high, 1, axis=0)).mean() + 8


def test_a_damaged_copy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="lacks low_res_scheduler"):
        load_upscaler(tmp_path)
