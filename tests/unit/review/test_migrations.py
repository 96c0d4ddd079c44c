"""The database's versions: created whole, migrated with a copy in one transaction, newer ones refused."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from tenfold.core.errors import StorageError, WorkspaceError
from tenfold.review import database
from tenfold.review.store import Store
from tests.review_store import decide, invited, make_store

NEXT = {
    database.VERSION + 1: "-- a word;\nALTER TABLE reviewer ADD COLUMN clinic TEXT; CREATE TABLE extra (id INTEGER);",
    database.VERSION + 2: "CREATE TRIGGER extra_grows AFTER INSERT ON extra BEGIN DELETE FROM extra; SELECT 1; END;\n"
    "INSERT INTO extra VALUES (7)",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a closed store with three decisions."""
    with make_store(tmp_path, 12) as store:
        [ann] = invited(store, "Ann")
        decide(store, ann, store.queue(ann, 0, 3))
    return store.path


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    return found


def test_a_new_store_has_the_present_version_and_opening_it_writes_nothing(path: Path) -> None:
    assert version(path) == database.VERSION
    before = path.read_bytes()
    Store.open(path).close()
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_older_store_is_migrated_and_a_copy_kept(path: Path) -> None:
    database.prepare(path, NEXT)
    assert version(path) == database.VERSION + 2
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT clinic FROM reviewer").fetchall() == [(None,)]
    assert connection.execute("SELECT count(*) FROM decision").fetchone() == (3,)
    connection.close()
    copy = path.with_name(f"{path.name}.version-{database.VERSION}")
    with Store(copy) as old:
        assert len(old.latest()) == 3
    assert version(copy) == database.VERSION


def test_a_migration_that_fails_leaves_everything_as_it_was(path: Path) -> None:
    broken = {**NEXT, database.VERSION + 2: "CREATE TABLE other (id INTEGER); INSERT INTO nowhere VALUES (1);"}
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        database.prepare(path, broken)
    with Store.open(path) as store:
        assert len(store.latest()) == 3
    with sqlite3.connect(path) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name IN ('extra', 'other')").fetchall()
    connection.close()


def test_a_migration_may_not_lose_what_decisions_refer_to(path: Path) -> None:
    with pytest.raises(StorageError, match="would lose"):
        database.prepare(path, {database.VERSION + 1: "DELETE FROM reviewer;"})
    with Store.open(path) as store:
        assert [reviewer.name for reviewer in store.reviewers()] == ["Ann"]


def test_a_missing_step_is_told(path: Path) -> None:
    with pytest.raises(WorkspaceError, match=f"no migration leads to version {database.VERSION + 1}"):
        database.prepare(path, {database.VERSION + 2: NEXT[database.VERSION + 2]})
    assert version(path) == database.VERSION


def test_a_newer_store_is_refused_and_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(WorkspaceError, match="version 99") as caught:
        Store.open(path)
    assert caught.value.expected == f"version {database.VERSION} or older"
    assert path.read_bytes() == before


def test_the_shipped_steps_lead_to_the_present_version() -> None:
    assert sorted(database.migrations()) == list(range(2, database.VERSION + 1))


def test_a_script_is_cut_at_its_statements() -> None:
    script = "CREATE TABLE a (x TEXT DEFAULT ';'); -- one;\n"
    script += "CREATE TRIGGER t AFTER INSERT ON a BEGIN\nSELECT 1;\nEND;\n-- end"
    found = list(database.statements(script))
    assert len(found) == 2 and re.search(r"BEGIN\nSELECT 1;\nEND;", found[1])
