"""Saving a classifier's training: its state to go on from after a kill, its last good weights when it fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tenfold.core.files import write_atomic
from tenfold.core.hashing import canonical_json

CHECKPOINTS, LAST_GOOD = "checkpoints", "last_good.safetensors"
_KEPT = 2


@dataclass(frozen=True)
class TrainingState:
    """After `step` steps: named tensors (weights, optimizer, average, best), and plain facts (history, losses)."""

    step: int
    tensors: Mapping[str, torch.Tensor]
    facts: Mapping[str, Any]

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors of `prefix.`, by the rest of their names."""
        start = f"{prefix}."
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def save_state(folder: Path, state: TrainingState) -> None:
    """Write folder/checkpoints/step-XXXXXXXX.safetensors atomically and drop all but the newest two."""
    place = folder / CHECKPOINTS
    place.mkdir(parents=True, exist_ok=True)
    write_weights(
        place / f"step-{state.step:08d}.safetensors", state.tensors, {"facts": canonical_json(dict(state.facts))}
    )
    for old in _paths(folder)[_KEPT:]:
        old.unlink(missing_ok=True)


def newest_state(folder: Path) -> TrainingState | None:
    """The newest saved state that is whole; None when there is none."""
    for path in _paths(folder):
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
                facts = json.loads(file.metadata()["facts"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            continue
        return TrainingState(int(path.stem.removeprefix("step-")), tensors, facts)
    return None


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write named tensors atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with write_atomic(path) as temporary:
        save_file(plain, temporary, metadata=metadata)


def remove_states(folder: Path) -> None:
    """Remove what only an unfinished training needs."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    (folder / LAST_GOOD).unlink(missing_ok=True)


def _paths(folder: Path) -> list[Path]:
    """Checkpoint files, newest first."""
    return sorted((folder / CHECKPOINTS).glob("step-*.safetensors"), reverse=True)
