"""Figures of a benchmark: turns, medians, ratios and how they are shown."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from tenfold.bench.catalog import run_benchmark
from tenfold.bench.figures import Row, interleaved
from tenfold.core.errors import InputError
from tenfold.core.progress import NullProgress


def test_ways_take_turns_in_both_directions() -> None:
    order: list[str] = []
    prepared: list[str] = []
    ways = {name: (lambda name=name: order.append(name)) for name in ("ours", "S", "T")}
    with NullProgress().task("", 6) as task:
        timings = interleaved(ways, 2, task, prepare=prepared.append)
    assert order == prepared == ["ours", "S", "T", "T", "S", "ours"]
    for seconds in (timings.wall, timings.cpu):
        assert {way: len(values) for way, values in seconds.items()} == {"ours": 2, "S": 2, "T": 2}


def test_cpu_seconds_of_children_count() -> None:
    code = "sum(range(3_000_000))"
    ways = {
        "child": lambda: subprocess.run([sys.executable, "-c", code], check=True),
        "nothing": lambda: None,
    }
    with NullProgress().task("", 2) as task:
        timings = interleaved(ways, 1, task)
    assert timings.cpu["child"][0] > timings.cpu["nothing"][0]


def test_rows_show_median_range_rate_and_ratio() -> None:
    row = Row("drawing", "images", 20, {"ours": (2.0, 1.0, 9.0), "S": (4.0, 6.0, 5.0)}, "S / ours >= 2", "equal", True)
    assert row.ratio("S") == 2.5
    assert row.ratio("T") is None
    assert row.cells() == (
        "drawing",
        "2.00 s (1.00-9.00), 10.0 images/s",
        "5.00 s (4.00-6.00), 4.0 images/s",
        "-",
        "2.50x",
        "-",
        "S / ours >= 2",
        "equal",
    )
    with_cpu = replace(row, cpu_seconds={"S": (3.0, 4.0, 5.0)})
    assert with_cpu.cells()[2] == "5.00 s (4.00-6.00), 4.0 images/s; CPU 4.00 s"


@pytest.mark.parametrize("name", ["B99", "B0", "generation"])
def test_benchmarks_that_are_unknown_say_so(name: str) -> None:
    with pytest.raises(InputError):
        run_benchmark(name, 3, None, NullProgress())
