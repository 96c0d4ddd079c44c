"""The store under kill -9, two processes, a full or read-only disk, a lock, a moved file and files of others."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.core.errors import DataError, StorageError
from tenfold.review import database
from tenfold.review.records import Decision
from tenfold.review.store import Store
from tests.review_store import decide, invited, make_items, make_store, whole_queue

ROOT = Path(__file__).parents[3]

WRITER = """
import sys
from tenfold.review.records import Decision
from tenfold.review.store import Store
store = Store.open(sys.argv[1])
reviewer = int(sys.argv[2])
for slot in store.queue(reviewer, 0, 10_000):
    if slot.verdict == "none":
        store.serve(reviewer, slot.opaque)
        store.add_decision(reviewer, Decision(sys.argv[3] + slot.opaque, slot.opaque, "accept"))
        print(sys.argv[3] + slot.opaque, flush=True)
"""


def begin_writer(store_path: Path, reviewer: int, mark: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store_path), str(reviewer), mark],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_what_was_acknowledged_outlives_kill_9(tmp_path: Path) -> None:
    """Killed twice in the midst of writing; each time everything told is there, and the rest goes on."""
    with make_store(tmp_path, 2000) as store:
        [ann] = invited(store, "Ann")
    told: list[str] = []
    for turn in ("a", "b"):
        writer = begin_writer(store.path, ann, turn)
        assert writer.stdout is not None
        told += [writer.stdout.readline().strip() for _ in range(25)]
        os.kill(writer.pid, signal.SIGKILL)
        told += [line.strip() for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        with Store.open(store.path) as again:
            kept = [judgement.client_id for judgement in again.decisions()]
            assert set(told) <= set(kept) and len(kept) == len(set(kept))
            # At most the one that was under way in each turn is there without having been told.
            assert len(kept) - len(told) <= len({name[0] for name in told})
            assert len(kept) < again.progress(ann).total
            assert again.progress(ann).n_decided == len(kept)
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    with make_store(tmp_path, 120) as store:
        reviewers = invited(store, "Ann", "Ben")
        writers = [begin_writer(store.path, reviewer, f"{reviewer}-") for reviewer in reviewers]
        told = [writer.communicate()[0].split() for writer in writers]
        assert [writer.returncode for writer in writers] == [0, 0]
        assert sorted(name for names in told for name in names) == sorted(
            judgement.client_id for judgement in store.decisions()
        )
        assert all(store.progress(reviewer).n_open == 0 for reviewer in reviewers)


def test_two_processes_make_the_store_at_once(tmp_path: Path) -> None:
    path = tmp_path / "review" / "review.sqlite"
    script = (
        "import sys; from tenfold.review.store import Store; print(Store.open_or_create(sys.argv[1])._secret.hex())"
    )
    makers = [
        subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(3)
    ]
    secrets = {maker.communicate()[0].strip() for maker in makers}
    assert len(secrets) == 1 and len(secrets.pop()) == 64


def test_a_full_disk_saves_nothing_and_loses_nothing(tmp_path: Path) -> None:
    with make_store(tmp_path, 30) as store:
        [ann] = invited(store, "Ann")
        slots = whole_queue(store, ann)
        decide(store, ann, slots[:5])
        store.mark_served([(ann, slot.opaque) for slot in slots])
        with store._database.writing() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")
        large = Decision("large", slots[6].opaque, "reject", comment="x" * 100_000)
        with pytest.raises(StorageError, match=r"^not saved: the disk is full"):
            store.add_decisions([(ann, Decision("small", slots[5].opaque, "accept")), (ann, large)])
        assert store.progress(ann).n_decided == 5
        # Space again: the same send goes through.
        assert store.add_decision(ann, large).is_new and store.progress(ann).n_decided == 6


LIMITED = """
import resource, signal, sys
from tenfold.core.errors import StorageError
from tenfold.review.records import Decision
from tenfold.review.store import Store
store = Store.open(sys.argv[1])
slots = store.queue(1, 0, 30)
store.mark_served([(1, slot.opaque) for slot in slots])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
saved = 0
try:
    for slot in slots:
        store.add_decision(1, Decision(slot.opaque, slot.opaque, "accept", comment="x" * 20_000))
        saved += 1
except StorageError as error:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    stored = len(store.decisions())
    store.add_decision(1, Decision("later", slots[-1].opaque, "accept"))
    print(saved, stored, error.what)
"""


def test_a_file_that_cannot_grow_is_told_and_used_again_afterwards(tmp_path: Path) -> None:
    with make_store(tmp_path, 30) as store:
        invited(store, "Ann")
        store_path = store.path
    done = subprocess.run([sys.executable, "-c", LIMITED, str(store_path)], capture_output=True, text=True, cwd=ROOT)
    saved, stored, what = done.stdout.split(maxsplit=2)
    assert 0 < int(saved) == int(stored) < 30, done.stderr
    assert what.startswith("not saved: ")
    with Store.open(store_path) as store:
        assert len(store.decisions()) == int(saved) + 1


READ_ONLY = """
import os, sys
from tenfold.core.errors import StorageError
from tenfold.review.records import Decision
from tenfold.review.store import Store
Store.open(sys.argv[1]).close()  # whatever Python still has to load, it loads now
for suffix in ("", "-wal", "-shm"):
    os.chmod(sys.argv[1] + suffix, 0o444)
if os.geteuid() == 0:  # root may write whatever it likes
    os.setegid(65534)
    os.seteuid(65534)
try:
    store = Store.open(sys.argv[1])
    print("opened", len(store.queue(1, 0, 5)))
    store.add_decision(1, Decision("c1", sys.argv[2], "accept"))
except StorageError as error:
    print(error.what)
"""


def test_a_read_only_database_is_told() -> None:
    with tempfile.TemporaryDirectory() as name, make_store(Path(name), 10) as store:
        os.chmod(name, 0o755)
        [ann] = invited(store, "Ann")
        opaque = store.queue(ann, 0, 1)[0].opaque
        store.serve(ann, opaque)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(store.path), opaque], capture_output=True, text=True, cwd=ROOT
        )
        assert re.search(r"^not saved: the database is read-only", done.stdout, re.M), done.stdout + done.stderr
        assert store.decisions() == []


def test_another_program_that_holds_the_database_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with make_store(tmp_path, 10) as made:
        [ann] = invited(made, "Ann")
    with Store.open(made.path) as store:
        slot = store.queue(ann, 0, 1)[0]
        store.serve(ann, slot.opaque)
        holder = sqlite3.connect(store.path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"^not saved: another program holds the database"):
            store.add_decision(ann, Decision("c1", slot.opaque, "accept"))
        assert store.progress(ann).n_decided == 0  # reading goes on
        holder.close()
        assert store.add_decision(ann, Decision("c1", slot.opaque, "accept")).is_new


@pytest.mark.parametrize("replace", [True, False])
def test_a_database_that_was_moved_away_takes_no_more_decisions(tmp_path: Path, replace: bool) -> None:
    with make_store(tmp_path, 10) as store:
        [ann] = invited(store, "Ann")
        slot = store.queue(ann, 0, 1)[0]
        store.serve(ann, slot.opaque)
        store.path.rename(tmp_path / "elsewhere.sqlite")
        if replace:
            store.path.write_bytes(b"")
        with pytest.raises(StorageError, match=r"^not saved: the database was moved, removed or replaced"):
            store.add_decision(ann, Decision("c1", slot.opaque, "accept"))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("no database at all\n" * 100)


def _foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()


def _cut(path: Path) -> None:
    with make_store(path.parent, 200):
        pass
    path.write_bytes(path.read_bytes()[:9000])


@pytest.mark.parametrize(
    ("make", "error", "what"),
    [
        (None, DataError, "there is no review here yet"),
        (_empty, DataError, "not a review's"),
        (_foreign, DataError, "not a review's"),
        (_text, StorageError, "the file is no database"),
        (_cut, StorageError, "the database is damaged"),
    ],
)
def test_what_is_no_store_is_not_opened(
    tmp_path: Path, make: Callable[[Path], None] | None, error: type[Exception], what: str
) -> None:
    path = tmp_path / "review.sqlite"
    if make is not None:
        make(path)
    with pytest.raises(error, match=what):
        Store.open(path).items()


def test_a_foreign_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "review.sqlite"
    _foreign(path)
    with pytest.raises(DataError, match="not a review's"):
        Store.open_or_create(path)
    connection = sqlite3.connect(path)
    assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["recipes"]
    connection.close()


def test_a_folder_that_is_a_file_and_a_closed_store_are_told(tmp_path: Path) -> None:
    (tmp_path / "review").write_text("")
    with pytest.raises(StorageError, match="a file lies where a folder is to be made"):
        Store.open_or_create(tmp_path / "review" / "review.sqlite")
    store = make_store(tmp_path, 3)
    store.close()
    with pytest.raises(StorageError, match="the review's store is closed"):
        store.fill(make_items(4), store.settings())  # type: ignore[arg-type]


def test_every_commit_is_flushed(tmp_path: Path) -> None:
    """Without these settings a power cut takes acknowledged decisions."""
    with make_store(tmp_path, 3) as store, store._database.writing() as connection:
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        assert found == ["wal", 2]
        assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1


def test_a_writer_holds_the_lock_before_it_reads(tmp_path: Path) -> None:
    """Else two processes read the same state, and one of them is refused when it comes to write."""
    with make_store(tmp_path, 3) as store:
        other = sqlite3.connect(store.path, isolation_level=None, timeout=0.0)
        with store._database.writing(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")
        other.close()
