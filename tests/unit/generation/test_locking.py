"""Locks: one run in a folder, or disjoint shards, the other process named; a dead process's hold ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tenfold.core.errors import InputError, WorkspaceError
from tenfold.generation.locking import Shard, folder_lock

HOLD = """
import sys, time
from pathlib import Path
from tenfold.generation.locking import Shard, folder_lock
shard = None if sys.argv[2] == "whole" else Shard.parse(sys.argv[2])
with folder_lock(Path(sys.argv[1]), shard):
    print("held", flush=True)
    time.sleep(60)
"""


class Holder:
    """Another process that holds a folder."""

    def __init__(self, folder: Path, what: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", HOLD, folder, what], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "held\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "synthetic" / "drawn"


def test_a_second_run_is_refused_and_the_first_one_named(folder: Path) -> None:
    holder = Holder(folder, "whole")
    try:
        for shard in (None, Shard(1, 2)):
            with pytest.raises(WorkspaceError, match=f"process {holder.process.pid} on .* is drawing") as refused:
                folder_lock(folder, shard).__enter__()
            assert refused.value.where == str(folder)
    finally:
        holder.kill()
    with folder_lock(folder):
        pass


def test_shards_of_one_cut_run_side_by_side(folder: Path) -> None:
    holder = Holder(folder, "1/3")
    try:
        with folder_lock(folder, Shard(2, 3)) as own:
            with own.setup() as is_alone:
                assert not is_alone
            with pytest.raises(WorkspaceError, match=rf"process {os.getpid()} .*shard-2-of-3"):
                folder_lock(folder, Shard(2, 3)).__enter__()
        for other in (Shard(1, 3), Shard(2, 4), None):
            with pytest.raises(WorkspaceError, match=f"process {holder.process.pid}"):
                folder_lock(folder, other).__enter__()
    finally:
        holder.kill()
    with folder_lock(folder, Shard(2, 4)) as own, own.setup() as is_alone:
        assert is_alone


def test_a_failed_run_gives_the_folder_back(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), folder_lock(folder):
        raise ZeroDivisionError
    with folder_lock(folder):
        pass


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/", "-1/3", "1/3/5"])
def test_only_shards_that_exist_are_taken(text: str) -> None:
    with pytest.raises(InputError, match="there is no shard"):
        Shard.parse(text)
