"""One SQLite file in WAL mode: connections, transactions, the schema's version, and storage faults told plainly."""

from __future__ import annotations

import os
import queue
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from importlib import resources
from pathlib import Path

from tenfold.core.errors import DataError, StorageError, TenfoldError, WorkspaceError
from tenfold.core.files import storage_errors

VERSION = 1
"""Of schema.sql; migrations/0002_....sql leads from version 1 to version 2, and so on."""

APPLICATION_ID = 0x74666472
BUSY_SECONDS = 10.0
"""Longer than an invitation takes that plans queues of 100,000 images anew."""

_WRITER_CACHE_KIB = 65_536
"""Else the pages of a plan for 100,000 images would be written and read over and over within its transaction."""

_NOT_SAVED, _NOT_READ = "not saved", "not read"
_FAULTS = {
    sqlite3.SQLITE_BUSY: ("another program holds the database", "Close the program that has it open, then try again."),
    sqlite3.SQLITE_LOCKED: ("another program holds the database", "Close the program that has it open."),
    sqlite3.SQLITE_READONLY: ("the database is read-only", "Give yourself the right to write the file and its folder."),
    sqlite3.SQLITE_PERM: ("the database may not be opened", "Give yourself the right to write the file."),
    sqlite3.SQLITE_CANTOPEN: ("the database cannot be opened", "See that the file and its folder can be written."),
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space; nothing that was acknowledged is lost."),
    sqlite3.SQLITE_IOERR: ("the disk does not take or give the data", "See that the disk is there and has space."),
    sqlite3.SQLITE_CORRUPT: ("the database is damaged", "Restore it from a copy."),
    sqlite3.SQLITE_NOTADB: ("the file is no database", "Restore it from a copy."),
}


class Database:
    """One writing connection behind a lock, and a pool of reading ones; other processes queue up in SQLite."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = _identity(path)
        self._lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._is_closed = False

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock; when the block ends well it is on the disk.

        Raises StorageError "not saved: ..." and leaves the database as it was when it cannot be.
        """
        with self._lock, self._told(_NOT_SAVED):
            connection = self._writer or connect(self.path)
            if self._writer is None:
                connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}")
            self._writer = connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                self._check_place()
                connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):  # a connection that met a fault of the disk is not trusted again
                    self._writer = None
                    with suppress(sqlite3.Error):
                        connection.close()
                raise

    @contextmanager
    def reading(self, *, is_one_query: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the database throughout the block and never waits for writers.

        A single query sees one state by itself: it goes without the two statements around it.
        """
        with self._told(_NOT_READ):
            try:
                connection = self._readers.get_nowait()
            except queue.Empty:
                connection = connect(self.path)
            try:
                if is_one_query:
                    yield connection
                else:
                    connection.execute("BEGIN")
                    try:
                        yield connection
                    finally:
                        connection.execute("ROLLBACK")
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    connection.close()
                raise
            except BaseException:
                self._readers.put(connection)
                raise
            self._readers.put(connection)

    def close(self) -> None:
        """Close all connections; the last one out folds the WAL into the file."""
        with self._lock:
            self._is_closed = True
            while True:
                try:
                    self._readers.get_nowait().close()
                except queue.Empty:
                    break
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _check_place(self) -> None:
        """A file that was moved away still takes writes, and they would be gone."""
        if _identity(self.path) != self._identity:
            raise StorageError(
                f"{_NOT_SAVED}: the database was moved, removed or replaced while it was in use",
                where=str(self.path),
                todo="Put it back and start again.",
            )

    @contextmanager
    def _told(self, verb: str) -> Iterator[None]:
        if self._is_closed:
            raise StorageError(f"{verb}: the review's store is closed", where=str(self.path))
        with database_errors(self.path, verb):
            yield


@contextmanager
def database_errors(path: Path, verb: str) -> Iterator[None]:
    """Turn SQLite's faults of lock, right, space and disk into a StorageError that begins with `verb`."""
    try:
        yield
    except sqlite3.Error as error:
        known = _FAULTS.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF)
        if known is None:
            raise
        raise StorageError(f"{verb}: {known[0]} ({error})", where=str(path), todo=known[1]) from error


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """A connection without implicit transactions; every commit is flushed to the disk."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.row_factory = sqlite3.Row
        for setting in ("foreign_keys = ON", "synchronous = FULL", "fullfsync = ON", "recursive_triggers = ON"):
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


def create(path: Path) -> None:
    """Make the database if there is none: whole, or not at all; two processes may try at once."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with database_errors(path, _NOT_SAVED), closing(connect(path, "rwc")) as connection:
        _begin(connection)
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in statements(_sql("schema.sql")):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


def prepare(path: Path, steps: Mapping[int, str] | None = None) -> None:
    """See that the file is a review's database of this version; bring an older one there, after a copy of it was made.

    Args:
        steps: by version, the SQL that leads to it from the one before; None: those of migrations/.

    Raises:
        DataError: there is no database, or one of another program.
        WorkspaceError: it was written by a newer Tenfold.
        StorageError: it cannot be opened or migrated; it is then as before.
    """
    if not path.is_file():
        raise DataError(
            "there is no review here yet",
            where=str(path),
            expected="a workspace whose review was begun",
            todo="Begin it with `tenfold review serve WORKSPACE` or a recipe with a review stage.",
        )
    known = migrations() if steps is None else steps
    target = max([VERSION, *known])
    with database_errors(path, "not opened"), closing(connect(path)) as connection:
        found = _version(connection, path, target)
        if _set_wal(connection) != "wal":
            raise StorageError(
                "this disk cannot hold the review's database (SQLite's WAL mode does not work there)",
                where=str(path),
                todo="Put the workspace on a local disk.",
            )
        if found < target:
            _migrate(connection, path, known, target)


def migrations() -> dict[int, str]:
    """By version, the SQL of migrations/NNNN_what.sql."""
    folder = resources.files("tenfold.review") / "migrations"
    found = {name: re.fullmatch(r"(\d{4})_\w+\.sql", name) for name in sorted(entry.name for entry in folder.iterdir())}
    return {int(match[1]): _sql(f"migrations/{name}") for name, match in found.items() if match}


def statements(script: str) -> Iterator[str]:
    """The statements of an SQL script one by one (`executescript` would end the transaction first)."""
    gathered = ""
    for part in re.split(r"(?<=;)", script):
        gathered += part
        if sqlite3.complete_statement(gathered):
            yield gathered
            gathered = ""
    if re.sub(r"--.*", "", gathered).strip():
        yield gathered


def _migrate(connection: sqlite3.Connection, path: Path, steps: Mapping[int, str], target: int) -> None:
    # The switch works between transactions only. Off, a table may be rebuilt; the check below makes up for it.
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection, path, target)  # another process may have been faster
        if found < target:
            _keep_copy(path, found)
        for version in range(found + 1, target + 1):
            if version not in steps:
                raise WorkspaceError(
                    f"no migration leads to version {version} of the review's database", where=str(path)
                )
            for statement in statements(steps[version]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
        if broken := connection.execute("PRAGMA foreign_key_check").fetchall():
            raise StorageError(
                f"the migration to version {target} would lose {len(broken)} references", where=str(path)
            )
        connection.execute("COMMIT")
    except (sqlite3.Error, TenfoldError):
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _keep_copy(path: Path, version: int) -> None:
    """A copy beside the file, by SQLite itself: to read the file otherwise would drop this process's locks."""
    copy = path.with_name(f"{path.name}.version-{version}")
    with closing(connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _version(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise DataError(
            "this database is not a review's",
            where=str(path),
            expected="the file as Tenfold made it",
            todo="Move it away.",
        )
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > newest:
        raise WorkspaceError(
            f"the review's database has version {version}",
            where=str(path),
            expected=f"version {newest} or older",
            todo="Use the Tenfold that wrote it. Nothing was changed.",
        )
    return version


def _begin(connection: sqlite3.Connection) -> None:
    _set_wal(connection)
    connection.execute("BEGIN IMMEDIATE")


def _set_wal(connection: sqlite3.Connection) -> str:
    """The journal mode in force. Switching does not wait for other openers by itself."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.02)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _sql(name: str) -> str:
    return (resources.files("tenfold.review") / name).read_text(encoding="utf-8")
