"""A workspace: the folder that holds one project's data, models and results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError, WorkspaceError
from tenfold.core.files import read_json, remove_temporary_files, storage_errors, write_json_atomic

FORMAT_VERSION = 1

_RECORD = "workspace.json"
_LOCK = ".lock"
_LOCK_OWNER = ".lock-owner.json"


@dataclass(frozen=True)
class Workspace:
    """`path` is absolute; `root_seed` is in [0, 2**63); `data_license` is carried into cards and exports."""

    path: Path
    name: str
    root_seed: int
    data_license: str
    format_version: int = FORMAT_VERSION

    @classmethod
    def create(cls, path: str | Path, *, name: str, root_seed: int, data_license: str) -> Workspace:
        """Make a new workspace. Raises WorkspaceError when the folder holds one or holds anything else."""
        path = _absolute(path)
        cls.check_free(path)
        if not name or not 0 <= root_seed < 2**63:
            raise WorkspaceError(
                f"a workspace cannot have the name {name!r} and the seed {root_seed}",
                where=str(path),
                expected="a name, and a seed from 0 to 2**63 - 1",
            )
        workspace = cls(path, name, root_seed, data_license)
        record = {"format_version": FORMAT_VERSION, "name": name, "root_seed": root_seed, "data_license": data_license}
        write_json_atomic(path / _RECORD, record)
        return workspace

    @classmethod
    def check_free(cls, path: str | Path) -> None:
        """Raise WorkspaceError when no workspace can be made at `path`: there is one, or anything else."""
        path = _absolute(path)
        if (path / _RECORD).exists():
            raise WorkspaceError(
                "the folder already holds a workspace", where=str(path), todo="Open it, or choose another folder."
            )
        if path.exists() and not path.is_dir():
            raise WorkspaceError("the workspace's path is a file", where=str(path), expected="a new or empty folder")
        if path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir()):
            raise WorkspaceError(
                "the folder is neither empty nor a workspace",
                where=str(path),
                expected="a new or empty folder: stages remove and rewrite files in their workspace",
                todo="Choose another folder with --workspace.",
            )

    @classmethod
    def open(cls, path: str | Path) -> Workspace:
        """Open an existing workspace. Raises WorkspaceError when there is none or it has another version."""
        path = _absolute(path)
        if not (path / _RECORD).is_file():
            raise WorkspaceError(
                "there is no workspace here",
                where=str(path),
                expected=f"a folder with {_RECORD}",
                todo="Name another folder, or begin one: `tenfold data import SOURCE --out DIR`, "
                "`tenfold run RECIPE --workspace DIR`.",
            )
        try:
            record = read_json(path / _RECORD)
        except DataError as error:
            raise _damaged(path, error.what) from error
        if not isinstance(record, dict):
            raise _damaged(path, "it is not a JSON object")
        version = record.get("format_version")
        if version != FORMAT_VERSION:
            raise WorkspaceError(
                f"the workspace has format version {version!r}",
                where=str(path / _RECORD),
                expected=f"format version {FORMAT_VERSION}, the one this Tenfold reads and writes",
                todo="Use the Tenfold that made it, or start a new workspace in another folder. Nothing was changed.",
            )
        return cls(
            path,
            _field(record, "name", str, path),
            _field(record, "root_seed", int, path),
            _field(record, "data_license", str, path),
        )

    @classmethod
    def open_or_create(cls, path: str | Path, *, name: str, root_seed: int, data_license: str) -> Workspace:
        """Open the workspace, or make it. Raises WorkspaceError when it exists with another name, seed or license."""
        if not (_absolute(path) / _RECORD).exists():
            return cls.create(path, name=name, root_seed=root_seed, data_license=data_license)
        workspace = cls.open(path)
        wanted = {"name": name, "root_seed": root_seed, "data_license": data_license}
        found = {key: getattr(workspace, key) for key in wanted}
        if found != wanted:
            differing = [key for key in wanted if wanted[key] != found[key]]
            raise WorkspaceError(
                "the workspace was made with " + ", ".join(f"{key} {found[key]!r}" for key in differing),
                where=str(workspace.path / _RECORD),
                expected=", ".join(f"{key} {wanted[key]!r}" for key in differing),
                todo="Run with the workspace's own values, or choose another folder with --workspace.",
            )
        return workspace

    def resolve(self, relative: str | Path) -> Path:
        """The absolute path of a path in the workspace. Raises WorkspaceError when it leaves the workspace."""
        path = Path(os.path.normpath(self.path / relative))
        if not path.is_relative_to(self.path):
            raise WorkspaceError(
                f"the path {str(relative)!r} leaves the workspace",
                where=str(self.path),
                expected="a path relative to the workspace, without `..`",
            )
        return path

    def relative(self, path: str | Path) -> str:
        """The path relative to the workspace, with forward slashes. Raises WorkspaceError when it is outside."""
        return self.resolve(path).relative_to(self.path).as_posix()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the workspace for this process alone; leftovers of killed writers are removed on entry.

        Raises WorkspaceError at once, naming the holder, when another process holds it. The lock ends with its
        process, however that ends.
        """
        with hold_folder(self.path, "workspace", "--workspace"):
            yield


@contextmanager
def hold_folder(folder: Path, kind: str, option: str) -> Iterator[None]:
    """Hold a folder for this process alone, as `Workspace.lock` does; messages name its `kind` and the `option` that
    chooses another one."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / _LOCK, timeout=0)
    owner = folder / _LOCK_OWNER
    with storage_errors(folder):
        try:
            lock.acquire()
        except Timeout as error:
            raise WorkspaceError(
                f"the {kind} is in use by process {_owner_pid(owner)}",
                where=str(folder),
                expected=f"one run in a {kind} at a time",
                todo=f"Wait until it has ended and run the same command again, or choose another {option}.",
            ) from error
    try:
        write_json_atomic(owner, {"pid": os.getpid()})
        remove_temporary_files(folder)
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def holds_workspace(folder: str | Path) -> bool:
    """Whether a folder is a workspace's: what lies in it was made by Tenfold and is no source of images."""
    record = Path(folder) / _RECORD
    try:
        content = read_json(record) if record.is_file() else None
    except (DataError, OSError):
        return False
    return isinstance(content, dict) and {"format_version", "root_seed"} <= content.keys()


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))


def _field(record: dict[str, Any], key: str, kind: type, path: Path) -> Any:
    value = record.get(key)
    if not isinstance(value, kind):
        raise _damaged(path, f"{key} is {value!r}, expected {kind.__name__}")
    return value


def _damaged(path: Path, detail: str) -> WorkspaceError:
    return WorkspaceError(
        f"the workspace's record is damaged: {detail}",
        where=str(path / _RECORD),
        expected="the file as Tenfold wrote it",
        todo="Restore it from a copy, or start a new workspace in another folder.",
    )


def _owner_pid(owner: Path) -> str:
    try:
        return str(read_json(owner)["pid"])
    except (DataError, KeyError, TypeError):
        return "(not yet known)"
