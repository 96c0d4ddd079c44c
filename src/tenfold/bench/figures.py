"""Measured figures of a benchmark: seconds of every repeat, medians, ranges, ratios and the output check."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tenfold.core.progress import TaskProgress


@dataclass(frozen=True)
class Row:
    """One thing measured in two or three ways; `seconds` by way: every repeat, in the order measured.

    `units_per_second` is the median rate by way (training images, images, starts); `check` says how outputs compared.
    """

    what: str
    unit: str
    units: int
    seconds: Mapping[str, tuple[float, ...]]
    target: str
    check: str
    is_equal: bool | None

    def median(self, way: str) -> float:
        """Median seconds of a way."""
        return statistics.median(self.seconds[way])

    def ratio(self, way: str) -> float | None:
        """How many times slower `way` is than ours, by medians; None when it was not measured."""
        return self.median(way) / self.median("ours") if way in self.seconds else None

    def cells(self) -> tuple[str, ...]:
        """The row as a table shows it."""
        ratios = [self.ratio(way) for way in ("S", "T")]
        return (
            self.what,
            *(self._shown(way) for way in ("ours", "S", "T")),
            *("-" if ratio is None else f"{ratio:.2f}x" for ratio in ratios),
            self.target,
            self.check,
        )

    def _shown(self, way: str) -> str:
        if way not in self.seconds:
            return "-"
        values = self.seconds[way]
        spread = f"{min(values):.2f}-{max(values):.2f}"
        rate = self.units / self.median(way)
        return f"{self.median(way):.2f} s ({spread}), {rate:.1f} {self.unit}/s"


@dataclass(frozen=True)
class Figures:
    """A whole benchmark on one machine."""

    name: str
    title: str
    machine: str
    threads: int
    repeats: int
    rows: tuple[Row, ...]
    environment: Mapping[str, object]


def interleaved(
    ways: Mapping[str, Callable[[], object]], repeats: int, task: TaskProgress
) -> dict[str, tuple[float, ...]]:
    """Seconds of each way, the ways in turn within every repeat, so that a slow minute of the machine hits all."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(repeats):
        order = list(ways) if repeat % 2 == 0 else list(ways)[::-1]
        for way in order:
            began = time.perf_counter()
            ways[way]()
            seconds[way].append(time.perf_counter() - began)
            task.advance()
    return {way: tuple(values) for way, values in seconds.items()}
