"""Denoising: the one loop in which latents that started from noise, or from an image, become a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from tenfold.core.errors import InputError
from tenfold.core.seeds import torch_generator
from tenfold.models.conditioning import PromptEmbeddings
from tenfold.models.guidance import GuidedUnet, SamplingSettings
from tenfold.models.pipelines import Components
from tenfold.models.samplers import make_scheduler, step_options


@dataclass(frozen=True)
class Course:
    """The way from noise to a picture, from the noise level that a strength starts at."""

    scheduler: Any
    """diffusers', set to its first step."""
    timesteps: torch.Tensor
    """(steps,) that are run."""
    generators: Sequence[torch.Generator]
    """One CPU generator for each image."""
    settings: SamplingSettings


def begin(components: Components, seeds: Sequence[int], settings: SamplingSettings, strength: float) -> Course:
    """Steps and generators of one batch; at a strength of 0.7 the last 70 % of the steps are run, rounded down.

    Raises:
        InputError: the strength is not within 0 to 1, or leaves no step.
    """
    steps = steps_run(settings.num_inference_steps, strength)
    scheduler = make_scheduler(components, settings.sampler)
    scheduler.set_timesteps(settings.num_inference_steps, device=components.device)
    skipped = (settings.num_inference_steps - steps) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(skipped)
    generators = [torch_generator(seed) for seed in seeds]
    return Course(scheduler, scheduler.timesteps[skipped:], generators, settings)


def steps_run(num_inference_steps: int, strength: float) -> int:
    """Steps that are run at this strength, as diffusers counts them. InputError where none would be."""
    if not 0 <= strength <= 1:
        raise InputError(f"a strength of {strength:g}", expected="above 0, at most 1")
    steps = int(num_inference_steps * strength)
    if not steps:
        raise InputError(
            f"a strength of {strength:g} leaves none of {num_inference_steps} steps",
            expected=f"at least {1 / num_inference_steps:g}",
            todo="Raise the strength or the number of steps; the strategy autoencoder draws without any noise.",
        )
    return steps


def denoise(
    components: Components,
    latents: torch.Tensor,
    course: Course,
    prompts: Sequence[str],
    *,
    embeddings: PromptEmbeddings | None = None,
    see: Callable[[torch.Tensor], torch.Tensor] | None = None,
    mend: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
) -> torch.Tensor:
    """(B, C, h, w) latents as `decode_latents` takes them, from latents at the noise level of the first step.

    Args:
        embeddings: what `encode_prompts` gave for all prompts and the negative prompt; None encodes them here.
        see: what the UNet is shown of the scaled latents; None shows them as they are.
        mend: latents after the step of this number, with what is known put back; None leaves them.
    """
    scheduler = course.scheduler
    size_px = latents.shape[-1] * components.vae_scale
    unet = GuidedUnet(components, prompts, replace(course.settings, image_size_px=size_px), embeddings)
    options = step_options(scheduler, list(course.generators))
    for number, timestep in enumerate(course.timesteps):
        seen = scheduler.scale_model_input(latents, timestep)
        seen = seen if see is None else see(seen)
        output = unet(seen, timestep, number, len(course.timesteps))
        latents = scheduler.step(output, timestep, latents, **options, return_dict=False)[0]
        latents = latents if mend is None else mend(latents, number)
    return latents


def noised(course: Course, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Latents at the noise level of the course's first step."""
    made: torch.Tensor = course.scheduler.add_noise(latents, noise, course.timesteps[:1].repeat(len(latents)))
    return made


def draw_noise(course: Course, shape: Sequence[int], like: Components) -> torch.Tensor:
    """(B, *shape) standard normal, drawn on the CPU, each image from its own generator."""
    drawn = [torch.randn((1, *shape), generator=generator, dtype=like.dtype) for generator in course.generators]
    return torch.cat(drawn).to(like.device)


def drawn_latents(components: Components, moments: torch.Tensor, course: Course) -> torch.Tensor:
    """(B, C, h, w) scaled latents drawn from (B, 2 x C, h, w) moments, each image by its own generator.

    So do diffusers' pipelines that start from pixels.
    """
    mean, log_variance = moments.chunk(2, dim=1)
    drawn = [torch.randn((1, *mean.shape[1:]), generator=one, dtype=mean.dtype) for one in course.generators]
    sample = mean + (0.5 * log_variance.clamp(-30, 20)).exp() * torch.cat(drawn).to(mean.device)
    return (float(components.vae.config.scaling_factor) * sample).to(components.dtype)
