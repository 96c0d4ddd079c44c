"""The benchmarks by name: which can run here, and which wait for their work or their machine."""

from __future__ import annotations

from tenfold.bench.figures import Figures
from tenfold.core.errors import InputError
from tenfold.core.progress import Progress

WAITING = {
    "B7": "learning-curve sweep: waits for the warm-worker study",
    "B8": "features once, heads batched: waits for the cached heads",
}


def run_benchmark(name: str, repeats: int, threads: int | None, progress: Progress) -> Figures:
    """Run one benchmark. Raises InputError for an unknown name or one that cannot run yet."""
    key = name.upper()
    if key in ("B1", "B2"):
        from tenfold.bench import b1_b2

        return b1_b2.measure(key, repeats, threads, progress)
    if key in ("B3", "B10") and threads not in (None, 1):
        raise InputError(f"{key} draws on one thread, as a worker does", todo="Leave the number of threads out.")
    if key == "B3":
        from tenfold.bench import b3

        return b3.measure(repeats, progress)
    if key == "B10":
        from tenfold.bench import b10

        return b10.measure(repeats, progress)
    if key == "B9":
        from tenfold.bench import b9

        return b9.measure(repeats, threads, progress)
    if key in ("B4", "B5"):
        from tenfold.bench import b4_b5

        return b4_b5.measure(key, repeats, threads, progress)
    if key == "B6":
        from tenfold.bench import b6

        return b6.measure(repeats, threads, progress)
    if key in WAITING:
        raise InputError(
            f"{key} cannot run yet: {WAITING[key]}", expected="another of B1 to B10", todo="See docs/benchmarks.md."
        )
    raise InputError(f"there is no benchmark {name!r}", expected="B1 to B10, except B7 and B8", todo="tenfold bench B9")
