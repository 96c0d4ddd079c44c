"""The training loop: draw a loss, step the optimizer, keep the average, save; every generator is trained by it.

This file is long because it is read as one story: what a step does, when it is looked at, and what is saved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from tenfold.core.errors import InputError, StageError
from tenfold.core.files import write_text_atomic
from tenfold.core.progress import TaskProgress
from tenfold.finetuning.checkpointing import (
    TrainingState,
    newest_checkpoint,
    refuse_other_run,
    save_checkpoint,
    save_weights,
)
from tenfold.finetuning.optimizing import (
    OptimizerSettings,
    learning_rate_factor,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
    set_learning_rates,
    trained_parameters,
)

__all__ = [
    "ClipsGradients",
    "LoopSettings",
    "LossTrace",
    "Objective",
    "Watcher",
    "averaged_weights",
    "learning_rate_factor",
    "train",
    "write_losses",
]

CHECKPOINTS = "checkpoints"
WEIGHTS = "weights"
_MESSAGE_ELEMENTS = 25_000_000


class Objective(Protocol):
    """What is trained, and the loss of one batch."""

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """The trained modules by name; parameters with ``requires_grad`` off stay as they are."""
        ...

    def loss(self, step: int) -> torch.Tensor:
        """Scalar loss of a batch drawn for this number alone: a resumed run draws the same.

        With accumulation or several processes a step has several batches, numbered on: batches 4 to 7 are those of step
        1 of four processes, or of one process that accumulates four.
        """
        ...


@runtime_checkable
class ClipsGradients(Protocol):
    """An objective that clips gradients itself, because its parameters belong to several trainings at once."""

    def clip_gradients(self, max_norm: float) -> None:
        """Scale the gradients of each training down to this norm where they exceed it."""
        ...


class Watcher(Protocol):
    """Looks at the modules while they are trained; they hold the moving average then, where one is kept."""

    @property
    def every_steps(self) -> int:
        """Finished steps between two looks; there is one before the first step and one after the last, too."""
        ...

    def look(self, step: int) -> Mapping[str, float]:
        """Look after ``step`` finished steps; figures for the trackers."""
        ...


@dataclass(frozen=True)
class LoopSettings(OptimizerSettings):
    """Optimizer, precision and saving.

    ``weights_every_steps`` keeps the weights of every so many steps in ``weights/``, to choose among afterwards;
    ``identity`` is what a run must share with the checkpoint it resumes from; ``trackers`` are accelerate's.
    """

    max_grad_norm: float = 1.0
    ema_decay: float = 0.0
    checkpointing_steps: int = 500
    weights_every_steps: int | None = None
    gradient_accumulation_steps: int = 1
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    trackers: tuple[str, ...] = ()
    identity: Mapping[str, Any] = field(default_factory=dict)


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
    watchers: Sequence[Watcher] = (),
) -> LossTrace:
    """Train the objective's modules in place, resuming from ``folder/checkpoints`` when an interrupted run left one.

    Afterwards the modules hold the moving average when ``ema_decay`` is above zero, else the last weights. On one
    device with one thread count a resumed run equals an uninterrupted one bit for bit. Started by ``accelerate launch``
    in several processes, gradients are averaged between them and the first one writes. ``writes_checkpoints`` is off
    for all but the first of several processes that an objective joins by itself.

    Raises:
        InputError: the checkpoint is of a run with another identity; the differences are named.
        StageError: the loss is not a finite number, or the memory ran out; the last finished step is kept.
    """
    return _Training(objective, settings, folder, writes_checkpoints, watchers).run(progress)


def write_losses(path: Path, losses: Sequence[float]) -> None:
    """Write ``step,loss`` rows, steps counted from 1."""
    rows = [f"{step},{loss:.6g}" for step, loss in enumerate(losses, start=1)]
    write_text_atomic(path, "\n".join(["step,loss", *rows]) + "\n")


def averaged_weights(folder: Path) -> tuple[int, dict[str, torch.Tensor]]:
    """Step and ``module.parameter`` tensors of the newest checkpoint of a training; the average when it is kept.

    For a look at a training that still runs. Raises StageError when no checkpoint has been written yet.
    """
    state = newest_checkpoint(folder / CHECKPOINTS)
    if state is None:
        raise StageError("no checkpoint has been written yet", where=str(folder), todo="wait for the first one")
    weights = {name.removeprefix("weights."): t for name, t in state.tensors.items() if name.startswith("weights.")}
    for name, tensor in state.tensors.items():
        if name.startswith("average."):
            weights[name.removeprefix("average.")] = tensor
    return state.step, weights


class _Training:
    """One call of `train`: the modules with their optimizer, average and losses so far."""

    def __init__(
        self, objective: Objective, settings: LoopSettings, folder: Path, writes: bool, watchers: Sequence[Watcher]
    ) -> None:
        self.objective, self.settings, self.folder, self.watchers = objective, settings, folder, watchers
        self.modules = objective.modules()
        self.parameters = trained_parameters(self.modules)
        self.accelerator = _make_accelerator(settings, folder, _device_of(self.parameters))
        self.writes = writes and self.accelerator.is_main_process
        self.optimizer = make_optimizer(self.modules, settings)
        self.average = (
            {name: p.detach().float().clone() for name, p in self.parameters.items()} if settings.ema_decay else {}
        )
        self.losses: list[float] = []

    def run(self, progress: TaskProgress) -> LossTrace:
        settings = self.settings
        self._resume(progress)
        first_step = len(self.losses)
        self._mode(training=True)
        self._watch(first_step, is_start=True)
        for step in range(first_step, settings.max_train_steps):
            try:
                self._step(step)
            except torch.OutOfMemoryError as error:
                self._save_resumable(step)
                raise _out_of_memory(step, self.folder) from error
            finished = step + 1
            is_last = finished == settings.max_train_steps
            if self.writes and (finished % settings.checkpointing_steps == 0 or is_last):
                self._save_resumable(finished)
            if self.writes and settings.weights_every_steps and finished % settings.weights_every_steps == 0:
                with self._averaged():
                    save_weights(self.folder / WEIGHTS, finished, self.parameters)
            self._watch(finished)
            progress.advance()
        self._use_average()
        self._mode(training=False)
        for tracker in self.accelerator.trackers:
            tracker.finish()
        return LossTrace(tuple(self.losses), first_step)

    def _step(self, step: int) -> None:
        settings, accelerator = self.settings, self.accelerator
        for name in set_learning_rates(self.optimizer, step, settings):
            self.modules[name].requires_grad_(False)
        batches = settings.gradient_accumulation_steps * accelerator.num_processes
        own = range(accelerator.process_index, batches, accelerator.num_processes)
        total = 0.0
        for batch in own:
            with accelerator.autocast():
                loss = self.objective.loss(step * batches + batch)
            total += float(loss.detach())
            if not math.isfinite(total):
                raise _not_finite(total, step, self.folder)
            accelerator.backward(loss / settings.gradient_accumulation_steps)
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        if accelerator.num_processes > 1:
            _average_between_processes(gradients, accelerator)
            total = float(accelerator.reduce(torch.tensor(total, device=accelerator.device), reduction="mean"))
        self.losses.append(total / settings.gradient_accumulation_steps)
        if settings.max_grad_norm > 0:
            if accelerator.scaler is not None:
                accelerator.scaler.unscale_(self.optimizer)
            if isinstance(self.objective, ClipsGradients):
                self.objective.clip_gradients(settings.max_grad_norm)
            else:
                torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), settings.max_grad_norm)
        if accelerator.scaler is None:
            self.optimizer.step()
        else:
            accelerator.scaler.step(self.optimizer)
            accelerator.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self._update_average(step)

    def _watch(self, step: int, *, is_start: bool = False) -> None:
        figures = {} if is_start else {"loss": self.losses[-1]}
        due = [w for w in self.watchers if step % w.every_steps == 0 or step == self.settings.max_train_steps]
        if due:
            self._mode(training=False)
            with self._averaged(), torch.no_grad():
                for watcher in due:
                    figures |= watcher.look(step)
            self._mode(training=True)
        if self.settings.trackers and figures:
            self.accelerator.log(figures, step=step)

    def _mode(self, *, training: bool) -> None:
        for module in self.modules.values():
            module.train(training)

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        """a <- a + (1 - d)(p - a), with d = min(decay, (1 + step) / (10 + step)) so that the start is forgotten."""
        if not self.average:
            return
        weight = 1 - min(self.settings.ema_decay, (1 + step) / (10 + step))
        current = [self.parameters[name].detach().float() for name in self.average]
        torch._foreach_lerp_(list(self.average.values()), current, weight)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The modules hold the moving average for a while, when one is kept."""
        held = {name: self.parameters[name].detach().clone() for name in self.average}
        self._use_average()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in held.items():
                    self.parameters[name].copy_(tensor)

    @torch.no_grad()
    def _use_average(self) -> None:
        for name, tensor in self.average.items():
            self.parameters[name].copy_(tensor)

    def _save_resumable(self, finished: int) -> None:
        if not self.writes or len(self.losses) < finished:
            return
        tensors: dict[str, torch.Tensor] = {f"weights.{name}": p for name, p in self.parameters.items()}
        for module_name, module in self.modules.items():
            tensors.update({f"buffers.{module_name}.{name}": buffer for name, buffer in module.named_buffers()})
        tensors |= optimizer_tensors(self.optimizer, self.parameters)
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        state = TrainingState(finished, tensors, self.losses, self.settings.identity)
        save_checkpoint(self.folder / CHECKPOINTS, state)
        write_losses(self.folder / "losses.csv", self.losses)

    @torch.no_grad()
    def _resume(self, progress: TaskProgress) -> None:
        state = newest_checkpoint(self.folder / CHECKPOINTS)
        if state is None or state.step > self.settings.max_train_steps:
            return
        refuse_other_run(state.identity, self.settings.identity, self.folder)
        for name, parameter in self.parameters.items():
            parameter.copy_(state.tensors[f"weights.{name}"])
        restore_optimizer(self.optimizer, self.parameters, state.tensors)
        for module_name, module in self.modules.items():
            for name, buffer in module.named_buffers():
                buffer.copy_(state.tensors[f"buffers.{module_name}.{name}"])
        for name, tensor in self.average.items():
            tensor.copy_(state.tensors[f"average.{name}"])
        self.losses = list(state.losses)
        progress.advance(state.step)


def _make_accelerator(settings: LoopSettings, folder: Path, device: torch.device) -> Accelerator:
    # Accelerate remembers its first use for good; one process may train in several groups and precisions in turn.
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(
            mixed_precision=settings.mixed_precision,
            cpu=device.type == "cpu",
            log_with=list(settings.trackers) or None,
            project_dir=str(folder / "trackers") if settings.trackers else None,
        )
        if settings.trackers:
            accelerator.init_trackers("tenfold")
    except (ValueError, ImportError) as error:
        raise InputError(
            f"the training cannot be set up: {error}",
            where=f"mixed_precision={settings.mixed_precision}, trackers={list(settings.trackers)}",
            todo="use mixed_precision=no on this device; install a tracker's package before naming it",
        ) from error
    return accelerator


def _average_between_processes(gradients: Sequence[torch.Tensor], accelerator: Accelerator) -> None:
    """Average gradients in place, many small ones in one message."""
    start = 0
    while start < len(gradients):
        end, size = start, 0
        while end < len(gradients) and (end == start or size + gradients[end].numel() <= _MESSAGE_ELEMENTS):
            size += gradients[end].numel()
            end += 1
        message = accelerator.reduce(torch.cat([g.reshape(-1) for g in gradients[start:end]]), reduction="mean")
        for gradient, part in zip(
            gradients[start:end], message.split([g.numel() for g in gradients[start:end]]), strict=True
        ):
            gradient.copy_(part.view(gradient.shape))
        start = end


def _device_of(parameters: Mapping[str, torch.nn.Parameter]) -> torch.device:
    first = next(iter(parameters.values()), None)
    if first is None:
        raise StageError("nothing is trained: no parameter asks for a gradient")
    return first.device


def _not_finite(value: float, step: int, folder: Path) -> StageError:
    return StageError(
        f"the loss became {value} at step {step + 1}",
        where=str(folder),
        expected="a finite loss",
        todo="lower the learning rate or check the images; the last checkpoint before this step is kept",
    )


def _out_of_memory(step: int, folder: Path) -> StageError:
    return StageError(
        f"the memory ran out at step {step + 1}",
        where=str(folder),
        expected=f"room for a training step; the {step} finished steps are saved",
        todo="train a smaller batch (train_batch_size, with gradient_accumulation_steps to make up for it), turn on "
        "gradient_checkpointing, train a LoRA, or use a device with more memory",
    )
