"""The benchmarks by name."""

from __future__ import annotations

from tenfold.bench.figures import Figures
from tenfold.core.errors import InputError
from tenfold.core.progress import Progress


def run_benchmark(name: str, repeats: int, threads: int | None, progress: Progress) -> Figures:
    """Run one benchmark. Raises InputError for an unknown name."""
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
    if key == "B7":
        from tenfold.bench import b7

        return b7.measure(repeats, threads, progress)
    if key == "B8":
        from tenfold.bench import b8

        return b8.measure(repeats, threads, progress)
    raise InputError(f"there is no benchmark {name!r}", expected="B1 to B10", todo="tenfold bench B9")
