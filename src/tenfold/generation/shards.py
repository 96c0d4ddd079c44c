"""Shards: images of a part in one tar, laid out as webdataset reads them, the same bytes for the same images."""

from __future__ import annotations

import io
import math
import tarfile
from collections.abc import Mapping
from pathlib import Path

SHARDS = "shards"
CHECKSUMS = "SHA256SUMS"


def shard_name(set_name: str, part_number: int) -> str:
    """File name of a part's shard."""
    return f"{set_name}-{part_number:06d}.tar"


def member_bytes(data: bytes) -> int:
    """What a member takes in a tar: its header, and its bytes in whole blocks."""
    return tarfile.BLOCKSIZE * (1 + -(-len(data) // tarfile.BLOCKSIZE))


def tar_bytes(of_members: float) -> int:
    """The size of a tar with such members: with its end, in whole records."""
    return tarfile.RECORDSIZE * math.ceil((of_members + 2 * tarfile.BLOCKSIZE) / tarfile.RECORDSIZE)


class TarWriter:
    """Writes members one after another: `<key>.<suffix>` for each, with no time, owner or mode of this machine."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def add(self, key: str, members: Mapping[str, bytes]) -> None:
        """Add one sample, its members in the order of the mapping."""
        for suffix, data in members.items():
            header = tarfile.TarInfo(f"{key}.{suffix}")
            header.size = len(data)
            header.mode = 0o644
            self._tar.addfile(header, io.BytesIO(data))

    def close(self) -> None:
        """Write the end of the archive."""
        self._tar.close()
