"""Executors: the same answers in one process or several; no worker outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.core.device import THREAD_VARIABLES
from tenfold.core.errors import DataError, InputError, StageError
from tenfold.core.executor import ProcessExecutor, SerialExecutor, make_executor, usable_cores
from tests.unit.core import executor_tasks as tasks


def test_serial_and_processes_give_the_same_bits() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with SerialExecutor() as executor:
            serial = dict(executor.map(tasks.noise_sum, [1, 2, 3]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    with ProcessExecutor(2) as executor:
        processes = dict(executor.map(tasks.noise_sum, [1, 2, 3]))
    assert serial == processes
    assert {threads for threads, _ in serial.values()} == {1}


def test_answers_come_in_order_of_completion_and_workers_stay_warm() -> None:
    environment = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    with ProcessExecutor(2) as executor:
        first = {pid for _, pid in executor.map(tasks.worker_pid, list(range(8)))}
        order = [index for index, _ in executor.map(tasks.sleep_by_task, [1.0, 0.0])]
        second = {pid for _, pid in executor.map(tasks.worker_pid, list(range(8)))}
        assert list(executor.map(tasks.worker_pid, [])) == []
    assert order == [1, 0]
    assert len(first | second) <= 2
    assert os.getpid() not in first
    assert environment == {name: os.environ.get(name) for name in THREAD_VARIABLES}


@pytest.mark.parametrize("make", [SerialExecutor, lambda: ProcessExecutor(2)])
def test_a_task_error_arrives_as_it_is_and_ends_the_rest(make: Callable[[], SerialExecutor | ProcessExecutor]) -> None:
    with pytest.raises(DataError) as caught, make() as executor:
        list(executor.map(tasks.fail_on_two, [2, *range(3, 500)]))
    assert (caught.value.what, caught.value.where, caught.value.todo) == ("task two is bad", "row 2", "Mend it.")


def test_a_dead_worker_is_a_clear_error_and_the_executor_works_again() -> None:
    with ProcessExecutor(1) as executor:
        with pytest.raises(StageError, match="a worker process died") as caught:
            list(executor.map(tasks.die_on_one, [0, 1, 2]))
        assert "fewer workers" in caught.value.todo
        assert [answer for _, answer in executor.map(tasks.die_on_one, [5])] == [5]


def test_workers_leave_the_interrupt_to_their_parent() -> None:
    with ProcessExecutor(1) as executor:
        assert [answer for _, answer in executor.map(tasks.ignores_interrupt, [0])] == [True]


def test_leaving_the_iteration_ends_the_workers() -> None:
    with ProcessExecutor(1) as executor:
        pids = executor.map(tasks.worker_pid, list(range(50)))
        _, pid = next(pids)
        pids.close()
        _wait_until(lambda: not _is_alive(pid))


def test_killing_the_parent_leaves_no_orphan(tmp_path: Path) -> None:
    with _parent_of_two_workers(tmp_path) as parent:
        pids = _worker_pids(tmp_path)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        _wait_until(lambda: not any(map(_is_alive, pids)))


def test_an_interrupt_of_the_whole_group_ends_all_with_one_traceback(tmp_path: Path) -> None:
    with _parent_of_two_workers(tmp_path) as parent:
        pids = _worker_pids(tmp_path)
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
        _, errors = parent.communicate(timeout=60)
        assert not any(map(_is_alive, pids))
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_making_an_executor_by_name() -> None:
    assert make_executor("serial").worker_count == 1
    assert make_executor("processes", 3).worker_count == 3
    assert make_executor("processes").worker_count == usable_cores() >= 1
    with pytest.raises(InputError, match="unknown executor 'ray'"):
        make_executor("ray")
    with pytest.raises(InputError, match="0 workers"):
        make_executor("processes", 0)


@pytest.mark.parametrize(
    ("listed", "asked", "seen"),
    [(None, "auto", {"0", "1"}), ("7, 3", "cuda", {"7", "3"}), ("7,3", "cuda:1", {"7,3"}), ("7,3", "cpu", {"7,3"})],
)
def test_each_worker_sees_one_cuda_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str | None, asked: str, seen: set[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    with ProcessExecutor(2) as executor:
        list(executor.map(tasks.worker_pid, [0]))  # a worker that saw all devices
        assert executor.device(asked) == ("cuda" if asked == "auto" else asked)
        assert {answer for _, answer in executor.map(tasks.devices_when_two_are_there, [str(tmp_path)] * 2)} == seen
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == listed


def _parent_of_two_workers(folder: Path) -> "subprocess.Popen[str]":
    """A process in a group of its own, whose two workers leave their ids in the folder and work long."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, tasks.__file__, str(folder)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def _worker_pids(folder: Path) -> list[int]:
    _wait_until(lambda: len(list(folder.iterdir())) == 2)
    pids = [int(entry.name) for entry in folder.iterdir()]
    assert all(map(_is_alive, pids))
    return pids


def _is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def _wait_until(condition: Callable[[], bool], limit_seconds: float = 60) -> None:
    end = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < end, "the awaited condition never came"
        time.sleep(0.05)
