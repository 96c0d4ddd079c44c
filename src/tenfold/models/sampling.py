"""Sampling: images from prompts and seeds, equal to diffusers' own pipeline and without its per-image costs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.errors import InputError
from tenfold.core.seeds import torch_generator
from tenfold.models.pipelines import Components

_SAMPLERS = {
    "ddim": ("DDIMScheduler", {}),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "euler": ("EulerDiscreteScheduler", {}),
}
SAMPLERS = tuple(_SAMPLERS)


@dataclass(frozen=True)
class SamplingSettings:
    """How latents are drawn; names and meanings are those of diffusers' StableDiffusionPipeline."""

    num_inference_steps: int = 20
    guidance_scale: float = 3.0
    guidance_rescale: float = 0.0
    """0.7 keeps guided images of zero-terminal-SNR checkpoints from over-exposure (Lin et al. 2024, section 3.4)."""
    sampler: str | None = None
    """One of SAMPLERS; None is the checkpoint's own scheduler."""
    negative_prompt: str = ""
    image_size_px: int | None = None
    """None is the size the checkpoint was trained for."""


def encode_prompts(components: Components, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
    """Embed each unique prompt once, in one batch.

    Returns:
        (tokens, features) in the components' dtype for each prompt; longer prompts are cut at the tokenizer's limit.
    """
    unique = list(dict.fromkeys(prompts))
    embeddings = embed_token_ids(components, token_ids(components, unique))
    return dict(zip(unique, embeddings, strict=True))


def token_ids(components: Components, prompts: Sequence[str]) -> torch.Tensor:
    """(prompts, tokens) int64, padded and cut to the tokenizer's limit."""
    tokenizer = components.tokenizer
    encoded = tokenizer(
        list(prompts), padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    return torch.as_tensor(encoded.input_ids)


def embed_token_ids(components: Components, ids: torch.Tensor) -> torch.Tensor:
    """(B, tokens, features) text embeddings of (B, tokens) ids; gradients flow when the text encoder is trained."""
    ids = ids.to(components.device)
    uses_mask = getattr(components.text_encoder.config, "use_attention_mask", False)
    mask = (ids != components.tokenizer.pad_token_id).long() if uses_mask else None
    embeddings: torch.Tensor = components.text_encoder(ids, attention_mask=mask)[0]
    return embeddings


def cut_prompts(components: Components, prompts: Sequence[str]) -> list[str]:
    """The unique prompts that are too long for the tokenizer, so that their ends are not seen by the model."""
    limit = components.tokenizer.model_max_length
    unique = list(dict.fromkeys(prompts))
    ids = components.tokenizer(unique, padding=False, truncation=False, verbose=False).input_ids
    return [prompt for prompt, tokens in zip(unique, ids, strict=True) if len(tokens) > limit]


@torch.inference_mode()
def sample_latents(
    components: Components,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings,
    *,
    embeddings: Mapping[str, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Draw one image's latents for each prompt and seed, as one batch.

    Equal to ``StableDiffusionPipeline(prompts, generator=[one CPU generator per seed])`` for the same batch.

    Args:
        embeddings: what `encode_prompts` gave for all prompts and the negative prompt; None encodes them here.

    Returns:
        (B, channels, h, w) latents in the components' dtype, as `decode_latents` takes them.
    """
    if len(prompts) != len(seeds):
        raise InputError(f"{len(prompts)} prompts and {len(seeds)} seeds", expected="one seed for each prompt")
    if embeddings is None:
        embeddings = encode_prompts(components, [*prompts, settings.negative_prompt])
    is_guided = settings.guidance_scale > 1
    context = torch.stack([embeddings[prompt] for prompt in prompts])
    if is_guided:
        context = torch.cat([embeddings[settings.negative_prompt].expand_as(context), context])

    scheduler = make_scheduler(components, settings.sampler)
    scheduler.set_timesteps(settings.num_inference_steps, device=components.device)
    generators = [torch_generator(seed) for seed in seeds]
    latents: torch.Tensor = _initial_noise(components, generators, settings) * scheduler.init_noise_sigma
    step_options = _step_options(scheduler, generators)
    for timestep in scheduler.timesteps:
        doubled = torch.cat([latents, latents]) if is_guided else latents
        output = components.unet(
            scheduler.scale_model_input(doubled, timestep), timestep, encoder_hidden_states=context, return_dict=False
        )[0]
        if is_guided:
            output = _guided(output, settings)
        latents = scheduler.step(output, timestep, latents, **step_options, return_dict=False)[0]
    return latents


@torch.inference_mode()
def decode_latents(components: Components, latents: torch.Tensor) -> NDArray[np.uint8]:
    """(B, H, W, 3) sRGB pixels of (B, channels, h, w) latents, rounded as diffusers rounds them."""
    images = components.vae.decode(latents / components.vae.config.scaling_factor, return_dict=False)[0]
    images = (images / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu()
    pixels: NDArray[np.uint8] = (images * 255).round().to(torch.uint8).numpy()
    return pixels


@torch.no_grad()
def encode_images(components: Components, images: NDArray[np.uint8]) -> torch.Tensor:
    """(B, 2 x channels, h, w) unscaled moments (mean, then log variance) of (B, H, W, 3) pixels."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(components.device, components.dtype) / 127.5 - 1
    moments: torch.Tensor = components.vae.encode(pixels).latent_dist.parameters
    return moments


@torch.inference_mode()
def reconstruct(components: Components, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(B, H, W, 3) pixels through the autoencoder and back, by the mean of its latents: no noise is drawn."""
    means, _ = encode_images(components, images).chunk(2, dim=1)
    return decode_latents(components, means * components.vae.config.scaling_factor)


def make_scheduler(components: Components, sampler: str | None) -> Any:
    """A fresh scheduler: the checkpoint's own, or the named one with the checkpoint's noise schedule."""
    own = components.scheduler
    if sampler is None:
        return type(own).from_config(own.config)
    if sampler not in _SAMPLERS:
        raise InputError(
            f"unknown sampler {sampler!r}",
            expected=" or ".join(SAMPLERS),
            todo="Leave it out for the checkpoint's own.",
        )
    import diffusers

    name, options = _SAMPLERS[sampler]
    return getattr(diffusers, name).from_config(own.config, **options)


def _initial_noise(
    components: Components, generators: Sequence[torch.Generator], settings: SamplingSettings
) -> torch.Tensor:
    """(B, channels, h, w) standard normal, drawn on the CPU, each image from its own generator."""
    edge_px = settings.image_size_px or components.image_size_px
    if edge_px % components.vae_scale:
        raise InputError(f"images of {edge_px} px cannot be drawn", expected=f"a multiple of {components.vae_scale} px")
    edge = edge_px // components.vae_scale
    shape = (1, components.unet.config.in_channels, edge, edge)
    noise = [torch.randn(shape, generator=generator, dtype=components.dtype) for generator in generators]
    return torch.cat(noise).to(components.device)


def _step_options(scheduler: Any, generators: list[torch.Generator]) -> dict[str, Any]:
    """What diffusers' pipeline hands to the scheduler's step, where that takes it."""
    accepted = inspect.signature(scheduler.step).parameters
    options = {"eta": 0.0, "generator": generators}
    return {name: value for name, value in options.items() if name in accepted}


def _guided(output: torch.Tensor, settings: SamplingSettings) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans 2022), then the rescaling to the conditional output's spread."""
    unconditional, conditional = output.chunk(2)
    guided = unconditional + settings.guidance_scale * (conditional - unconditional)
    if settings.guidance_rescale > 0:
        dims = tuple(range(1, guided.ndim))
        rescaled = guided * (conditional.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True))
        guided = settings.guidance_rescale * rescaled + (1 - settings.guidance_rescale) * guided
    return guided
