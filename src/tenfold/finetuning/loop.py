"""The training loop: draw a loss, step the optimizer, keep the average, save; every generator is trained by it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch

from tenfold.core.errors import StageError
from tenfold.core.progress import TaskProgress
from tenfold.finetuning.accelerating import average_between_processes, make_accelerator, start_trackers
from tenfold.finetuning.checkpointing import (
    CHECKPOINTS,
    WEIGHTS,
    TrainingState,
    newest_checkpoint,
    newest_step,
    refuse_other_run,
    save_checkpoint,
    save_weights,
)
from tenfold.finetuning.curves import write_losses
from tenfold.finetuning.optimizing import (
    OptimizerSettings,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
    set_learning_rates,
    trained_parameters,
)


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


class _Training:
    """One call of `train`: the modules with their optimizer, average and losses so far."""

    def __init__(
        self, objective: Objective, settings: LoopSettings, folder: Path, writes: bool, watchers: Sequence[Watcher]
    ) -> None:
        self.objective, self.settings, self.folder, self.watchers = objective, settings, folder, watchers
        self.modules = objective.modules()
        self.parameters = trained_parameters(self.modules)
        self.accelerator = make_accelerator(
            settings.mixed_precision, settings.trackers, folder, _device_of(self.parameters)
        )
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
        start_trackers(self.accelerator, settings.trackers, first_step)
        self._mode(training=True)
        self._watch(first_step)
        for step in range(first_step, settings.max_train_steps):
            try:
                self._step(step)
            except torch.OutOfMemoryError as error:
                self._save_resumable(step)
                raise _out_of_memory(step, self.folder) from error
            self._save(step + 1)
            self._watch(step + 1)
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
                raise _not_finite(f"the loss became {total} at", step + 1, self.folder)
            accelerator.backward(loss / settings.gradient_accumulation_steps)
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        if accelerator.num_processes > 1:
            average_between_processes(gradients, accelerator)
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

    def _watch(self, step: int) -> None:
        figures = {"loss": self.losses[-1]} if self.losses else {}
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

    def _save(self, finished: int) -> None:
        """Save what is due after so many steps; weights that are no numbers any more never take a good one's place."""
        settings = self.settings
        is_last = finished == settings.max_train_steps
        is_resumable = finished % settings.checkpointing_steps == 0 or is_last
        is_kept = bool(settings.weights_every_steps) and finished % (settings.weights_every_steps or 1) == 0
        if not (is_resumable or is_kept):
            return
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters.values()):
            raise _not_finite("the weights are no finite numbers after", finished, self.folder)
        if self.writes and is_resumable:
            self._save_resumable(finished)
        if self.writes and is_kept:
            with self._averaged():
                save_weights(self.folder / WEIGHTS, finished, self.parameters)

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


def _device_of(parameters: Mapping[str, torch.nn.Parameter]) -> torch.device:
    first = next(iter(parameters.values()), None)
    if first is None:
        raise StageError("nothing is trained: no parameter asks for a gradient")
    return first.device


def _not_finite(what: str, step: int, folder: Path) -> StageError:
    good = newest_step(folder / CHECKPOINTS)
    return StageError(
        f"{what} step {step}",
        where=str(folder),
        expected="a finite loss and finite weights",
        todo="Lower the learning rate, train without mixed precision, or check the images; delete the folder to begin "
        "again with other settings. "
        + ("No step was saved before." if good is None else f"The state after step {good} is kept."),
    )


def _out_of_memory(step: int, folder: Path) -> StageError:
    return StageError(
        f"the memory ran out at step {step + 1}",
        where=str(folder),
        expected=f"room for a training step; the {step} finished steps are saved",
        todo="train a smaller batch (train_batch_size, with gradient_accumulation_steps to make up for it), turn on "
        "gradient_checkpointing, train a LoRA, or use a device with more memory",
    )
