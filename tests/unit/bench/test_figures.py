"""Figures of a benchmark: turns, medians, ratios and how they are shown."""

from __future__ import annotations

import pytest

from tenfold.bench.catalog import WAITING, run_benchmark
from tenfold.bench.figures import Row, interleaved
from tenfold.core.errors import InputError
from tenfold.core.progress import NullProgress


def test_ways_take_turns_in_both_directions() -> None:
    order: list[str] = []
    ways = {name: (lambda name=name: order.append(name)) for name in ("ours", "S", "T")}
    with NullProgress().task("", 6) as task:
        seconds = interleaved(ways, 2, task)
    assert order == ["ours", "S", "T", "T", "S", "ours"]
    assert {way: len(values) for way, values in seconds.items()} == {"ours": 2, "S": 2, "T": 2}


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


@pytest.mark.parametrize("name", ["B99", *WAITING, "b1"])
def test_benchmarks_that_cannot_run_say_so(name: str) -> None:
    with pytest.raises(InputError):
        run_benchmark(name, 3, None, NullProgress())
