"""Accelerate in the loop's service: its set-up, trackers of the figures, and gradients averaged between processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from tenfold.core.errors import InputError

TRACKERS = "trackers"
_MESSAGE_ELEMENTS = 25_000_000


def make_accelerator(
    mixed_precision: Literal["no", "fp16", "bf16"], trackers: Sequence[str], folder: Path, device: torch.device
) -> Accelerator:
    """An accelerator of its own for one training, whose trackers (see `start_trackers`) write to ``folder/trackers``.

    Raises:
        InputError: the device does not have this precision, or a tracker is not there.
    """
    refuse_absent_trackers(trackers)
    # Accelerate remembers its first use for good; one process may train in several groups and precisions in turn.
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        return Accelerator(
            mixed_precision=mixed_precision,
            cpu=device.type == "cpu",
            log_with=list(trackers) or None,
            project_dir=str(folder / TRACKERS) if trackers else None,
        )
    except (ValueError, ImportError) as error:
        raise InputError(
            f"the training cannot be set up: {error}",
            where=f"mixed_precision={mixed_precision}",
            todo="Use mixed_precision=no on this device.",
        ) from error


def refuse_absent_trackers(trackers: Sequence[str]) -> None:
    """InputError for a tracker that accelerate does not know, or whose package is not installed.

    To be asked before any work: accelerate itself passes over a missing package without a word.
    """
    for tracker in trackers:
        if tracker not in LOGGER_TYPE_TO_CLASS:
            raise InputError(
                f"there is no tracker {tracker!r}", where="trackers", expected=", ".join(sorted(LOGGER_TYPE_TO_CLASS))
            )
        if tracker not in [str(name) for name in get_available_trackers()]:
            package = "tenfold[tensorboard]" if tracker == "tensorboard" else tracker
            raise InputError(
                f"the tracker {tracker} is asked for, but its package is not installed",
                where="trackers",
                todo=f"Install it with `pip install '{package}'`, or leave the tracker out: losses.csv and curves.png "
                "are written without one.",
            )


def start_trackers(accelerator: Accelerator, trackers: Sequence[str], finished_steps: int) -> None:
    """Open the trackers; what TensorBoard has of steps from `finished_steps` on is of a killed run, and purged."""
    if trackers:
        accelerator.init_trackers("tenfold", init_kwargs={"tensorboard": {"purge_step": finished_steps}})


def average_between_processes(gradients: Sequence[torch.Tensor], accelerator: Accelerator) -> None:
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
