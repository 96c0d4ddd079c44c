"""A workspace in use, of another version or of another run: refused with what to do, and left as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tenfold.cli.app import main
from tenfold.core.workspace import Workspace


def refused(workspace: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert main(["demo", "--mini", "--json", "--executor", "serial", "--workspace", str(workspace)]) == 2
    error: dict[str, str] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return error


def make(path: Path, seed: int = 0) -> Workspace:
    return Workspace.create(path, name="demo", root_seed=seed, data_license="CC0-1.0")


def test_two_runs_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make(tmp_path / "ws")
    with workspace.lock():
        error = refused(workspace.path, capsys)
    assert error["what"] == f"the workspace is in use by process {os.getpid()}"
    assert "--workspace" in error["todo"]
    assert not (workspace.path / "data").exists()


def test_another_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make(tmp_path / "ws")
    record = workspace.path / "workspace.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "format_version": 99}))
    before = record.read_text()
    assert "99" in refused(workspace.path, capsys)["what"]
    assert record.read_text() == before


def test_another_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make(tmp_path / "ws", seed=5)
    assert "root_seed 5" in refused(workspace.path, capsys)["what"]


def test_a_folder_that_holds_other_things(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    assert "neither empty nor a workspace" in refused(tmp_path, capsys)["what"]
    assert (tmp_path / "holiday.jpg").read_bytes() == b"x"


def test_a_report_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--json", "--workspace", str(tmp_path)]) == 2
    assert "no workspace" in json.loads(capsys.readouterr().out)["what"]
