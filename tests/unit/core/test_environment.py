"""Environment, device, threads and progress: what a run records and how it is limited."""

import os
import subprocess
import sys

import pytest
import torch

from tenfold.core.device import limit_threads, limited_threads, resolve_device
from tenfold.core.environment import describe_environment, peak_memory_bytes
from tenfold.core.errors import InputError
from tenfold.core.progress import NullProgress, Progress


def test_the_environment_names_versions_device_and_threads() -> None:
    found = describe_environment("cpu")
    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"] == torch.__version__
    assert (found["device"], found["dtype"], found["threads"]) == ("cpu", "float32", torch.get_num_threads())
    assert set(found) >= {"tenfold", "python", "platform", "diffusers", "transformers", "timm", "numpy", "commit"}
    assert found["commit"] is None or len(found["commit"].removesuffix("-dirty")) == 40


def test_peak_memory_is_of_this_process() -> None:
    assert 10_000_000 < peak_memory_bytes() < 1 << 40


def test_devices_are_resolved_or_refused() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="unknown device 'abacus'"):
        resolve_device("abacus")
    with pytest.raises(InputError, match="not on this machine"):
        resolve_device("cuda:77")


def test_threads_are_limited_for_a_block_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    before = torch.get_num_threads()
    with limited_threads(1):
        assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == (1, "1", "1")
    assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (before, "4")
    assert "MKL_NUM_THREADS" not in os.environ


def test_limit_threads_reaches_libraries_loaded_later() -> None:
    load = "from tenfold.core.device import limit_threads; limit_threads(1); import torch"
    code = f"{load}; print(torch.get_num_threads())"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "1\n"
    before = torch.get_num_threads()
    limit_threads(before)
    assert torch.get_num_threads() == before


def test_null_progress_takes_everything_and_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress: Progress = NullProgress()
    with progress.task("work", total=2) as task:
        task.advance()
        task.advance(1)
    progress.log("a line")
    assert capsys.readouterr() == ("", "")
