"""Locks of a set's folder: one run at a time, or the shards of one plan side by side, each naming its process."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from tenfold.core.errors import DataError, InputError, WorkspaceError
from tenfold.core.files import read_json, storage_errors, write_json_atomic

LOCKS = ".locks"
_SETUP = "setup"
_WHOLE = "whole"


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `count` into which a plan is cut for as many jobs.

    >>> Shard.parse("2/8")
    Shard(number=2, count=8)
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise _no_shard(f"{self.number}/{self.count}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that ``i/N`` names. Raises InputError."""
        number, _, count = text.partition("/")
        if not number.isdecimal() or not count.isdecimal():
            raise _no_shard(text)
        return cls(int(number), int(count))

    @property
    def name(self) -> str:
        """As a file name."""
        return f"shard-{self.number}-of-{self.count}"


class FolderLock:
    """This process's hold on a set's folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._own = FileLock(folder / f"{name}.lock", timeout=0)

    @contextmanager
    def setup(self) -> Iterator[bool]:
        """Hold what all shards share (plan, markers, manifest) alone, waiting for the others.

        Yields whether no other process works in the folder now.
        """
        with FileLock(self._folder / f"{_SETUP}.lock"):
            yield not self._others()

    def claim(self) -> None:
        """Take the folder, or the shard's part of it. Raises WorkspaceError that names who holds it."""
        with FileLock(self._folder / f"{_SETUP}.lock"):
            for name in self._others():
                if name == self._name or not _are_disjoint(name, self._name):
                    raise self._taken(name)
            try:
                self._own.acquire()
            except Timeout as error:  # taken between the look and the grasp, by a process of an older setup
                raise self._taken(self._name) from error
            record = {"pid": os.getpid(), "host": platform.node(), "started_at": _now(), "work": self._name}
            write_json_atomic(self._folder / f"{self._name}.json", record)

    def release(self) -> None:
        """Give it back; a process that dies gives it back by dying."""
        (self._folder / f"{self._name}.json").unlink(missing_ok=True)
        self._own.release()

    def _others(self) -> list[str]:
        """Names of locks that other processes hold; what dead ones left is removed."""
        held = []
        for path in sorted(self._folder.glob("*.lock")):
            name = path.stem
            if name == _SETUP or (name == self._name and self._own.is_locked):
                continue
            if _is_held(path):
                held.append(name)
            else:
                path.with_suffix(".json").unlink(missing_ok=True)
        return held

    def _taken(self, name: str) -> WorkspaceError:
        return WorkspaceError(
            f"{_owner(self._folder / f'{name}.json')} is drawing into this folder",
            where=str(self._folder.parent.parent / self._folder.name),
            expected="one run at a time, or shards i/N of the same N with another i each",
            todo="Wait until it has ended and run the same command again, or give the new set another name.",
        )


@contextmanager
def folder_lock(folder: Path, shard: Shard | None = None) -> Iterator[FolderLock]:
    """Hold `folder` for this process while it draws: all of it, or one shard of N beside the others.

    The kernel frees the lock of a process however that ends, also on a file system that several machines share when it
    passes locks on (NFS 4, Lustre with flock). Raises WorkspaceError naming the other process, its host and its start.
    """
    locks = folder.parent / LOCKS / folder.name  # beside it: what lies inside is removed when settings change
    with storage_errors(folder):
        locks.mkdir(parents=True, exist_ok=True)
        held = FolderLock(locks, _WHOLE if shard is None else shard.name)
        held.claim()
    try:
        yield held
    finally:
        held.release()


def _is_held(path: Path) -> bool:
    lock: BaseFileLock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


def _are_disjoint(one: str, other: str) -> bool:
    """Whether both are shards of the same number of shards, and not the same one."""
    if _WHOLE in (one, other):
        return False
    return one != other and one.rpartition("-")[2] == other.rpartition("-")[2]


def _owner(record: Path) -> str:
    try:
        found = read_json(record)
        return f"process {found['pid']} on {found['host']} ({found['work']}, since {found['started_at']})"
    except (DataError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _no_shard(text: str) -> InputError:
    return InputError(f"there is no shard {text!r}", expected="i/N with i from 1 to N, such as 3/8")
