"""B4 and B5 as smoke tests: LoRA and full DreamBooth steps of the embedded model on the CPU; no figures of a GPU."""

from __future__ import annotations

from tenfold.bench.figures import Figures, describe_machine
from tenfold.core.device import limited_threads
from tenfold.core.environment import describe_environment
from tenfold.core.executor import usable_cores
from tenfold.core.progress import Progress

CHECKPOINT = "embedded:base"
LORA_RANK = 8
TOLERANCE = 1e-2
"""Of the loss traces, on the same noise."""

_TITLES = {"B4": "LoRA DreamBooth", "B5": "full DreamBooth with prior preservation"}
_TARGETS = {"B4": "smoke; on a GPU S >= 3, T >= 1.8", "B5": "smoke; on a GPU S >= 2.5"}


def measure(name: str, repeats: int, threads: int | None, progress: Progress, checkpoint: str = CHECKPOINT) -> Figures:
    """One of the two, every way on the same threads (`None`: all usable cores)."""
    from tenfold.bench import b9_training

    count = threads or usable_cores()
    rank = LORA_RANK if name == "B4" else None
    with limited_threads(count), progress.task(name, repeats * 3) as task:
        row = b9_training.measure(checkpoint, repeats, task, lora_rank=rank, target=_TARGETS[name], tolerance=TOLERANCE)
    return Figures(
        name=name,
        title=f"{_TITLES[name]}; smoke test of the embedded model on the CPU, ratios are no GPU figures",
        machine=describe_machine(count),
        threads=count,
        repeats=repeats,
        rows=(row,),
        environment=describe_environment(),
    )
