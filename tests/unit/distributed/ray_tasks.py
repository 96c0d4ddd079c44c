"""Tasks of the Ray tests: module-level, so that workers can import them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from tenfold.distributed.ray_executor import RayExecutor


def die_once(task: tuple[str, int]) -> int:
    """Task 1 is killed the first time that it is done; each run of a task leaves one line."""
    folder, number = task
    with (Path(folder) / f"task-{number}").open("a") as log:
        log.write(f"{os.getpid()}\n")
    if number == 1 and len((Path(folder) / "task-1").read_text().splitlines()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def fail_plainly(task: int) -> int:
    """An error that is none of Tenfold's own."""
    raise ZeroDivisionError("nothing to share")


def environment(task: int) -> tuple[str | None, int]:
    """The thread limit of the worker's environment, and its process."""
    return os.environ.get("OMP_NUM_THREADS"), os.getpid()


def say_pid_and_sleep(folder: str) -> None:
    """Leave this process's id as a file name, then work long."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


if __name__ == "__main__":  # the driver that a test kills
    with RayExecutor(workers=2) as executor:
        list(executor.map(say_pid_and_sleep, [sys.argv[1]] * 2))
