"""Tasks of the executor tests: module-level, so that worker processes can import them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.executor import ProcessExecutor
from tenfold.core.seeds import torch_generator


def noise_sum(seed: int) -> tuple[int, float]:
    """Threads of this process, and a sum whose bits depend on them."""
    import torch

    noise = torch.randn(64, 3, 32, 32, generator=torch_generator(seed))
    kernel = torch.randn(16, 3, 3, 3, generator=torch_generator(seed + 1))
    return torch.get_num_threads(), float(torch.nn.functional.conv2d(noise, kernel).square().sum())


def worker_pid(task: int) -> int:
    """The process that does the task."""
    return os.getpid()


def sleep_by_task(seconds: float) -> float:
    """Sleep as long as the task says."""
    time.sleep(seconds)
    return seconds


def fail_on_two(task: int) -> int:
    """Task 2 fails at once; others take long."""
    if task == 2:
        raise DataError("task two is bad", where="row 2", todo="Mend it.")
    time.sleep(0.2)
    return task


def die_on_one(task: int) -> int:
    """Task 1 is killed as the kernel does when memory runs out."""
    if task == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def ignores_interrupt(task: int) -> bool:
    """Survive the Ctrl-C that a terminal sends to every process of its group."""
    os.kill(os.getpid(), signal.SIGINT)
    return True


def devices_when_two_are_there(folder: str) -> str | None:
    """The CUDA devices that this worker sees, when two workers are at it."""
    (Path(folder) / str(os.getpid())).touch()
    end = time.monotonic() + 60
    while len(list(Path(folder).iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def say_pid_and_sleep(folder: str) -> None:
    """Leave this process's id as a file name, then work long."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


if __name__ == "__main__":  # the parent that the kill test kills
    with ProcessExecutor(2) as executor:
        list(executor.map(say_pid_and_sleep, [sys.argv[1]] * 2))
