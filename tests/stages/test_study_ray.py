"""A study on a real local Ray cluster: a killed worker's cell is done again, with the serial run's predictions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tenfold.cli.app import main
from tests.tiny_data import make_tiny_workspace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra tenfold[ray] is not installed"),
]
CELLS = 12


def words(workspace: Path, *more: str) -> list[str]:
    settings = [
        "study.arms=[real_only, real_transforms]", "study.curve_arms=[]", "study.training_sizes=[2]",
        "study.synthetic_training_sizes=[2]", f"study.seeds={CELLS // 2}", "classify.max_train_steps=60",
        "classify.batch_size=8", "classify.device=cpu", "evaluate.primary.arm=real_transforms",
        "evaluate.primary.controls=[real_only]", "evaluate.bootstrap_draws=100",
    ]  # fmt: skip
    options = [word for setting in settings for word in ("--set", setting)]
    return ["study", "-w", str(workspace), *options, "--no-probe", "--quiet", *more]


def finished(workspace: Path) -> int:
    return len(list(workspace.glob("classifiers/*/run.json")))


def predictions(workspace: Path) -> pd.DataFrame:
    found = sorted(workspace.glob("classifiers/*/predictions.parquet"))
    assert len(found) == CELLS
    return pd.concat([pd.read_parquet(path) for path in found], ignore_index=True)


def test_a_killed_workers_cell_is_done_again(tmp_path: Path) -> None:
    serial = make_tiny_workspace(tmp_path / "serial", image_size_px=64).path
    assert main(words(serial, "--executor", "serial")) == 0
    tiny = make_tiny_workspace(tmp_path / "ray", image_size_px=64).path
    command = [sys.executable, "-m", "tenfold", *words(tiny, "--executor", "ray", "--workers", "2")]
    with subprocess.Popen(command) as driver:
        try:
            end = time.monotonic() + 240
            while finished(tiny) < 1:
                assert driver.poll() is None and time.monotonic() < end, "no cell was finished"
                time.sleep(0.05)
            children = psutil.Process(driver.pid).children(recursive=True)
            workers = [one for one in children if one.cmdline()[:1] and one.cmdline()[0].startswith("ray::_Worker")]
            os.kill(workers[0].pid, signal.SIGKILL)
            assert finished(tiny) < CELLS, "the run was over before the kill"
            assert driver.wait(300) == 0
        finally:
            driver.kill()
    pd.testing.assert_frame_equal(predictions(tiny), predictions(serial), check_exact=True)
