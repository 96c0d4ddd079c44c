"""Samplers: diffusers' schedulers by name, each on the checkpoint's own noise schedule."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from tenfold.core.errors import InputError
from tenfold.models.pipelines import Components

OWN_SAMPLER = "checkpoint"
_SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    # Stable Diffusion's own way: four steps of lower order first, instead of Runge-Kutta's extra ones.
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
}
SAMPLERS = tuple(_SAMPLERS)
_MOST_SIGNAL_OF_NOISE = 1e-4
"""Above this share of signal (alpha-bar) at the last timestep, a schedule does not end in pure noise."""


def make_scheduler(components: Components, sampler: str | None) -> Any:
    """A fresh scheduler: the checkpoint's own, or the named one with the checkpoint's noise schedule.

    Raises:
        InputError: the name is unknown, or that sampler cannot follow a schedule that ends in pure noise.
    """
    own = components.scheduler
    if sampler in (None, OWN_SAMPLER):
        return type(own).from_config(own.config)
    if sampler not in _SAMPLERS:
        raise InputError(
            f"unknown sampler {sampler!r}",
            expected=" or ".join(SAMPLERS),
            todo="Leave it out for the checkpoint's own.",
        )
    import diffusers

    name, options = _SAMPLERS[sampler]
    scheduler = getattr(diffusers, name).from_config(own.config, **options)
    if own.config.get("rescale_betas_zero_snr") and scheduler.alphas_cumprod[-1] > _MOST_SIGNAL_OF_NOISE:
        raise InputError(
            f"the sampler {sampler} cannot draw with this checkpoint, whose noise schedule ends in pure noise",
            expected=" or ".join(known for known in SAMPLERS if known != sampler),
            todo="Leave it out for the checkpoint's own.",
        )
    return scheduler


def step_options(scheduler: Any, generators: list[torch.Generator]) -> dict[str, Any]:
    """What diffusers' pipeline hands to the scheduler's step, where that takes it.

    Samplers that add noise at each step draw it from each image's own generator, whatever its companions are.
    """
    accepted = inspect.signature(scheduler.step).parameters
    options = {"eta": 0.0, "generator": generators}
    return {name: value for name, value in options.items() if name in accepted}
