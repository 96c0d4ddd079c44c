"""Files written whole or not at all, and storage faults told as `StorageError`."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError, StageError, StorageError

TEMPORARY_PREFIX = ".tmp-"

_counter = itertools.count()

_STORAGE_FAULTS = {
    errno.ENOSPC: ("the disk is full", "Free some space or choose a workspace on another disk, then run again."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space or ask for more, then run again."),
    errno.EROFS: ("the file system is read-only", "Choose a workspace on a disk that can be written."),
    errno.EACCES: ("writing is not permitted", "Give yourself the right to write there, or choose another folder."),
    errno.ENOENT: ("the folder is gone or cannot be made", "Choose another folder, or run again."),
    errno.EEXIST: ("a file lies where a folder is to be made", "Move the file away, or choose another name."),
    errno.EFBIG: ("the file would be larger than this system lets you write", "Raise the limit (`ulimit -f`)."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Choose another folder."),
    errno.ENAMETOOLONG: ("the path is too long for the file system", "Choose a shorter name."),
    errno.EPERM: ("writing is not permitted", "Give yourself the right to write there, or choose another folder."),
}


@contextmanager
def write_atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder (same suffix); on success it is renamed to `path`.

    Parent folders are made. On an error the temporary file is removed and `path` is as before.
    Raises StorageError when the disk is full, read-only or not permitted.
    """
    path = Path(path)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{next(_counter)}.{path.name}")
    with storage_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_bytes_atomic(path: str | Path, data: bytes) -> None:
    """Write the bytes whole or not at all."""
    with write_atomic(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends, whole or not at all."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: str | Path, obj: Any) -> None:
    """Write JSON (indent 2, sorted keys), flushed to the disk before it takes its name.

    Numpy scalars and arrays become numbers and lists. Raises StageError for a number that is not finite.
    """
    with write_atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as stream:
        try:
            stream.writelines(_encoder().iterencode(obj))
        except ValueError as error:
            raise StageError(
                f"a value cannot be written as JSON: {error}",
                where=str(path),
                expected="finite numbers, or null where there is none",
                todo="This is a fault of the stage, not of your data: please report it.",
            ) from error
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())


def plain_json(obj: Any) -> Any:
    """The object as `read_json` gives it after `write_json_atomic`."""
    return json.loads(_encoder().encode(obj))


def read_json(path: str | Path) -> Any:
    """The object of a JSON file. Raises DataError when it is missing or not JSON."""
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise DataError("a file is missing", where=str(path), expected="a JSON file") from error
    except ValueError as error:
        raise DataError(
            f"the file is not JSON: {error}",
            where=str(path),
            expected="a JSON file as Tenfold wrote it",
            todo="Restore it from a copy, or remove it and run again.",
        ) from error


def remove_temporary_files(folder: str | Path) -> int:
    """Remove what a killed `write_atomic` left anywhere under the folder; the number removed."""
    leftovers = list(Path(folder).rglob(f"{TEMPORARY_PREFIX}*"))
    for leftover in leftovers:
        if leftover.is_file():
            leftover.unlink(missing_ok=True)
    return len(leftovers)


@contextmanager
def storage_errors(path: str | Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into a StorageError that names the path."""
    try:
        yield
    except OSError as error:
        if error.errno not in _STORAGE_FAULTS:
            raise
        what, todo = _STORAGE_FAULTS[error.errno]
        raise StorageError(what, where=str(path), todo=todo) from error
    except Exception as error:
        # Writers in other languages (safetensors, pyarrow) raise their own types, with the system's text inside.
        if "No space left on device" not in str(error):
            raise
        what, todo = _STORAGE_FAULTS[errno.ENOSPC]
        raise StorageError(what, where=str(path), todo=todo) from error


def _encoder() -> json.JSONEncoder:
    return json.JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return Path(value).as_posix()
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON type")
