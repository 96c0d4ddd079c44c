"""The benchmarks by name: which can run here, and which wait for their work or their machine."""

from __future__ import annotations

from tenfold.bench.figures import Figures
from tenfold.core.errors import InputError
from tenfold.core.progress import Progress

WAITING = {
    "B1": "bulk generation, 25 steps: waits for a GPU",
    "B2": "generation with a guidance interval: waits for its quality gate and a GPU",
    "B3": "generation to disk: waits for the shard writer",
    "B6": "eight LoRAs at once: waits for LoRA training",
    "B7": "learning-curve sweep: waits for the warm-worker study",
    "B8": "features once, heads batched: waits for the cached heads",
    "B10": "shards, killed and resumed: waits for sharded generation",
}


def run_benchmark(name: str, repeats: int, threads: int | None, progress: Progress) -> Figures:
    """Run one benchmark. Raises InputError for an unknown name or one that cannot run yet."""
    key = name.upper()
    if key == "B9":
        from tenfold.bench import b9

        return b9.measure(repeats, threads, progress)
    if key in ("B4", "B5"):
        from tenfold.bench import b4_b5

        return b4_b5.measure(key, repeats, threads, progress)
    if key in WAITING:
        raise InputError(
            f"{key} cannot run yet: {WAITING[key]}", expected="B4, B5 or B9", todo="See docs/benchmarks.md."
        )
    raise InputError(
        f"there is no benchmark {name!r}", expected="B1 to B10, of which B4, B5 and B9 run", todo="tenfold bench B9"
    )
