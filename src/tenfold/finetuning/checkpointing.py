"""Training checkpoints: one safetensors file per saved step, written atomically, found again after a kill.

A checkpoint holds the step count, every training tensor (weights, optimizer moments, moving average) and the loss
of every finished step, so an interrupted run goes on exactly where it was. A file that cannot be read is passed
over for the one before. Weights alone are kept beside them, to choose among after the training.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tenfold.core.errors import CheckpointError, InputError, StageError
from tenfold.core.files import write_atomic
from tenfold.core.hashing import canonical_json

CHECKPOINTS = "checkpoints"
WEIGHTS = "weights"
"""Folders of a training's states to resume from, and of its kept weights."""

_NAME = re.compile(r"step-(\d{8})\.safetensors")
_LOSSES = "trace.losses"
_ORDERS = "orders"
"""Metadata: tensor -> its dimensions in the order in which they were written, where that is not their own."""


@dataclass(frozen=True)
class TrainingState:
    """What a run needs to go on: ``step`` finished steps, named tensors, and one loss per finished step.

    ``identity`` is what the run was asked for; empty when it was not told.
    """

    step: int
    tensors: Mapping[str, torch.Tensor]
    losses: Sequence[float]
    identity: Mapping[str, Any] = field(default_factory=dict)


def save_checkpoint(folder: Path, state: TrainingState, *, keep: int = 2) -> Path:
    """Write ``folder/step-XXXXXXXX.safetensors`` and drop all but the newest ``keep`` checkpoints.

    Raises StorageError when the disk is full or read-only; the older checkpoints then still stand.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{state.step:08d}.safetensors"
    orders = {name: _memory_order(tensor) for name, tensor in state.tensors.items()}
    # Weights with their channels last are written as they lie: in plain order each would first be copied.
    tensors = {name: t.detach().permute(orders[name]).cpu().contiguous() for name, t in state.tensors.items()}
    tensors[_LOSSES] = torch.tensor(list(state.losses), dtype=torch.float64)
    with write_atomic(path) as temporary:
        metadata = {"step": str(state.step), "identity": canonical_json(dict(state.identity))}
        changed = {name: order for name, order in orders.items() if order != sorted(order)}
        save_file(tensors, temporary, metadata=metadata | {_ORDERS: canonical_json(changed)})
    for old in _checkpoint_paths(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path


def newest_checkpoint(folder: Path) -> TrainingState | None:
    """Read the newest checkpoint that is whole, or None when there is none."""
    for path in _checkpoint_paths(folder):
        try:
            return _read(path)
        except (SafetensorError, OSError, KeyError, ValueError):
            continue
    return None


def newest_step(folder: Path) -> int | None:
    """Finished steps of the newest checkpoint, by its name; None when there is none."""
    return next((_step_of(path) for path in _checkpoint_paths(folder)), None)


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


def newest_identity(folder: Path) -> Mapping[str, Any] | None:
    """What the run of the newest checkpoint was asked for, without reading its tensors; None when there is none."""
    for path in _checkpoint_paths(folder):
        try:
            with safe_open(path, framework="pt") as file:
                identity: Mapping[str, Any] = json.loads((file.metadata() or {}).get("identity", "{}"))
                return identity
        except (SafetensorError, OSError, ValueError):
            continue
    return None


def save_weights(folder: Path, step: int, parameters: Mapping[str, torch.Tensor]) -> Path:
    """Write ``folder/step-XXXXXXXX.safetensors`` with the weights alone, by ``module.parameter``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.safetensors"
    with write_atomic(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in parameters.items()}, temporary)
    return path


def saved_weights(folder: Path) -> dict[int, Path]:
    """Step -> file of every `save_weights` in the folder, by step."""
    return {_step_of(path): path for path in reversed(_checkpoint_paths(folder))}


@torch.no_grad()
def load_weights(path: Path, parameters: Mapping[str, torch.nn.Parameter]) -> None:
    """Put saved weights into the parameters. CheckpointError when the file does not fit them."""
    with safe_open(path, framework="pt") as file:
        if set(file.keys()) != set(parameters):
            raise CheckpointError("the saved weights are those of another model", where=str(path))
        for name, parameter in parameters.items():
            parameter.copy_(file.get_tensor(name))


def refuse_other_run(found: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """InputError, with every difference named, when a checkpoint was made by a run that was asked for something else.

    A checkpoint or a run that does not tell its identity is taken as it is.
    """
    if not found or not wanted:
        return
    plain = json.loads(canonical_json(dict(wanted)))
    names = sorted(name for name in {*found, *plain} if found.get(name) != plain.get(name))
    if names:
        told = "; ".join(
            f"{name}: {_shown(found, name)} in the checkpoint, {_shown(plain, name)} now" for name in names
        )
        raise InputError(
            "an unfinished training with other settings lies here",
            where=f"{folder}: {told}",
            expected="the same settings, to go on with it",
            todo="set them back, give this run another name, or delete the folder to start again",
        )


def _shown(values: Mapping[str, Any], name: str) -> str:
    text = canonical_json(values[name]) if name in values else "not set"
    return text if len(text) <= 60 else text[:57] + "..."


def _memory_order(tensor: torch.Tensor) -> list[int]:
    """The dimensions from the one whose neighbors lie farthest apart in memory to the one whose lie side by side."""
    return sorted(range(tensor.dim()), key=tensor.stride, reverse=True)


def _step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _checkpoint_paths(folder: Path) -> list[Path]:
    """Checkpoint files, newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def _read(path: Path) -> TrainingState:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        step, identity = int(metadata["step"]), json.loads(metadata.get("identity", "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    for name, order in json.loads(metadata.get(_ORDERS, "{}")).items():
        tensors[name] = tensors[name].permute([order.index(dimension) for dimension in range(len(order))])
    losses = tensors.pop(_LOSSES).tolist()
    if len(losses) != step:
        raise ValueError(f"{path}: {len(losses)} losses for {step} steps")
    return TrainingState(step, tensors, losses, identity)
