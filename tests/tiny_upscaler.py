"""A tiny random upscaler in StableDiffusionUpscalePipeline's format: 8 to 32 px, 0.1 M parameters."""

from __future__ import annotations

from pathlib import Path

from tests.tiny_models import make_tiny_stable_diffusion


def make_tiny_upscaler(folder: Path, *, noise_level_table: bool = False) -> Path:
    """Write a random upscaler and return its folder.

    noise_level_table: the UNet looks noise levels up in a table, as Stable Diffusion's x4 upscaler does, and is small
    in all else.
    """
    import torch
    from diffusers import UNet2DConditionModel

    from tenfold.models.pipelines import load_components
    from tenfold.models.upscaler_building import build_upscaler, save_upscaler

    base = make_tiny_stable_diffusion(folder.with_name(f"{folder.name}-base"))
    upscaler = build_upscaler(
        load_components(base), block_out_channels=(16, 32), norm_num_groups=8, max_noise_level=60, seed=1
    )
    if noise_level_table:
        config = {name: value for name, value in upscaler.unet.config.items() if not name.startswith("_")}
        table = {"class_embed_type": None, "num_class_embeds": 1000}
        with torch.random.fork_rng():
            torch.manual_seed(3)
            object.__setattr__(upscaler, "unet", UNet2DConditionModel(**config | table))
    save_upscaler(upscaler, folder, torch.float32)
    return folder
