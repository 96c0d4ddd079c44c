"""How far parts in worker processes are: each writes its fraction to a small file, the parent reads them all."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tenfold.core.progress import TaskProgress

_WRITE_SECONDS = 0.5
_READ_SECONDS = 1.0


class PartProgress:
    """The `Progress` of one part in its worker: steps of its stages become one fraction in [0, 1].

    `shares` are the stages' shares of the part's time, in order. Log lines are kept in `messages`.
    """

    def __init__(self, path: Path, shares: tuple[float, ...]) -> None:
        self.messages: list[str] = []
        self._path = path
        self._shares = shares
        self._before = 0.0
        self._stage = 0
        self._written = 0.0

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[TaskProgress]:
        """The longest task of a stage moves the fraction furthest; it never goes back."""
        yield _PartTask(self, max(total, 1))

    def begin(self) -> None:
        """Tell that the part is worked on."""
        self._write(0.0, always=True)

    def log(self, message: str) -> None:
        """Keep the line for the parent."""
        self.messages.append(message)

    def end_stage(self) -> None:
        """The current stage is done."""
        self._before += self._shares[self._stage]
        self._stage += 1
        self._write(0.0, always=True)

    def show(self, stage_fraction: float) -> None:
        """Tell how far the current stage is, in [0, 1]."""
        self._write(min(stage_fraction, 1.0) * self._shares[min(self._stage, len(self._shares) - 1)])

    def _write(self, within: float, *, always: bool = False) -> None:
        now = time.monotonic()
        if not always and now - self._written < _WRITE_SECONDS:
            return
        self._written = now
        try:
            self._path.write_text(f"{self._before + within:.4f}", encoding="ascii")
        except OSError:
            return  # progress is a courtesy: a full disk is told by the stage itself


class _PartTask:
    def __init__(self, part: PartProgress, total: int) -> None:
        self._part = part
        self._total = total
        self._done = 0

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        self._part.show(self._done / self._total)


class PartWatch:
    """Reads the parts' files in a thread and advances one task of the parent; leaving it removes the files."""

    def __init__(self, folder: Path, weights: Mapping[str, int], task: TaskProgress) -> None:
        self._folder = folder
        self._weights = weights
        self._task = task
        self._shown = 0
        self._ended: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="part-watch")

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)  # a killed run leaves its fractions
        self._folder.mkdir(parents=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def path(self, part: str) -> Path:
        """Where a part's worker writes its fraction."""
        return self._folder / f"{part}.fraction"

    def end(self, part: str) -> None:
        """A part has ended, whatever its file says."""
        self._ended.add(part)
        self._show()

    def _watch(self) -> None:
        while not self._stop.wait(_READ_SECONDS):
            self._show()

    def _show(self) -> None:
        done = 0.0
        for part, weight in self._weights.items():
            done += weight * (1.0 if part in self._ended else self._fraction(part))
        with self._lock:
            steps = int(done) - self._shown
            if steps > 0:
                self._shown += steps
                self._task.advance(steps)

    def _fraction(self, part: str) -> float:
        try:
            return min(max(float(self.path(part).read_text(encoding="ascii")), 0.0), 1.0)
        except (OSError, ValueError):
            return 0.0
