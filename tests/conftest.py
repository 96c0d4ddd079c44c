"""What every test stands on: no network, one thread, its own home for caches."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", MPLBACKEND="Agg")
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs deaf to Ctrl-C, and processes begun by a test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

from tenfold.core.workspace import Workspace  # noqa: E402  (after the environment of every library is set)
from tests.browser.review.needs import NO_BROWSER, NO_DRIVER  # noqa: E402


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection but to this machine itself fails the test that tries it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> Any:
        is_local = self.family == getattr(socket, "AF_UNIX", None) or address[0] in ("127.0.0.1", "::1", "localhost")
        if not is_local:
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A new, empty workspace with the root seed 7."""
    return Workspace.create(tmp_path / "workspace", name="test", root_seed=7, data_license="none")


def _unseen(config: pytest.Config) -> list[str]:
    """The tests that no browser ran, where this process reports."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = [] if reporter is None else reporter.stats.get("skipped", [])
    return sorted(report.nodeid for report in skipped if _wants_browser(str(report.longrepr)))


def _wants_browser(reason: str) -> bool:
    return NO_BROWSER in reason or NO_DRIVER in reason


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Name the tests that want a browser which is not there."""
    unseen = _unseen(config)
    if unseen:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        reporter.section(f"{len(unseen)} tests did not run: {NO_BROWSER}, or {NO_DRIVER}")
        for name in unseen:
            reporter.line(name)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """On a build machine (TENFOLD_NEEDS_BROWSER=1) tests that no browser ran count as failed."""
    if os.environ.get("TENFOLD_NEEDS_BROWSER") == "1" and _unseen(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
