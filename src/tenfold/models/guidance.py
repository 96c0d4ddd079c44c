"""Guidance: the UNet asked with and without the prompt, at every step or in an interval of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tenfold.models.conditioning import PromptEmbeddings, encode_prompts, unet_conditioning
from tenfold.models.pipelines import Components


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
    guidance_interval: tuple[float, float] | None = None
    """Guided while the share of steps done lies in [first, second) (Kynkaanniemi et al. 2024); None guides all."""

    def is_guided(self, step: int, steps: int) -> bool:
        """Whether step number `step` of `steps`, counted from 0, asks the UNet twice."""
        if self.guidance_scale <= 1:
            return False
        first, second = self.guidance_interval or (0.0, 1.0)
        return first <= step / steps < second


class GuidedUnet:
    """The UNet's output for noisy latents, told what the prompts say and guided where the settings ask for it.

    Args:
        embeddings: what `encode_prompts` gave for all prompts and the negative prompt; None encodes them here.
    """

    def __init__(
        self,
        components: Components,
        prompts: Sequence[str],
        settings: SamplingSettings,
        embeddings: PromptEmbeddings | None = None,
    ) -> None:
        if embeddings is None:
            embeddings = encode_prompts(components, [*prompts, settings.negative_prompt])
        self._unet = components.unet
        self._settings = settings
        size_px = settings.image_size_px
        self._conditional = unet_conditioning(components, prompts, embeddings, image_size_px=size_px)
        if settings.guidance_scale > 1:
            told = [settings.negative_prompt] * len(prompts) + list(prompts)
            self._doubled = unet_conditioning(components, told, embeddings, image_size_px=size_px)

    def __call__(self, seen: torch.Tensor, timestep: Any, step: int, steps: int) -> torch.Tensor:
        """(B, C, h, w) prediction for (B, channels, h, w) scaled input at step number `step` of `steps`."""
        if not self._settings.is_guided(step, steps):
            output: torch.Tensor = self._unet(seen, timestep, **self._conditional, return_dict=False)[0]
            return output
        doubled = torch.cat([seen, seen])
        return guided(self._unet(doubled, timestep, **self._doubled, return_dict=False)[0], self._settings)


def guided(output: torch.Tensor, settings: SamplingSettings) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans 2022), then the rescaling to the conditional output's spread."""
    unconditional, conditional = output.chunk(2)
    mixed = unconditional + settings.guidance_scale * (conditional - unconditional)
    if settings.guidance_rescale > 0:
        dims = tuple(range(1, mixed.ndim))
        rescaled = mixed * (conditional.std(dim=dims, keepdim=True) / mixed.std(dim=dims, keepdim=True))
        mixed = settings.guidance_rescale * rescaled + (1 - settings.guidance_rescale) * mixed
    return mixed
