"""B6: LoRAs trained at once on one frozen UNet, beside one after the other by our own loop and by stock code."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tenfold.bench.b9_training import (
    LEARNING_RATE,
    STEPS,
    Job,
    JobSize,
    make_job,
    make_objective,
    plain_copy,
    train_ours,
    train_stock,
    train_tuned,
)
from tenfold.bench.figures import Figures, Row, Timings, describe_machine, interleaved
from tenfold.core.device import limited_threads
from tenfold.core.environment import describe_environment
from tenfold.core.executor import usable_cores
from tenfold.core.progress import NullProgress, Progress
from tenfold.finetuning.loop import LoopSettings
from tenfold.finetuning.lora_stack import LoraStack, train_lora_stack
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.lora import LoraSettings
from tenfold.models.pipelines import load_components

CHECKPOINT = "embedded:base"
ADAPTERS = 8
LORA_RANK = 8
IMAGES = 8
"""Instances of an adapter, and as many prior images; one of each in a step."""
TOLERANCE = 1e-4
_SOLO = "one after the other"

Losses = list[list[float]]


def measure(repeats: int, threads: int | None, progress: Progress, checkpoint: str = CHECKPOINT) -> Figures:
    """All at once, then one after the other in three ways, on the same threads (`None`: all usable cores)."""
    count = threads or usable_cores()
    with (
        limited_threads(count),
        tempfile.TemporaryDirectory(prefix="tenfold-b6-") as folder,
        progress.task("B6", repeats * 4) as task,
    ):
        components = load_components(resolve_checkpoint(checkpoint))
        jobs = [
            make_job(components, Path(folder), JobSize(images=IMAGES, batch=1, lora_rank=LORA_RANK, seed=number))
            for number in range(ADAPTERS)
        ]
        losses: dict[str, Losses] = {}

        def way(name: str, train: Callable[[Sequence[Job]], Losses]) -> Callable[[], None]:
            def run() -> None:
                losses[name] = train(jobs)

            return run

        def each(train_one: Callable[[Job], list[float]]) -> Callable[[Sequence[Job]], Losses]:
            return lambda jobs: [train_one(job) for job in jobs]

        ways = {
            "ours": way("ours", _train_at_once),
            _SOLO: way(_SOLO, each(train_ours)),
            "S": way("S", each(train_stock)),
            "T": way("T", each(train_tuned)),
        }
        timings = interleaved(ways, repeats, task)
    return Figures(
        name="B6",
        title="adapters at once; smoke test of the embedded model on the CPU, ratios are no GPU figures",
        machine=describe_machine(count),
        threads=count,
        repeats=repeats,
        rows=_rows(timings, losses),
        environment=describe_environment(),
    )


def _train_at_once(jobs: Sequence[Job]) -> Losses:
    parts = plain_copy(jobs[0].components)
    stack = LoraStack(parts.unet, [LoraSettings(LORA_RANK, seed=job.size.seed) for job in jobs])
    objectives = [make_objective(job, parts) for job in jobs]
    with tempfile.TemporaryDirectory(prefix="tenfold-b6-") as folder, NullProgress().task("", STEPS) as task:
        # One state is saved, after the last step.
        settings = LoopSettings(STEPS, LEARNING_RATE, checkpointing_steps=STEPS + 1)
        return [list(trace.losses) for trace in train_lora_stack(stack, objectives, settings, Path(folder), task)]


def _rows(timings: Timings, losses: dict[str, Losses]) -> tuple[Row, ...]:
    """All at once beside stock code; then our own loop, one adapter after the other, and how much longer that took."""
    differences = {name: float(np.abs(np.subtract(losses["ours"], other)).max()) for name, other in losses.items()}
    at_once = Row(
        what=f"{ADAPTERS} LoRAs at once, {STEPS} steps of 1 + 1 images each",
        unit="images",
        units=ADAPTERS * STEPS * 2,
        seconds={name: values for name, values in timings.wall.items() if name != _SOLO},
        cpu_seconds={name: values for name, values in timings.cpu.items() if name != _SOLO},
        target="smoke; on a GPU S >= 3",
        check=f"losses differ by at most {max(differences.values()):.1e}",
        is_equal=max(differences.values()) <= TOLERANCE,
    )
    solo = Row(
        what=f"the same, {_SOLO}",
        unit="images",
        units=at_once.units,
        seconds={"ours": timings.wall[_SOLO]},
        cpu_seconds={"ours": timings.cpu[_SOLO]},
        target="on a GPU 3 times as long",
        check=f"losses differ by at most {differences[_SOLO]:.1e}",
        is_equal=differences[_SOLO] <= TOLERANCE,
    )
    ratio = solo.median("ours") / at_once.median("ours")
    return at_once, replace(solo, check=f"{ratio:.2f} times as long as at once; {solo.check}")
