"""Executors: the same tasks one after another, or in worker processes that die with their parent."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from tenfold.core.device import THREAD_VARIABLES, cuda_devices, limit_threads, limited_threads, resolve_device
from tenfold.core.errors import InputError, StageError

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_PR_SET_PDEATHSIG = 1
_WATCH_SECONDS = 0.5
_KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 29)}
"""glibc: a worker keeps up to 512 MiB of freed memory instead of asking for it again at each layer: 6-8 % of a training
step of the embedded classifier, the same bits. Read at a process's start only; nothing elsewhere."""


class WorkerDiedError(StageError):
    """A worker died over its task: of memory, of a fault below Python, or of a kill."""


class Executor(Protocol):
    """Runs tasks; answers come in order of completion, each with its task's index."""

    worker_count: int

    def device(self, asked: str) -> str:
        """The device that a worker computes on: `auto` is decided by what workers have."""

    def map(self, function: Callable[[Task], Answer], tasks: Sequence[Task]) -> Iterator[tuple[int, Answer]]:
        """Yield (index, function(tasks[index])). A task's exception ends the iteration and is raised as it is."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class SerialExecutor:
    """One task after another in this process, on one thread: the same bits as a worker process gives."""

    worker_count: int = 1

    def device(self, asked: str) -> str:
        """This machine's device; InputError when it has no such one."""
        return resolve_device(asked)

    def map(self, function: Callable[[Task], Answer], tasks: Sequence[Task]) -> Iterator[tuple[int, Answer]]:
        """Yield (index, answer) in the tasks' order."""
        for index, task in enumerate(tasks):
            with limited_threads(1):
                answer = function(task)
            yield index, answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class ProcessExecutor:
    """Worker processes of one thread each, started at the first `map` and kept warm until the exit.

    Functions must be module-level and tasks picklable. Workers ignore Ctrl-C, which the parent answers, and end
    with the parent however that ends. A worker that dies is a WorkerDiedError. Where `device` says `cuda`, each worker
    sees one of the CUDA devices, in turn.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise InputError(f"{workers} workers cannot work", expected="at least one worker")
        self.worker_count = workers
        self._pool: ProcessPoolExecutor | None = None
        self._cuda_devices: tuple[str, ...] = ()

    def device(self, asked: str) -> str:
        """This machine's device; InputError when it has no such one. Workers that see other devices are ended."""
        found = resolve_device(asked)
        devices = cuda_devices() if found == "cuda" else ()  # `cuda:1` is one of all
        if devices != self._cuda_devices:
            self._stop()
            self._cuda_devices = devices
        return found

    def map(self, function: Callable[[Task], Answer], tasks: Sequence[Task]) -> Iterator[tuple[int, Answer]]:
        """Yield (index, answer) in order of completion; leaving the iteration early ends the workers."""
        if not tasks:
            return
        is_complete = False
        try:
            with _quiet_single_threaded_start(), _script_hidden_from(function):
                futures = self._submit(function, tasks)
            for future in as_completed(futures):
                answer = future.result()
                yield futures.pop(future), answer
            is_complete = True
        except BrokenProcessPool as error:
            raise WorkerDiedError(
                "a worker process died while it worked",
                expected=f"{self.worker_count} workers to live until the tasks are done",
                todo="Most often the memory ran out: use fewer workers (--workers 1, or --executor serial), "
                "then run the same command again; finished parts are kept.",
            ) from error
        finally:
            if not is_complete:
                self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stop()
        elif self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _submit(self, function: Callable[[Task], Answer], tasks: Sequence[Task]) -> dict[Future[Answer], int]:
        if self._pool is None:
            # The kernel's death signal follows the starting thread, not the process: only the main one is safe.
            is_main = threading.current_thread() is threading.main_thread()
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self.worker_count,
                mp_context=context,
                initializer=_start_worker,
                initargs=(os.getpid(), is_main, self._cuda_devices, context.Value("i", 0)),
            )
        pool = self._pool
        return {pool.submit(function, task): index for index, task in enumerate(tasks)}

    def _stop(self) -> None:
        """End the workers now; what they had not finished is resumed by the next run."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        workers = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join(timeout=5)


def in_order(answers: Iterator[tuple[int, Answer]]) -> Iterator[Answer]:
    """The answers of `Executor.map` in the order of their tasks; those that come early wait, no others are kept."""
    waiting: dict[int, Answer] = {}
    number = 0
    for index, answer in answers:
        waiting[index] = answer
        while number in waiting:
            yield waiting.pop(number)
            number += 1


def make_executor(name: str, workers: int | None = None) -> SerialExecutor | ProcessExecutor:
    """`serial`, or `processes` with as many workers as this process may use cores (or as told)."""
    if name == "serial":
        return SerialExecutor()
    if name == "processes":
        return ProcessExecutor(usable_cores() if workers is None else workers)
    raise InputError(f"unknown executor {name!r}", expected="serial or processes", todo="Name one of them.")


def usable_cores() -> int:
    """The cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _quiet_single_threaded_start() -> Iterator[None]:
    """While workers start: one thread and kept memory in their environment, Ctrl-C blocked, which they inherit."""
    settings = dict.fromkeys(THREAD_VARIABLES, "1")
    settings |= {name: value for name, value in _KEPT_MEMORY.items() if name not in os.environ}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    has_masks = hasattr(signal, "pthread_sigmask")  # not on Windows
    mask: Any = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if has_masks else None
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _script_hidden_from(function: Callable[..., Any]) -> Iterator[None]:
    """While workers start: no calling script to import, unless it holds the function.

    Importing it again would run it again where it has no ``if __name__ == "__main__":``.
    """
    script = vars(sys.modules["__main__"])
    is_needed = function.__module__ == "__main__"
    names = () if is_needed else ("__file__", "__spec__")
    hidden: dict[str, Any] = {name: script[name] for name in names if name in script}
    script.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        script.update(hidden)


def _start_worker(parent_pid: int, started_by_main_thread: bool, devices: tuple[str, ...], started: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux" and started_by_main_thread:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with_parent, args=(parent_pid,), daemon=True, name="end-with-parent").start()
    limit_threads(1)
    if devices:  # read when torch starts CUDA, which nothing has done yet
        with started.get_lock():
            os.environ["CUDA_VISIBLE_DEVICES"] = devices[started.value % len(devices)]
            started.value += 1


def _end_with_parent(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)
