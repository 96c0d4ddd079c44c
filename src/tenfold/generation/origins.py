"""Origins: the real images and masks that requests start from, looked up by id in the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tenfold.core.errors import DataError
from tenfold.core.hashing import sha256_file
from tenfold.core.workspace import Workspace
from tenfold.data.image_bytes import image_sha256, is_in_shard
from tenfold.generation.provenance import SourceRecord
from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import SourceImage, Sources

MANIFEST = "data/manifest.parquet"
_COLUMNS = ["image_id", "path", "mask_path", "skin_type", "sha256"]


@dataclass(frozen=True)
class Origin:
    """A request's sources, and what its record says of them, by role."""

    sources: Sources
    record: Mapping[str, SourceRecord]


NOTHING = Origin(Sources(), {})


def find_origin(request: ImageRequest, workspace: Workspace) -> Origin:
    """The real images that the request starts from. Raises DataError when the workspace lacks one."""
    if request.parent_id is None and request.background_id is None:
        return NOTHING
    images = {"parent": request.parent_id, "background": request.background_id}
    found = {role: _find(image_id, workspace) for role, image_id in images.items() if image_id is not None}
    return Origin(
        Sources(**{role: source for role, (source, _) in found.items()}),
        {role: SourceRecord(source.image_id, sha256, _mask_sha256(source)) for role, (source, sha256) in found.items()},
    )


def check_unchanged(origin: Origin, recorded: Mapping[str, SourceRecord]) -> None:
    """Raise DataError when a source is not the file that the record (of an image, or its own) tells of."""
    for role, now in origin.record.items():
        then = recorded.get(role)
        source: SourceImage = getattr(origin.sources, role)
        if then is not None and (image_sha256(source.path), now.mask_sha256) != (then.sha256, then.mask_sha256):
            raise DataError(
                f"the {role} {now.image_id} is not the image that was recorded: it or its mask has changed",
                where=str(source.path),
                expected=f"SHA-256 {then.sha256}",
                todo="Import the same data with the same settings again, or look at the image in a copy of the "
                "workspace as it was.",
            )


def _find(image_id: str, workspace: Workspace) -> tuple[SourceImage, str]:
    path = workspace.resolve(MANIFEST)
    facts = path.stat() if path.is_file() else None
    rows = {} if facts is None else _rows(path, facts.st_size, facts.st_mtime_ns)
    if image_id not in rows:
        raise DataError(
            f"the real image {image_id} is not in the workspace",
            where=str(path),
            expected="the image that the synthetic one starts from",
            todo="Open the workspace that the image was drawn in.",
        )
    name, mask, skin_type, sha256 = rows[image_id]
    if not workspace.resolve(name).is_file():
        raise DataError(
            f"the file of the real image {image_id} is missing",
            where=str(workspace.resolve(name)),
            todo="Import the same data with the same settings again.",
        )
    mask_path = None if mask is None else workspace.resolve(mask)
    return SourceImage(image_id, workspace.resolve(name), mask_path, skin_type), sha256


@lru_cache(maxsize=1)
def _rows(manifest: Path, _size: int, _mtime_ns: int) -> dict[str, tuple[Any, ...]]:
    table = pq.read_table(manifest, columns=_COLUMNS)
    columns = [table.column(name).to_pylist() for name in _COLUMNS]
    return {values[0]: values[1:] for values in zip(*columns, strict=True)}


def _mask_sha256(source: SourceImage) -> str | None:
    if source.mask_path is not None and is_in_shard(source.mask_path):
        return image_sha256(source.mask_path)
    if source.mask_path is None or not source.mask_path.is_file():
        return None
    return _file_sha256(source.mask_path, source.mask_path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _file_sha256(path: Path, _mtime_ns: int) -> str:
    return sha256_file(path)
