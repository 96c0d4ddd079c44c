"""The Ray executor: tasks on actors that stay warm; what a dead worker was doing is done again by another."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tenfold.core.device import THREAD_VARIABLES, limit_threads, resolve_device
from tenfold.core.errors import InputError, StageError, TenfoldError
from tenfold.core.executor import WorkerDiedError, usable_cores

Task = TypeVar("Task")
Answer = TypeVar("Answer")

MOST_DEATHS = 3
"""So often may workers die over one task; then the task, not the machine, is at fault."""

_LOOPBACK = "127.0.0.1"
_ANSWER_SECONDS = 5


class RayExecutor:
    """Actors of one thread (and one GPU each where the cluster has GPUs), started at the first `map`, kept warm.

    Without an address a cluster of this machine alone is started on the loopback interface and ended at the exit. Tasks
    must be picklable, and every node must see `shared_folder` under the same path. A task whose worker died is given to
    another one, until `MOST_DEATHS` have died over it; tasks write the same files whoever does them, so nothing is made
    twice.
    """

    def __init__(
        self, address: str | None = None, workers: int | None = None, shared_folder: Path | None = None
    ) -> None:
        if workers is not None and workers < 1:
            raise InputError(f"{workers} workers cannot work", expected="at least one worker")
        self._ray = _import_ray(is_local=address is None)
        self._shared_folder = shared_folder
        self._connect(address, workers)
        resources = self._ray.cluster_resources()
        self._gpus = int(resources.get("GPU", 0))
        self.worker_count = workers or self._gpus or max(1, int(resources.get("CPU", 1)))
        self._actors: list[Any] = []

    def device(self, asked: str) -> str:
        """`auto` and `cuda` by what the workers have, not by what this machine has."""
        if self._gpus and (asked == "auto" or asked.startswith("cuda")):
            return "cuda"
        return "cpu" if asked == "auto" else resolve_device(asked)

    def map(self, function: Callable[[Task], Answer], tasks: Sequence[Task]) -> Iterator[tuple[int, Answer]]:
        """Yield (index, answer) in order of completion; leaving the iteration early ends the workers."""
        ray = self._ray
        waiting, deaths = deque(range(len(tasks))), dict.fromkeys(range(len(tasks)), 0)
        working: dict[Any, tuple[int, Any]] = {}
        idle = self._warm(min(self.worker_count, len(tasks)))
        is_complete = False
        try:
            while waiting or working:
                while waiting and idle:
                    index, actor = waiting.popleft(), idle.pop()
                    working[actor.work.remote(function, tasks[index])] = (index, actor)
                done, _ = ray.wait(list(working), num_returns=1)
                index, actor = working.pop(done[0])
                try:
                    answer = ray.get(done[0])
                except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
                    deaths[index] += 1
                    if deaths[index] >= MOST_DEATHS:
                        raise _died_too_often(index, error) from error
                    waiting.appendleft(index)
                    self._actors.remove(actor)
                    idle += self._start(1)
                    continue
                except ray.exceptions.RayTaskError as error:
                    raise _cause(error) from error
                idle.append(actor)
                yield index, answer
            is_complete = True
        finally:
            if not is_complete:
                self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
        self._ray.shutdown()

    def _connect(self, address: str | None, workers: int | None) -> None:
        ray = self._ray
        if address is not None:
            _check_answers(address)
        if ray.is_initialized():
            raise StageError(
                "this process already uses a Ray cluster", todo="Leave the other executor first (`with` ends it)."
            )
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        if address is None:
            ray.init(num_cpus=workers or usable_cores(), include_dashboard=False, _node_ip_address=_LOOPBACK, **quiet)
            return
        try:
            ray.init(address=address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            raise _no_answer(address, _first_line(error)) from error

    def _warm(self, count: int) -> list[Any]:
        self._start(count - len(self._actors))
        return list(self._actors)

    def _start(self, count: int) -> list[Any]:
        options: dict[str, Any] = {
            "num_cpus": 1,
            "num_gpus": 1 if self._gpus else 0,
            "runtime_env": {"env_vars": dict.fromkeys(THREAD_VARIABLES, "1")},
        }
        folder = None if self._shared_folder is None else str(self._shared_folder)
        actor_class = self._ray.remote(_Worker).options(**options)
        started = [actor_class.remote(folder) for _ in range(count)]
        self._actors += started
        return started

    def _stop(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []


class _Worker:
    """One process of the cluster; what tasks keep loaded stays loaded between them."""

    def __init__(self, shared_folder: str | None) -> None:
        limit_threads(1)
        self._unseen = shared_folder if shared_folder is not None and not Path(shared_folder).exists() else None

    def work(self, function: Callable[[Any], Any], task: Any) -> Any:
        """The task's answer."""
        if self._unseen is not None:
            raise InputError(
                f"the node {os.uname().nodename} does not see the workspace",
                where=self._unseen,
                expected="one path that all nodes of the cluster share (NFS, Lustre, ...)",
                todo="Put the workspace on a shared file system, or run on one machine.",
            )
        return function(task)


def _import_ray(*, is_local: bool) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if is_local:
        # Read once, at the import: a cluster of one machine then listens on the loopback interface only.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise InputError(
            "Ray is not installed",
            expected="the package ray",
            todo='pip install "tenfold[ray]", or --executor processes.',
        ) from error
    return ray


def _check_answers(address: str) -> None:
    """InputError when nothing listens there: Ray itself would try for two minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not separator or not port.isdigit():
        raise _no_answer(address, "this is no HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise _no_answer(address, str(error)) from error


def _no_answer(address: str, reason: str) -> InputError:
    return InputError(
        f"no Ray cluster answers: {reason}",
        where=address,
        expected="`auto`, or the address of a running cluster of the same Ray version: HOST:6379 or ray://HOST:10001",
        todo="Start one with `ray start --head`, or leave --address out to use this machine alone.",
    )


def _cause(error: Any) -> BaseException:
    """What the task raised, as it was raised there."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, TenfoldError):
        return cause
    return StageError(
        f"a task failed on the cluster: {_first_line(cause or error)}",
        expected="every task to end",
        todo="Finished parts are kept. The worker's traceback follows with --debug; then run the same command again.",
    )


def _died_too_often(index: int, error: Exception) -> WorkerDiedError:
    return WorkerDiedError(
        f"{MOST_DEATHS} workers died over the same task (number {index}): {_first_line(error)}",
        expected="a worker to live until its task is done",
        todo="Most often the memory ran out: use fewer --workers or smaller batches; finished parts are kept.",
    )


def _first_line(error: Any) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
