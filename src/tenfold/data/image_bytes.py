"""Image bytes: those of a file, or of a member of a tar shard, which a path names as if the tar were a folder.

``synthetic/x/shards/x-000000.tar/0123456789abcdef.png`` is the member ``0123456789abcdef.png`` of that tar.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.hashing import sha256_bytes

SHARD_SUFFIX = ".tar"
LARGEST_BYTES = 200 * 2**20
"""Of an image file that is read whole."""
_SHARDS_KEPT = 64
_NOT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def image_bytes(path: Path, largest: int | None = LARGEST_BYTES) -> bytes:
    """The bytes of an image, wherever it lies.

    DataError when its shard is damaged or lacks it, when it has more bytes than `largest`, or when it is no file of
    bytes but, as a pipe, something that could be waited for without an end.
    """
    if not is_in_shard(path):
        return _file_bytes(path, largest)
    members = shard_members(path.parent)
    if path.name not in members:
        raise DataError(
            "the shard has no such image", where=str(path), expected=f"one of its {len(members)} files",
            todo="Run the command again that wrote it: damaged shards are written anew.",
        )  # fmt: skip
    offset, size = members[path.name]
    _check_size(path, size, largest)
    with open(path.parent, "rb") as stream:
        stream.seek(offset)
        return stream.read(size)


def image_sha256(path: Path) -> str:
    """64 hex digits of the SHA-256 of the image's bytes."""
    return sha256_bytes(image_bytes(path, None))


def is_in_shard(path: Path) -> bool:
    """Whether the path names a member of a tar shard."""
    return path.parent.suffix == SHARD_SUFFIX and path.parent.is_file()


def _file_bytes(path: Path, largest: int | None) -> bytes:
    with open(path, "rb", opener=_open_now) as stream:
        facts = os.fstat(stream.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise DataError("this is no image file but a pipe or a device", where=str(path), expected="an image file")
        _check_size(path, facts.st_size, largest)
        return stream.read() if largest is None else stream.read(largest)


def _open_now(path: str, flags: int) -> int:
    """Opening a pipe would wait for who writes to it."""
    return os.open(path, flags | _NOT_WAITING)


def _check_size(path: Path, size: int, largest: int | None) -> None:
    if largest is not None and size > largest:
        raise DataError(
            f"the image file is too large: {size:,} bytes", where=str(path), expected=f"at most {largest:,} bytes"
        )


def shard_members(shard: Path) -> Mapping[str, tuple[int, int]]:
    """Where each member's bytes lie: name to (offset, size). DataError when the tar cannot be read."""
    facts = shard.stat()
    return _members(shard, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=_SHARDS_KEPT)
def _members(shard: Path, _size: int, _mtime_ns: int) -> Mapping[str, tuple[int, int]]:
    """Of one state of the file: a shard that was written anew is read anew."""
    try:
        with tarfile.open(shard, "r:") as tar:
            return {member.name: (member.offset_data, member.size) for member in tar}
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"the shard cannot be read: {error}", where=str(shard), expected="a tar file as Tenfold wrote it",
            todo="Run the command again that wrote it: damaged shards are written anew.",
        ) from error  # fmt: skip
