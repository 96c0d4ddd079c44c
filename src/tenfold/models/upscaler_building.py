"""An upscaler built on a text-to-image base: its autoencoder, text encoder and tokenizer, a UNet of its own."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.models.pipelines import Components, quiet_loading
from tenfold.models.upscaling import PIPELINE_SCALING_FACTOR, Upscaler

_INDEX = "model_index.json"
_CONFIGS = (_INDEX, "vae/config.json", "unet/config.json", "text_encoder/config.json")


def build_upscaler(
    base: Components, *, block_out_channels: Sequence[int], norm_num_groups: int, max_noise_level: int, seed: int
) -> Upscaler:
    """An upscaler whose UNet has fresh weights; everything else is the base's, the autoencoder with other units.

    The UNet hears the noise level as it hears the timestep: by waves and a small network, not by a table.
    """
    from diffusers import DDPMScheduler, UNet2DConditionModel

    own, depth = base.unet.config, len(block_out_channels)
    channels = int(base.vae.config.latent_channels)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch_generator(derive_seed(seed, "upscaler")).get_state())
        unet = UNet2DConditionModel(
            sample_size=own.sample_size,
            in_channels=channels + 3,
            out_channels=channels,
            down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (depth - 1),
            up_block_types=("CrossAttnUpBlock2D",) * (depth - 1) + ("UpBlock2D",),
            block_out_channels=tuple(block_out_channels),
            layers_per_block=1,
            cross_attention_dim=own.cross_attention_dim,
            attention_head_dim=4,
            norm_num_groups=norm_num_groups,
            class_embed_type="timestep",
        )
    return Upscaler(
        vae=with_pipeline_scale(base.vae),
        unet=unet.to(memory_format=torch.channels_last),
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
        scheduler=type(base.scheduler).from_config(base.scheduler.config),
        low_res_scheduler=DDPMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="scaled_linear"),
        max_noise_level=max_noise_level,
    )


@torch.no_grad()
def with_pipeline_scale(vae: Any) -> Any:
    """A copy that encodes and decodes the same images by latents in the units of PIPELINE_SCALING_FACTOR.

    Latents are multiplied by a constant in the 1 x 1 convolution after the encoder, divided in the one before the
    decoder; scaled by its scaling factor, a latent is what it was.
    """
    factor = float(vae.config.scaling_factor) / PIPELINE_SCALING_FACTOR
    made = copy.deepcopy(vae)
    channels = int(made.config.latent_channels)
    made.quant_conv.weight[:channels] *= factor
    made.quant_conv.bias[:channels] *= factor
    made.quant_conv.bias[channels:] += 2 * math.log(factor)
    made.post_quant_conv.weight /= factor
    made.register_to_config(scaling_factor=PIPELINE_SCALING_FACTOR)
    return made


def save_upscaler(upscaler: Upscaler, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write the upscaler so that plain ``StableDiffusionUpscalePipeline.from_pretrained`` loads it."""
    from diffusers import StableDiffusionUpscalePipeline

    with quiet_loading():
        StableDiffusionUpscalePipeline(
            vae=_stored(upscaler.vae, dtype),
            text_encoder=_stored(upscaler.text_encoder, dtype),
            tokenizer=upscaler.tokenizer,
            unet=_stored(upscaler.unet, dtype),
            low_res_scheduler=upscaler.low_res_scheduler,
            scheduler=upscaler.scheduler,
            safety_checker=None,
            feature_extractor=None,
            watermarker=None,
            max_noise_level=upscaler.max_noise_level,
        ).save_pretrained(folder, safe_serialization=True)
    for name in _CONFIGS:
        config = {key: value for key, value in read_json(folder / name).items() if key != "_name_or_path"}
        if "dtype" in config:
            config["dtype"] = "float32"
        write_json_atomic(folder / name, config)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)


def _stored(module: Any, dtype: torch.dtype) -> Any:
    """A copy in this dtype and in plain memory layout."""
    return copy.deepcopy(module).to(dtype).to(memory_format=torch.contiguous_format).eval()
