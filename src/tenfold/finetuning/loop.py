"""The training loop: draw a loss, step the optimizer, keep the average, save; every generator is trained by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import torch

from tenfold.core.errors import StageError
from tenfold.core.files import write_text_atomic
from tenfold.core.progress import TaskProgress
from tenfold.finetuning.checkpointing import TrainingState, newest_checkpoint, save_checkpoint


class Objective(Protocol):
    """What is trained, and the loss of one step."""

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The trained modules by name; parameters with ``requires_grad`` off stay as they are."""
        ...

    def loss(self, step: int) -> torch.Tensor:
        """Scalar loss of a batch drawn for this step alone, keyed by ``step``: a resumed run draws the same."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """Optimizer, schedule and saving. ``module_learning_rates`` replaces ``learning_rate`` for the modules it names."""

    max_train_steps: int
    learning_rate: float
    lr_scheduler: Literal["constant", "cosine"] = "constant"
    lr_warmup_steps: int = 0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    ema_decay: float = 0.0
    checkpointing_steps: int = 500
    module_learning_rates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LossTrace:
    """One loss per step, from the first step on, also for steps made before an interruption."""

    losses: tuple[float, ...]
    resumed_at_step: int

    def mean_of_last(self, count: int) -> float:
        """Mean loss of the last ``count`` steps (NaN when there are none)."""
        tail = self.losses[-count:]
        return sum(tail) / len(tail) if tail else math.nan


def train(
    objective: Objective,
    settings: LoopSettings,
    folder: Path,
    progress: TaskProgress,
    *,
    writes_checkpoints: bool = True,
) -> LossTrace:
    """Train the objective's modules in place, resuming from ``folder/checkpoints`` when an interrupted run left one.

    Afterwards the modules hold the moving average when ``ema_decay`` is above zero, else the last weights. On one
    device with one thread count a resumed run equals an uninterrupted one bit for bit. ``writes_checkpoints`` is
    off for all but the first of several processes that train the same weights together.

    Raises:
        StageError: the loss is not a finite number; the last checkpoint before it is kept.
    """
    modules = objective.modules()
    parameters = _trained_parameters(modules)
    optimizer = _make_optimizer(modules, settings)
    average = {name: parameter.detach().clone() for name, parameter in parameters.items()} if settings.ema_decay else {}
    losses: list[float] = []
    state = newest_checkpoint(folder / "checkpoints")
    if state is not None and state.step <= settings.max_train_steps:
        _restore(state, modules, parameters, optimizer, average)
        losses = list(state.losses)
        progress.advance(state.step)
    first_step = len(losses)

    for module in modules.values():
        module.train()
    for step in range(first_step, settings.max_train_steps):
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * learning_rate_factor(step, settings)
        loss = objective.loss(step)
        losses.append(_finite(loss, step, folder))
        loss.backward()
        if settings.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        _update_average(average, parameters, settings.ema_decay, step)
        is_due = (step + 1) % settings.checkpointing_steps == 0 or step + 1 == settings.max_train_steps
        if writes_checkpoints and is_due:
            tensors = _state_tensors(modules, parameters, optimizer, average)
            save_checkpoint(folder / "checkpoints", TrainingState(step + 1, tensors, losses))
            write_losses(folder / "losses.csv", losses)
        progress.advance()

    with torch.no_grad():
        for name, tensor in average.items():
            parameters[name].copy_(tensor)
    for module in modules.values():
        module.eval()
    return LossTrace(tuple(losses), first_step)


def learning_rate_factor(step: int, settings: LoopSettings) -> float:
    """Share of the peak learning rate at ``step`` (from 0): linear warm-up, then constant or half a cosine to zero."""
    if step < settings.lr_warmup_steps:
        return (step + 1) / settings.lr_warmup_steps
    if settings.lr_scheduler == "constant":
        return 1.0
    share = (step - settings.lr_warmup_steps) / max(1, settings.max_train_steps - settings.lr_warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def write_losses(path: Path, losses: list[float] | tuple[float, ...]) -> None:
    """Write ``step,loss`` rows, steps counted from 1."""
    rows = [f"{step},{loss:.6g}" for step, loss in enumerate(losses, start=1)]
    write_text_atomic(path, "\n".join(["step,loss", *rows]) + "\n")


def averaged_weights(folder: Path) -> tuple[int, dict[str, torch.Tensor]]:
    """Step and ``module.parameter`` tensors of the newest checkpoint of a training; the average when it is kept.

    For a look at a training that still runs. Raises StageError when no checkpoint has been written yet.
    """
    state = newest_checkpoint(folder / "checkpoints")
    if state is None:
        raise StageError("no checkpoint has been written yet", where=str(folder), todo="wait for the first one")
    weights = {name.removeprefix("weights."): t for name, t in state.tensors.items() if name.startswith("weights.")}
    for name, tensor in state.tensors.items():
        if name.startswith("average."):
            weights[name.removeprefix("average.")] = tensor
    return state.step, weights


def _trained_parameters(modules: Mapping[str, torch.nn.Module]) -> dict[str, torch.nn.Parameter]:
    return {
        f"{module_name}.{name}": parameter
        for module_name, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def _make_optimizer(modules: Mapping[str, torch.nn.Module], settings: LoopSettings) -> torch.optim.AdamW:
    unknown = set(settings.module_learning_rates) - set(modules)
    if unknown:
        raise StageError(
            f"learning rate given for modules that are not trained: {sorted(unknown)}",
            expected=f"some of {sorted(modules)}",
        )
    groups = []
    for name, module in modules.items():
        rate = settings.module_learning_rates.get(name, settings.learning_rate)
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups.append({"params": trained, "lr": rate, "peak_lr": rate})
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        weight_decay=settings.adam_weight_decay,
        fused=True,
    )


def _finite(loss: torch.Tensor, step: int, folder: Path) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise StageError(
            f"the loss became {value} at step {step + 1}",
            where=str(folder),
            expected="a finite loss",
            todo="lower the learning rate or check the images; the last checkpoint before this step is kept",
        )
    return value


@torch.no_grad()
def _update_average(
    average: dict[str, torch.Tensor], parameters: Mapping[str, torch.nn.Parameter], decay: float, step: int
) -> None:
    """a <- a + (1 - d)(p - a), with d = min(decay, (1 + step) / (10 + step)) so that the start is forgotten."""
    if not average:
        return
    weight = 1 - min(decay, (1 + step) / (10 + step))
    current = [parameters[name].detach() for name in average]
    torch._foreach_lerp_(list(average.values()), current, weight)


def _state_tensors(
    modules: Mapping[str, torch.nn.Module],
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.AdamW,
    average: Mapping[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {f"weights.{name}": parameter for name, parameter in parameters.items()}
    for module_name, module in modules.items():
        tensors.update({f"buffers.{module_name}.{name}": buffer for name, buffer in module.named_buffers()})
    for name, parameter in parameters.items():
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value
    tensors.update({f"average.{name}": tensor for name, tensor in average.items()})
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@torch.no_grad()
def _restore(
    state: TrainingState,
    modules: Mapping[str, torch.nn.Module],
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.AdamW,
    average: dict[str, torch.Tensor],
) -> None:
    tensors = state.tensors
    for name, parameter in parameters.items():
        parameter.copy_(tensors[f"weights.{name}"])
        for key in ("step", "exp_avg", "exp_avg_sq"):
            if f"optimizer.{key}.{name}" in tensors:
                value = tensors[f"optimizer.{key}.{name}"]
                # The fused step walks weight and moments in memory order: they must share the weight's layout.
                moment = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
                optimizer.state[parameter][key] = moment.copy_(value).to(parameter.device)
    for module_name, module in modules.items():
        for name, buffer in module.named_buffers():
            buffer.copy_(tensors[f"buffers.{module_name}.{name}"])
    for name, tensor in average.items():
        tensor.copy_(tensors[f"average.{name}"])
