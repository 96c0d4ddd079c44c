"""Validation loss: the denoising loss of held-out images at fixed noise, comparable between steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tenfold.core.errors import DataError, StageError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.seeds import derive_seed, torch_generator

VALIDATION = "validation.json"
"""Where a training keeps its trace while it goes on."""
LEVELS_PER_IMAGE = 4

Denoiser = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Sequence[str]], torch.Tensor]
"""(latents, noise, timesteps, prompts) -> (B,) losses."""


@dataclass(frozen=True)
class ValidationBatch:
    """Everything of the validation that never changes: B = images x LEVELS_PER_IMAGE."""

    latents: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    prompts: tuple[str, ...]

    @torch.no_grad()
    def loss(self, denoiser: Denoiser, *, batch_size: int) -> float:
        """Mean loss over images and noise levels."""
        losses = []
        for start in range(0, len(self.prompts), batch_size):
            part = slice(start, start + batch_size)
            losses.append(denoiser(self.latents[part], self.noise[part], self.timesteps[part], self.prompts[part]))
        return float(torch.cat(losses).mean())


def make_validation_batch(
    means: torch.Tensor, image_ids: Sequence[str], prompts: Sequence[str], *, timestep_count: int, seed: int
) -> ValidationBatch:
    """Fix noise and noise levels, keyed by image id.

    Args:
        means: (N, channels, h, w) scaled means of the images' latents.
        timestep_count: noise levels of the scheduler; each image gets one from each of LEVELS_PER_IMAGE equal ranges.
    """
    noise, timesteps = [], []
    for image_id in image_ids:
        generator = torch_generator(derive_seed(seed, "validation", image_id))
        noise.append(torch.randn((LEVELS_PER_IMAGE, *means.shape[1:]), generator=generator))
        places = torch.arange(LEVELS_PER_IMAGE) + torch.rand(LEVELS_PER_IMAGE, generator=generator)
        timesteps.append((places / LEVELS_PER_IMAGE * timestep_count).long())
    return ValidationBatch(
        latents=means.repeat_interleave(LEVELS_PER_IMAGE, dim=0),
        noise=torch.cat(noise).to(means),
        timesteps=torch.cat(timesteps).to(means.device),
        prompts=tuple(prompt for prompt in prompts for _ in range(LEVELS_PER_IMAGE)),
    )


class ValidationTrace:
    """Validation losses by finished steps, kept in a file so that a resumed run has those of before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.losses: dict[int, float] = {}
        if path.exists():
            try:
                self.losses = {int(step): float(loss) for step, loss in read_json(path).items()}
            except (DataError, AttributeError, TypeError, ValueError):
                path.unlink()

    def record(self, step: int, loss: float) -> None:
        """Keep the loss after `step` steps."""
        self.losses[step] = loss
        write_json_atomic(self._path, {str(key): value for key, value in self.losses.items()})


class ValidationWatcher:
    """Records what `loss` gives while training goes on."""

    def __init__(self, loss: Callable[[], float], trace: ValidationTrace, *, every_steps: int) -> None:
        self._loss, self._trace = loss, trace
        self.every_steps = every_steps

    def look(self, step: int) -> Mapping[str, float]:
        """The loss after `step` steps. StageError when it is not a finite number."""
        loss = self._loss()
        if not math.isfinite(loss):
            raise StageError(
                f"the validation loss became {loss} after step {step}",
                expected="a finite loss",
                todo="Lower the learning rate or check the images; the last saved state is kept.",
            )
        self._trace.record(step, loss)
        return {"validation_loss": loss}
