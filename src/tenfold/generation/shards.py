"""Shards: images of a part in one tar, laid out as webdataset reads them, the same bytes for the same images."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

SHARDS = "shards"
CHECKSUMS = "SHA256SUMS"


def shard_name(set_name: str, part_number: int) -> str:
    """File name of a part's shard."""
    return f"{set_name}-{part_number:06d}.tar"


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
