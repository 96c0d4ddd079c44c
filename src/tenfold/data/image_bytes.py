"""Image bytes: those of a file, or of a member of a tar shard, which a path names as if the tar were a folder.

``synthetic/x/shards/x-000000.tar/0123456789abcdef.png`` is the member ``0123456789abcdef.png`` of that tar.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.hashing import sha256_bytes

SHARD_SUFFIX = ".tar"
_SHARDS_KEPT = 64


def image_bytes(path: Path) -> bytes:
    """The bytes of an image, wherever it lies. DataError when its shard is damaged or lacks it."""
    if not is_in_shard(path):
        return path.read_bytes()
    members = shard_members(path.parent)
    if path.name not in members:
        raise DataError(
            "the shard has no such image", where=str(path), expected=f"one of its {len(members)} files",
            todo="Run the command again that wrote it: damaged shards are written anew.",
        )  # fmt: skip
    offset, size = members[path.name]
    with open(path.parent, "rb") as stream:
        stream.seek(offset)
        return stream.read(size)


def image_sha256(path: Path) -> str:
    """64 hex digits of the SHA-256 of the image's bytes."""
    return sha256_bytes(image_bytes(path))


def is_in_shard(path: Path) -> bool:
    """Whether the path names a member of a tar shard."""
    return path.parent.suffix == SHARD_SUFFIX and path.parent.is_file()


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
