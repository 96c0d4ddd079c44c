"""A tiny random inpainting checkpoint: 4 latent channels, a UNet of 9, as StableDiffusionInpaintPipeline wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny_models import make_tiny_stable_diffusion


def make_tiny_inpainting(folder: Path, *, in_channels: int = 9, seed: int = 0) -> Path:
    """Write a random checkpoint of 4 latent channels and return its folder; of 4 `in_channels` it is a plain one."""
    import torch
    from diffusers import StableDiffusionInpaintPipeline

    base = make_tiny_stable_diffusion(folder.with_name(f"{folder.name}-base"))
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(base, local_files_only=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = _changed(pipeline.vae, latent_channels=4)
        unet = _changed(pipeline.unet, in_channels=in_channels, out_channels=4)
    pipeline.register_modules(vae=vae, unet=unet)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _changed(model: Any, **changes: int) -> Any:
    config = {name: value for name, value in model.config.items() if not name.startswith("_")}
    return type(model)(**(config | changes))
