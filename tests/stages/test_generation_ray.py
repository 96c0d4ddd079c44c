"""Generation on a real local Ray cluster: the serial run's bytes, whatever worker or driver is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tenfold.cli.app import main
from tenfold.core.hashing import sha256_file
from tenfold.core.workspace import Workspace
from tests.tiny_data import make_tiny_workspace
from tests.tiny_models import make_tiny_stable_diffusion

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra tenfold[ray] is not installed"),
]
IMAGES = 96


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    base = make_tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "tiny")
    return [
        "generate", "--name", "drawn", "--checkpoint", str(base), "--prompt", "mole=a mole", "--prompt", "rash=a rash",
        "--total", str(IMAGES), "--set", "num_inference_steps=40", "--set", "batch_size=2", "--quiet",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def serial(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    workspace = make_tiny_workspace(tmp_path_factory.mktemp("serial") / "workspace")
    assert main([*words, "-w", str(workspace.path), "--executor", "serial"]) == 0
    return _hashes(workspace)


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    return make_tiny_workspace(tmp_path / "workspace")


@pytest.fixture
def driver(words: list[str], tiny: Workspace) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tenfold", *words, "-w", str(tiny.path), "--executor", "ray", "--workers", "2"]
    started = subprocess.Popen(command)
    yield started
    if started.poll() is None:
        started.kill()
        started.wait()


def test_a_killed_worker_changes_nothing(
    driver: subprocess.Popen[bytes], tiny: Workspace, serial: dict[str, str]
) -> None:
    _wait(lambda: _parts(tiny) >= 2)
    workers = _workers(driver)
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)
    assert _parts(tiny) < IMAGES // 2, "the run was over before the kill"
    _wait(lambda: any(worker not in workers for worker in _workers(driver)))
    assert driver.wait(300) == 0
    assert _hashes(tiny) == serial


def test_a_serial_run_goes_on_where_a_killed_driver_stopped(
    driver: subprocess.Popen[bytes], tiny: Workspace, serial: dict[str, str], words: list[str]
) -> None:
    _wait(lambda: _parts(tiny) >= 2)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert 2 <= _parts(tiny) < IMAGES // 2
    assert main([*words, "-w", str(tiny.path), "--executor", "serial"]) == 0
    assert _hashes(tiny) == serial


def _parts(workspace: Workspace) -> int:
    return len(list((workspace.path / "synthetic/drawn/parts").glob("*.json")))


def _workers(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::_Worker"):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _hashes(workspace: Workspace) -> dict[str, str]:
    """By name; without files that hold times."""
    folder = workspace.path / "synthetic/drawn"
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "parts" and path.name not in ("run.json", "gallery.html")
    }


def _wait(is_true: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
