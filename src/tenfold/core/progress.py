"""Progress as stages see it: a Protocol, so that no stage knows a console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class TaskProgress(Protocol):
    """One running task of a known number of steps."""

    def advance(self, steps: int = 1) -> None:
        """Tell that steps are done."""


class Progress(Protocol):
    """Where stages tell how far they are."""

    def task(self, description: str, total: int) -> AbstractContextManager[TaskProgress]:
        """A task shown from entry to exit."""

    def log(self, message: str) -> None:
        """One line for the reader."""


class NullProgress:
    """Shows nothing; the default of the Python API and of worker processes."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[TaskProgress]:
        """A task that nobody watches."""
        yield _NullTask()

    def log(self, message: str) -> None:
        """Drop the line."""


class _NullTask:
    def advance(self, steps: int = 1) -> None:
        pass
