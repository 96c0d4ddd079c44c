"""The Ray executor, on a real local cluster: the same answers, dead workers replaced, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tenfold.core.errors import DataError, InputError, StageError
from tenfold.core.executor import SerialExecutor
from tenfold.distributed.choice import choose_executor
from tenfold.distributed.ray_executor import RayExecutor, _Worker
from tests.unit.core import executor_tasks
from tests.unit.distributed import ray_tasks

# Found, not imported: the executor sets what Ray reads at its import.
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the extra tenfold[ray] is not installed")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def executor() -> Iterator[RayExecutor]:
    with RayExecutor(workers=2, shared_folder=ROOT) as started:
        yield started


def test_answers_have_the_bits_of_a_serial_run(executor: RayExecutor) -> None:
    with SerialExecutor() as serial:
        expected = dict(serial.map(executor_tasks.noise_sum, [1, 2, 3]))
    assert dict(executor.map(executor_tasks.noise_sum, [1, 2, 3])) == expected
    assert list(executor.map(executor_tasks.noise_sum, [])) == []


def test_workers_stay_warm_on_one_thread(executor: RayExecutor) -> None:
    first = dict(executor.map(ray_tasks.environment, list(range(6)))).values()
    second = dict(executor.map(ray_tasks.environment, list(range(6)))).values()
    assert {threads for threads, _ in [*first, *second]} == {"1"}
    assert len({pid for _, pid in [*first, *second]}) <= 2


def test_a_killed_workers_task_is_done_again_by_another_and_no_other_twice(
    executor: RayExecutor, tmp_path: Path
) -> None:
    answers = dict(executor.map(ray_tasks.die_once, [(str(tmp_path), number) for number in range(6)]))
    assert answers == {number: number * number for number in range(6)}
    runs = {number: (tmp_path / f"task-{number}").read_text().splitlines() for number in range(6)}
    assert {number: len(pids) for number, pids in runs.items()} == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
    assert len(set(runs[1])) == 2


def test_a_task_that_kills_every_worker_is_a_clear_error(executor: RayExecutor) -> None:
    with pytest.raises(StageError, match="3 workers died over the same task") as caught:
        list(executor.map(executor_tasks.die_on_one, [0, 1, 2]))
    assert "fewer --workers" in caught.value.todo
    assert dict(executor.map(executor_tasks.worker_pid, [0])).keys() == {0}  # the next map works again


def test_a_tasks_error_arrives_as_it_is(executor: RayExecutor) -> None:
    with pytest.raises(DataError) as caught:
        list(executor.map(executor_tasks.fail_on_two, [2, 3]))
    assert (caught.value.what, caught.value.where, caught.value.todo) == ("task two is bad", "row 2", "Mend it.")
    with pytest.raises(StageError, match="nothing to share"):
        list(executor.map(ray_tasks.fail_plainly, [1]))


def test_the_local_cluster_listens_on_the_loopback_interface_only(executor: RayExecutor) -> None:
    list(executor.map(executor_tasks.worker_pid, [0]))
    listening = [
        connection.laddr.ip
        for process in psutil.Process().children(recursive=True)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 4
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_the_device_is_decided_by_the_workers(executor: RayExecutor) -> None:
    assert executor.device("cpu") == "cpu"
    if not executor._gpus:
        assert executor.device("auto") == "cpu"


def test_a_second_cluster_in_one_process_is_refused(executor: RayExecutor) -> None:
    with pytest.raises(StageError, match="already uses a Ray cluster"):
        RayExecutor(workers=1)


def test_a_node_that_does_not_see_the_workspace_says_so(tmp_path: Path) -> None:
    worker = _Worker(str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="does not see the workspace") as caught:
        worker.work(executor_tasks.worker_pid, 0)
    assert caught.value.where == str(tmp_path / "elsewhere")


def test_an_address_without_a_cluster_is_told_at_once() -> None:
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"):
        with pytest.raises(InputError, match="no Ray cluster answers") as caught:
            RayExecutor(address)
        assert caught.value.where == address


def test_executors_are_chosen_by_name() -> None:
    assert choose_executor("serial").worker_count == 1
    with pytest.raises(InputError, match="--address belongs to --executor ray"):
        choose_executor("processes", 2, "127.0.0.1:6379")
    with pytest.raises(InputError) as caught:
        choose_executor("threads")
    assert caught.value.expected == "serial, processes or ray"
    with pytest.raises(InputError, match="0 workers"):
        choose_executor("ray", 0)


@pytest.mark.slow
def test_nothing_outlives_a_killed_driver(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.unit.distributed.ray_tasks", str(tmp_path)]
    driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(lambda: len(list(tmp_path.iterdir())) == 2)
        descendants = psutil.Process(driver.pid).children(recursive=True)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    workers = [psutil.Process(int(path.name)) for path in tmp_path.iterdir() if psutil.pid_exists(int(path.name))]
    _wait(lambda: not any(_is_alive(process) for process in [*descendants, *workers]))


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _wait(is_true: object, seconds: float = 120) -> None:
    assert callable(is_true)
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.2)
