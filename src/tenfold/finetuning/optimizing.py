"""The optimizer of a training: AdamW with a rate for each module, its schedule, and its state by parameter name."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from tenfold.core.errors import InputError, StageError

STATE_PREFIX = "optimizer."
NUMBER_PREFIX = "optimizer_number."
"""Of plain numbers, kept as 0-d tensors: bitsandbytes counts its steps in an int."""


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW and its schedule. ``module_learning_rates`` replaces ``learning_rate`` for the modules it names;
    ``module_max_steps`` ends a module's training before the others' (its weights stay as they are from there on)."""

    max_train_steps: int
    learning_rate: float
    lr_scheduler: Literal["constant", "cosine"] = "constant"
    lr_warmup_steps: int = 0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    use_8bit_adam: bool = False
    module_learning_rates: Mapping[str, float] = field(default_factory=dict)
    module_max_steps: Mapping[str, int] = field(default_factory=dict)


def learning_rate_factor(step: int, settings: OptimizerSettings, max_steps: int | None = None) -> float:
    """Share of the peak rate at ``step`` (from 0): linear warm-up, then constant or half a cosine to zero at
    ``max_steps`` (``settings.max_train_steps`` when not given)."""
    if step < settings.lr_warmup_steps:
        return (step + 1) / settings.lr_warmup_steps
    if settings.lr_scheduler == "constant":
        return 1.0
    last = settings.max_train_steps if max_steps is None else max_steps
    share = (step - settings.lr_warmup_steps) / max(1, last - settings.lr_warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def trained_parameters(modules: Mapping[str, torch.nn.Module]) -> dict[str, torch.nn.Parameter]:
    """``module.parameter`` -> parameter, of those with ``requires_grad``."""
    return {
        f"{module_name}.{name}": parameter
        for module_name, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def make_optimizer(modules: Mapping[str, torch.nn.Module], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """AdamW over the trained parameters, a group named for each module.

    Raises:
        StageError: a rate or an end is given for a module that is not trained.
        InputError: ``use_8bit_adam`` without bitsandbytes or without a CUDA device.
    """
    for what in (settings.module_learning_rates, settings.module_max_steps):
        unknown = set(what) - set(modules)
        if unknown:
            raise StageError(
                f"settings for modules that are not trained: {sorted(unknown)}", expected=f"some of {sorted(modules)}"
            )
    groups = []
    for name, module in modules.items():
        rate = settings.module_learning_rates.get(name, settings.learning_rate)
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups.append({"params": trained, "lr": rate, "peak_lr": rate, "module": name})
    betas = (settings.adam_beta1, settings.adam_beta2)
    if settings.use_8bit_adam:
        made: torch.optim.Optimizer = _adam_8bit()(
            groups,
            lr=settings.learning_rate,
            betas=betas,
            eps=settings.adam_epsilon,
            weight_decay=settings.adam_weight_decay,
        )
        return made
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        betas=betas,
        eps=settings.adam_epsilon,
        weight_decay=settings.adam_weight_decay,
        fused=True,
    )


def set_learning_rates(optimizer: torch.optim.Optimizer, step: int, settings: OptimizerSettings) -> set[str]:
    """Set every group's rate for ``step`` (from 0); the names of the modules whose training has ended by then."""
    ended = set()
    for group in optimizer.param_groups:
        last = settings.module_max_steps.get(group["module"])
        if last is not None and step >= last:
            ended.add(group["module"])
            group["lr"] = 0.0
        else:
            group["lr"] = group["peak_lr"] * learning_rate_factor(step, settings, last)
    return ended


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter]
) -> dict[str, torch.Tensor]:
    """The optimizer's tensors as ``optimizer.<kind>.<parameter>``, its numbers as ``optimizer_number.<...>``."""
    tensors = {}
    for name, parameter in parameters.items():
        for kind, value in optimizer.state[parameter].items():
            if isinstance(value, torch.Tensor):
                tensors[f"{STATE_PREFIX}{kind}.{name}"] = value
            elif isinstance(value, int | float):
                dtype = torch.float64 if isinstance(value, float) else None
                tensors[f"{NUMBER_PREFIX}{kind}.{name}"] = torch.tensor(value, dtype=dtype)
    return tensors


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, torch.nn.Parameter],
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Put back what `optimizer_tensors` gave."""
    for key, value in tensors.items():
        if not key.startswith((STATE_PREFIX, NUMBER_PREFIX)):
            continue
        prefix, kind, name = key.split(".", 2)
        parameter = parameters[name]
        if f"{prefix}." == NUMBER_PREFIX:
            optimizer.state[parameter][kind] = value.item()
            continue
        # The fused step walks weight and moments in memory order: they must share the weight's layout.
        is_moment = value.shape == parameter.shape
        target = torch.empty_like(parameter if is_moment else value, dtype=value.dtype)
        optimizer.state[parameter][kind] = target.copy_(value).to(parameter.device)


def _adam_8bit() -> Any:
    if not torch.cuda.is_available():
        raise InputError("8-bit Adam needs a CUDA device", todo="Leave out use_8bit_adam, or train on a GPU.")
    try:
        return importlib.import_module("bitsandbytes").optim.AdamW8bit
    except ImportError as error:
        raise InputError(
            "8-bit Adam needs the package bitsandbytes, which is not installed",
            todo="Install it with `pip install bitsandbytes`, or leave out use_8bit_adam.",
        ) from error
