"""Files: whole or not at all, and storage faults with a way out."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.errors import DataError, StageError, StorageError
from tenfold.core.files import (
    read_json,
    remove_temporary_files,
    write_atomic,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)


def test_a_file_appears_whole_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_text_atomic(path, "Größe\n")
    assert path.read_bytes() == "Größe\n".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["b.txt"]


def test_the_temporary_path_keeps_folder_and_suffix(tmp_path: Path) -> None:
    with write_atomic(tmp_path / "grid.png") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"x")
        assert not (tmp_path / "grid.png").exists()
    assert (tmp_path / "grid.png").read_bytes() == b"x"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_bytes_atomic(tmp_path / "a", b"old")
    with pytest.raises(KeyError), write_atomic(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise KeyError("stop")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"a": b"old"}


@pytest.mark.parametrize(
    ("code", "text"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "not permitted")],
)
def test_storage_faults_say_where_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, text: str
) -> None:
    def failing(source: object, target: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(StorageError, match=text) as caught:
        write_bytes_atomic(tmp_path / "a", b"x")
    assert caught.value.where == str(tmp_path / "a")
    assert caught.value.todo
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_told_by_another_library_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="disk is full"), write_atomic(tmp_path / "a.safetensors"):
        raise ValueError('Error while serializing: Os { code: 28, message: "No space left on device" }')


def test_other_os_errors_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), write_atomic(tmp_path / "a"):
        raise IsADirectoryError(errno.EISDIR, "is a folder")


def test_json_is_sorted_and_takes_numpy_and_paths(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "a.json", {"b": np.float32(0.5), "a": np.arange(2), "c": Path("x/y")})
    text = (tmp_path / "a.json").read_text()
    assert text.startswith('{\n  "a": [')
    assert read_json(tmp_path / "a.json") == {"a": [0, 1], "b": 0.5, "c": "x/y"} == json.loads(text)


def test_json_refuses_what_it_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="cannot be written as JSON"):
        write_json_atomic(tmp_path / "a.json", {"auc": float("nan")})
    with pytest.raises(TypeError, match="set is not a JSON type"):
        write_json_atomic(tmp_path / "a.json", {1, 2})
    assert list(tmp_path.iterdir()) == []


def test_reading_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match="not JSON") as caught:
        read_json(tmp_path / "a.json")
    assert caught.value.where == str(tmp_path / "a.json")


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".tmp-1-0.x.png").write_bytes(b"half")
    (tmp_path / "a" / "x.png").write_bytes(b"whole")
    assert remove_temporary_files(tmp_path) == 1
    assert [entry.name for entry in (tmp_path / "a").iterdir()] == ["x.png"]
