"""A build machine that cannot lead a browser fails, whatever it lacks: tests that were not run are not green."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ONE_FILE = "tests/browser/review/test_review_time.py"


@pytest.mark.parametrize("lack", ["package", "program"])
def test_browser_tests_that_did_not_run_are_named_and_fail_the_build(tmp_path: Path, lack: str) -> None:
    changed = {"TENFOLD_NEEDS_BROWSER": "1", "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    if lack == "package":
        (tmp_path / "playwright.py").write_text("raise ModuleNotFoundError('playwright')")
    else:
        changed["PATH"] = str(tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", ONE_FILE]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | changed, capture_output=True, text=True, check=False)
    assert "did not run" in ended.stdout and ONE_FILE in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == 1
