"""Measured figures of a benchmark: seconds of every repeat, medians, ranges, ratios and the output check."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psutil

from tenfold.core.executor import usable_cores
from tenfold.core.progress import TaskProgress


@dataclass(frozen=True)
class Timings:
    """Seconds of every repeat by way, in the order measured.

    wall: by the clock. cpu: computed in this process, its threads and its child processes, which other work on the
    machine disturbs less.
    """

    wall: Mapping[str, tuple[float, ...]]
    cpu: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Row:
    """One thing measured in two or three ways; `seconds` by way: every repeat, in the order measured.

    `check` says how outputs compared. cpu_seconds: as `Timings.cpu`, where measured.
    """

    what: str
    unit: str
    units: int
    seconds: Mapping[str, tuple[float, ...]]
    target: str
    check: str
    is_equal: bool | None
    cpu_seconds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def median(self, way: str) -> float:
        """Median seconds of a way."""
        return statistics.median(self.seconds[way])

    def cpu_median(self, way: str) -> float:
        """Median CPU seconds of a way."""
        return statistics.median(self.cpu_seconds[way])

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
        cpu = f"; CPU {self.cpu_median(way):.2f} s" if way in self.cpu_seconds else ""
        return f"{self.median(way):.2f} s ({spread}), {rate:.1f} {self.unit}/s{cpu}"


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
    notes: tuple[str, ...] = ()


def interleaved(
    ways: Mapping[str, Callable[[], object]],
    repeats: int,
    task: TaskProgress,
    *,
    prepare: Callable[[str], object] | None = None,
) -> Timings:
    """Seconds of each way, the ways in turn within every repeat, so that a slow minute of the machine hits all.

    Args:
        prepare: called with a way's name before each of its turns; its time does not count.
    """
    wall: dict[str, list[float]] = {way: [] for way in ways}
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(repeats):
        order = list(ways) if repeat % 2 == 0 else list(ways)[::-1]
        for way in order:
            if prepare is not None:
                prepare(way)
            began, computed = time.perf_counter(), _cpu_seconds()
            ways[way]()
            wall[way].append(time.perf_counter() - began)
            cpu[way].append(_cpu_seconds() - computed)
            task.advance()
    return Timings(_as_tuples(wall), _as_tuples(cpu))


def describe_machine(threads: int) -> str:
    """Processor, cores and what else the machine does: its load of the last minute, this benchmark included."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{platform.machine()}, {threads} of {usable_cores()} usable cores{load}"


def _cpu_seconds() -> float:
    """CPU time so far of this process, of children that ended and of those that live."""
    ended = os.times()
    total = time.process_time() + ended.children_user + ended.children_system
    for child in psutil.Process().children(recursive=True):
        try:
            total += sum(child.cpu_times()[:4])
        except psutil.NoSuchProcess:  # ended meanwhile
            continue
    return total


def _as_tuples(seconds: Mapping[str, list[float]]) -> dict[str, tuple[float, ...]]:
    return {way: tuple(values) for way, values in seconds.items()}
