"""SHA-256 of bytes, files, folders and canonical JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """64 hex digits of the bytes' SHA-256."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """64 hex digits of the file's SHA-256, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(obj: Any) -> str:
    """The one JSON text of an object: keys sorted, no spaces, ASCII; a NaN is a ValueError."""
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sha256_json(obj: Any) -> str:
    """64 hex digits of the canonical JSON's SHA-256."""
    return sha256_bytes(canonical_json(obj).encode("ascii"))


def sha256_path(path: str | Path) -> str:
    """A file's SHA-256; for a folder, the SHA-256 of the list of [relative path, SHA-256] in sorted order."""
    path = Path(path)
    if not path.is_dir():
        return sha256_file(path)
    files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    return sha256_json([[name, sha256_file(file)] for name, file in files])
