"""Progress for the console: nested bars with time left, plain lines, JSON lines, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

_LINE_SECONDS = 20.0
_SPEED_WINDOW_SECONDS = 120.0


class BarProgress:
    """One bar per running task, the outermost first; a task's bar goes when it ends."""

    def __init__(self, console: RichConsole) -> None:
        self._console = console
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            speed_estimate_period=_SPEED_WINDOW_SECONDS,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[_Bar]:
        """A bar from entry to exit."""
        bar = _Bar(self._bars, self._bars.add_task(description, total=max(total, 1)))
        try:
            yield bar
        finally:
            self._bars.remove_task(bar.task_id)

    def log(self, message: str) -> None:
        """A line above the bars."""
        self._console.print(message, soft_wrap=True)


class _Bar:
    def __init__(self, bars: RichProgress, task_id: TaskID) -> None:
        self._bars = bars
        self.task_id = task_id

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self.task_id, steps)


class LineProgress:
    """For logs and pipes: a line when a task has run for a while, with time left, and each log line."""

    def __init__(self, console: RichConsole) -> None:
        self._console = console

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[_Line]:
        """A task that prints at most one line every 20 seconds."""
        yield _Line(self._print, description, total)

    def log(self, message: str) -> None:
        """One line."""
        self._print(message)

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


class _Line:
    def __init__(self, show: Callable[[str], None], description: str, total: int) -> None:
        self._show = show
        self._description = description
        self._total = max(total, 1)
        self._done = 0
        self._began = self._shown = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._shown < _LINE_SECONDS or not self._done:
            return
        self._shown = now
        left = (now - self._began) / self._done * max(self._total - self._done, 0)
        self._show(f"{self._description}: {self._done}/{self._total}, about {readable_seconds(left)} left")


class JsonProgress:
    """JSON lines: task begin and end, a step now and then, and log lines."""

    def __init__(self, show: Callable[[Mapping[str, Any]], None]) -> None:
        self._show = show

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[_JsonTask]:
        """A task with a line at its begin and at its end."""
        self._show({"event": "task", "task": description, "total": total, "state": "begun"})
        task = _JsonTask(self._show, description, total)
        yield task
        self._show({"event": "task", "task": description, "total": total, "state": "ended"})

    def log(self, message: str) -> None:
        """One log line."""
        self._show({"event": "log", "message": message})


class _JsonTask:
    def __init__(self, show: Callable[[Mapping[str, Any]], None], description: str, total: int) -> None:
        self._show = show
        self._description = description
        self._total = total
        self._done = 0
        self._shown = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        if time.monotonic() - self._shown >= _LINE_SECONDS:
            self._shown = time.monotonic()
            self._show({"event": "progress", "task": self._description, "done": self._done, "total": self._total})


class SilentProgress:
    """Shows nothing: ``--quiet``."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[SilentProgress]:
        """A task that nobody watches."""
        yield self

    def advance(self, steps: int = 1) -> None:
        """Drop the steps."""

    def log(self, message: str) -> None:
        """Drop the line."""


def readable_seconds(seconds: float) -> str:
    """Seconds as ``45 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
