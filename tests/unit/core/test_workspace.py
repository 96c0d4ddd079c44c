"""Workspaces: made once, opened by their own version and seed, held by one process."""

import subprocess
import sys
from pathlib import Path

import pytest

from tenfold.core.errors import WorkspaceError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.workspace import FORMAT_VERSION, Workspace

_HOLD = """
import sys
from tenfold.core.workspace import Workspace
with Workspace.open(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_create_and_open_agree(tmp_path: Path) -> None:
    made = Workspace.create(tmp_path / "w", name="derm", root_seed=2**63 - 1, data_license="CC-BY-4.0")
    assert Workspace.open(tmp_path / "w") == made
    assert read_json(tmp_path / "w" / "workspace.json") == {
        "format_version": FORMAT_VERSION,
        "name": "derm",
        "root_seed": 2**63 - 1,
        "data_license": "CC-BY-4.0",
    }


def test_create_refuses_a_folder_with_anything_in_it(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match="already holds a workspace"):
        Workspace.create(workspace.path, name="test", root_seed=7, data_license="none")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(WorkspaceError, match="neither empty nor a workspace"):
        Workspace.create(tmp_path / "photos", name="test", root_seed=7, data_license="none")
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace.create(tmp_path / "photos" / "a.jpg", name="test", root_seed=7, data_license="none")
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"x"


@pytest.mark.parametrize(("name", "root_seed"), [("", 1), ("a", -1), ("a", 2**63)])
def test_create_refuses_an_impossible_name_or_seed(tmp_path: Path, name: str, root_seed: int) -> None:
    with pytest.raises(WorkspaceError, match="cannot have the name"):
        Workspace.create(tmp_path / "w", name=name, root_seed=root_seed, data_license="none")


def test_open_says_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no workspace here"):
        Workspace.open(tmp_path)


def test_another_version_is_refused_with_both_versions_named(workspace: Workspace) -> None:
    record = workspace.path / "workspace.json"
    write_json_atomic(record, {**read_json(record), "format_version": 99})
    with pytest.raises(WorkspaceError, match="99") as caught:
        Workspace.open(workspace.path)
    assert "version 1" in caught.value.expected
    assert "Tenfold that made it" in caught.value.todo


@pytest.mark.parametrize("content", ["{", "[]", '{"format_version": 1, "name": 5}'])
def test_a_damaged_record_is_refused(workspace: Workspace, content: str) -> None:
    (workspace.path / "workspace.json").write_text(content)
    with pytest.raises(WorkspaceError, match="damaged"):
        Workspace.open(workspace.path)


def test_open_or_create_keeps_to_the_first_values(tmp_path: Path) -> None:
    values = {"name": "a", "root_seed": 1, "data_license": "none"}
    made = Workspace.open_or_create(tmp_path / "w", **values)  # type: ignore[arg-type]
    assert Workspace.open_or_create(tmp_path / "w", **values) == made  # type: ignore[arg-type]
    with pytest.raises(WorkspaceError, match="made with root_seed 1") as caught:
        Workspace.open_or_create(tmp_path / "w", name="a", root_seed=2, data_license="none")
    assert caught.value.expected == "root_seed 2"


def test_resolve_and_relative_stay_inside(workspace: Workspace) -> None:
    path = workspace.resolve("data/../models/a")
    assert path == workspace.path / "models" / "a"
    assert workspace.relative(path) == workspace.relative("models/a") == "models/a"
    for leaving in ("..", "../x", "data/../../x", "/etc/passwd"):
        with pytest.raises(WorkspaceError, match="leaves the workspace"):
            workspace.resolve(leaving)


def test_a_second_process_is_told_who_holds_the_workspace(workspace: Workspace) -> None:
    command = [sys.executable, "-c", _HOLD, str(workspace.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceError, match=f"in use by process {holder.pid}") as caught, workspace.lock():
            pass
        assert "Wait" in caught.value.todo
        holder.kill()
        holder.wait()
    with workspace.lock():  # the lock ended with its process
        pass


def test_the_lock_cleans_up_and_can_be_taken_again(workspace: Workspace) -> None:
    leftover = workspace.path / "data" / ".tmp-1-0.a.png"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    for _ in range(2):
        with workspace.lock():
            assert not leftover.exists()
            with pytest.raises(WorkspaceError, match="in use"), workspace.lock():
                pass
