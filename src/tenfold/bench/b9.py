"""B9: the embedded model on the CPU; training, sampling and the start of the program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tenfold.bench.figures import Figures, Row, describe_machine, interleaved
from tenfold.core.device import limited_threads
from tenfold.core.environment import describe_environment
from tenfold.core.executor import usable_cores
from tenfold.core.progress import Progress, TaskProgress

CHECKPOINT = "embedded:base"
_STARTS = {
    "ours": [sys.executable, "-m", "tenfold", "--help"],
    "S": [sys.executable, "-c", "from diffusers import StableDiffusionPipeline"],
}


def measure(repeats: int, threads: int | None, progress: Progress, checkpoint: str = CHECKPOINT) -> Figures:
    """All three parts, every way on the same threads (`None`: all usable cores), at least three repeats each."""
    from tenfold.bench import b9_sampling, b9_training

    count = threads or usable_cores()
    ways = len(_STARTS) + 2 * 3
    with limited_threads(count), progress.task("B9", repeats * ways) as task:
        rows = (
            b9_training.measure(checkpoint, repeats, task),
            b9_sampling.measure(checkpoint, repeats, count, task),
            _measure_start(repeats, task),
        )
    return Figures(
        name="B9",
        title="embedded model on the CPU",
        machine=describe_machine(count),
        threads=count,
        repeats=repeats,
        rows=rows,
        environment=describe_environment(),
    )


def _measure_start(repeats: int, task: TaskProgress) -> Row:
    """``tenfold --help`` beside the import that a stock script pays before it prints its own help."""
    timings = interleaved({way: _starter(way) for way in _STARTS}, repeats, task)
    return Row(
        what="--help (S: import of diffusers' pipeline)",
        unit="starts",
        units=1,
        seconds=timings.wall,
        cpu_seconds=timings.cpu,
        target="ours <= 0.5 s",
        check="exit code 0",
        is_equal=None,
    )


def _starter(way: str) -> Callable[[], object]:
    return lambda: subprocess.run(_STARTS[way], check=True, capture_output=True)
