"""Training checkpoints: one safetensors file per saved step, written atomically, found again after a kill.

A checkpoint holds the step count, every training tensor (weights, optimizer moments, moving average) and the loss
of every finished step, so an interrupted run goes on exactly where it was. A file that cannot be read is passed
over for the one before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tenfold.core.files import write_atomic

_NAME = re.compile(r"step-(\d{8})\.safetensors")
_LOSSES = "trace.losses"


@dataclass(frozen=True)
class TrainingState:
    """What a run needs to go on: ``step`` finished steps, named tensors, and one loss per finished step."""

    step: int
    tensors: Mapping[str, torch.Tensor]
    losses: Sequence[float]


def save_checkpoint(folder: Path, state: TrainingState, *, keep: int = 2) -> Path:
    """Write ``folder/step-XXXXXXXX.safetensors`` and drop all but the newest ``keep`` checkpoints.

    Raises StorageError when the disk is full or read-only; the older checkpoints then still stand.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{state.step:08d}.safetensors"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    tensors[_LOSSES] = torch.tensor(list(state.losses), dtype=torch.float64)
    with write_atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"step": str(state.step)})
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


def _checkpoint_paths(folder: Path) -> list[Path]:
    """Checkpoint files, newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def _read(path: Path) -> TrainingState:
    with safe_open(path, framework="pt") as file:
        step = int(file.metadata()["step"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    losses = tensors.pop(_LOSSES).tolist()
    if len(losses) != step:
        raise ValueError(f"{path}: {len(losses)} losses for {step} steps")
    return TrainingState(step, tensors, losses)
