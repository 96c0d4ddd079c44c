"""Upscalers in StableDiffusionUpscalePipeline's format: loaded as components, sampled equal to diffusers' pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.errors import CheckpointError, InputError
from tenfold.core.files import read_json
from tenfold.core.seeds import torch_generator
from tenfold.models.pipelines import Components, load_model_part, load_small_part, place_models, quiet_loading
from tenfold.models.sampling import decode_latents, encode_prompts

LOW_RES_SCHEDULER = "low_res_scheduler"
PIPELINE_SCALING_FACTOR = 0.08333
"""The latents' scale that StableDiffusionUpscalePipeline sets whatever the autoencoder's own configuration says."""
_LOW_RES_CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class Upscaler(Components):
    """A UNet that denoises latents beside a low-resolution image of the same grid, and all that it needs."""

    low_res_scheduler: Any
    """diffusers DDPMScheduler: what a noise level means in the low-resolution image."""
    max_noise_level: int
    """The highest noise level that the UNet was trained for."""

    @property
    def scale(self) -> int:
        """How many times an edge grows; the low-resolution image has the size of the latents' grid."""
        return self.vae_scale


@dataclass(frozen=True)
class UpscaleSettings:
    """How images are enlarged; names and meanings are those of diffusers' StableDiffusionUpscalePipeline.

    One step gives close to the mean of all answers (highest PSNR, blurred), more steps one sharp answer of many.
    """

    num_inference_steps: int = 20
    guidance_scale: float = 1.0
    noise_level: int = 0
    negative_prompt: str = ""


def load_upscaler(path: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Upscaler:
    """Load an upscaler from a folder in diffusers format.

    The autoencoder's scaling factor becomes PIPELINE_SCALING_FACTOR, as in diffusers.

    Raises:
        CheckpointError: a part is missing or damaged, or the checkpoint is not an upscaler.
    """
    import diffusers
    import transformers

    if not (path / LOW_RES_SCHEDULER / "scheduler_config.json").is_file():
        raise not_an_upscaler(path, f"the checkpoint lacks {LOW_RES_SCHEDULER}")
    index = read_json(path / "model_index.json")
    with quiet_loading():
        vae = load_model_part(diffusers.AutoencoderKL, path, "vae", dtype)
        unet = load_model_part(diffusers.UNet2DConditionModel, path, "unet", dtype)
        text_encoder = load_model_part(transformers.CLIPTextModel, path, "text_encoder", dtype)
        tokenizer = load_small_part(transformers.CLIPTokenizer, path, "tokenizer")
        scheduler = load_small_part(getattr(diffusers, str(index["scheduler"][1])), path, "scheduler")
        low_res_scheduler = load_small_part(diffusers.DDPMScheduler, path, LOW_RES_SCHEDULER)
    found, wanted = unet.config.in_channels, vae.config.latent_channels + _LOW_RES_CHANNELS
    if found != wanted:
        raise not_an_upscaler(path, f"this UNet takes {found} channels, not {wanted}: latents and a low image")
    if unet.config.num_class_embeds is None and unet.config.class_embed_type is None:
        raise not_an_upscaler(path, "this UNet is not told the noise level: it has no class embedding")
    vae.register_to_config(scaling_factor=PIPELINE_SCALING_FACTOR)
    place_models([vae, unet, text_encoder], device)
    return Upscaler(
        vae=vae,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=scheduler,
        low_res_scheduler=low_res_scheduler,
        max_noise_level=int(index.get("max_noise_level", 350)),
    )


@torch.inference_mode()
def upscale(
    upscaler: Upscaler,
    images: NDArray[np.uint8],
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: UpscaleSettings,
    *,
    embeddings: Mapping[str, torch.Tensor] | None = None,
) -> NDArray[np.uint8]:
    """Enlarge (B, h, w, 3) sRGB images to (B, scale x h, scale x w, 3), as one batch.

    Equal to ``StableDiffusionUpscalePipeline(prompts, images, generator=[one CPU generator per seed])``.

    Args:
        embeddings: what `encode_prompts` gave for all prompts and the negative prompt; None encodes them here.

    Raises:
        InputError: numbers of images, prompts and seeds differ, or the noise level is beyond the upscaler's.
    """
    if not len(images) == len(prompts) == len(seeds):
        raise InputError(
            f"{len(images)} images, {len(prompts)} prompts and {len(seeds)} seeds", expected="as many of each"
        )
    if not 0 <= settings.noise_level <= upscaler.max_noise_level:
        raise InputError(
            f"a noise level of {settings.noise_level}", expected=f"0 to {upscaler.max_noise_level} for this upscaler"
        )
    if embeddings is None:
        embeddings = encode_prompts(upscaler, [*prompts, settings.negative_prompt])
    is_guided = settings.guidance_scale > 1
    context = torch.stack([embeddings[prompt] for prompt in prompts])
    if is_guided:
        context = torch.cat([embeddings[settings.negative_prompt].expand_as(context), context])
    generators = [torch_generator(seed) for seed in seeds]
    low = as_low_images(upscaler, images)
    levels = torch.full((len(images),), settings.noise_level, dtype=torch.long, device=upscaler.device)
    low = upscaler.low_res_scheduler.add_noise(low, _noise(generators, low), levels)
    if is_guided:
        low, levels = torch.cat([low, low]), torch.cat([levels, levels])
    scheduler = type(upscaler.scheduler).from_config(upscaler.scheduler.config)
    scheduler.set_timesteps(settings.num_inference_steps, device=upscaler.device)
    shape = (int(upscaler.vae.config.latent_channels), *low.shape[2:])
    latents: torch.Tensor = _noise(generators, low, shape) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        doubled = torch.cat([latents, latents]) if is_guided else latents
        seen = torch.cat([scheduler.scale_model_input(doubled, timestep), low], dim=1)
        output = upscaler.unet(seen, timestep, encoder_hidden_states=context, class_labels=levels, return_dict=False)[0]
        if is_guided:
            plain, told = output.chunk(2)
            output = plain + settings.guidance_scale * (told - plain)
        latents = scheduler.step(output, timestep, latents, return_dict=False)[0]
    return decode_latents(upscaler, latents)


def as_low_images(upscaler: Upscaler, images: NDArray[np.uint8]) -> torch.Tensor:
    """(B, 3, h, w) in [-1, 1], on the upscaler's device and in its dtype, of (B, h, w, 3) sRGB."""
    # Divided and shifted as diffusers does it, so that the last bits agree.
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255.0
    return (2.0 * pixels - 1.0).to(upscaler.device, upscaler.dtype)


def not_an_upscaler(path: Path, what: str) -> CheckpointError:
    """The error for a checkpoint of another kind."""
    return CheckpointError(
        what,
        where=str(path),
        expected="an upscaler in StableDiffusionUpscalePipeline's format: low_res_scheduler/, and a UNet that takes "
        "the latents' channels and three more and is told a noise level",
        todo="Use `embedded:upscaler`, or the x4 upscaler of Stable Diffusion as a local folder.",
    )


def _noise(
    generators: Sequence[torch.Generator], like: torch.Tensor, shape: Sequence[int] | None = None
) -> torch.Tensor:
    """(B, ...) standard normal, drawn on the CPU, each image from its own generator."""
    wanted = (1, *(like.shape[1:] if shape is None else shape))
    drawn = [torch.randn(wanted, generator=generator, dtype=like.dtype) for generator in generators]
    return torch.cat(drawn).to(like.device)
