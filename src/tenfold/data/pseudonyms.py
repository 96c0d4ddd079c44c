"""Pseudonyms: ids of patients, studies and series as keyed hashes, whose key never leaves the workspace.

Without the key nobody can find the id behind a pseudonym by trying all ids; with it, the same id gives the same
pseudonym in every later import into the workspace.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tenfold.core.errors import DataError
from tenfold.core.files import read_json, storage_errors, write_atomic

KEY_FILE = "data/pseudonyms.key"
"""Where a workspace keeps its key."""

KEY_BYTES = 32
PSEUDONYM_DIGITS = 16
PseudonymKind = Literal["patient", "study", "series", "file"]

_PURPOSE = "Key of the pseudonyms in this workspace. Who has it can test which patient a pseudonym stands for: keep it."


@dataclass(frozen=True)
class Pseudonyms:
    """Pseudonyms under one key of 32 bytes. DataError for a key of another length."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise DataError(f"the key of the pseudonyms has {len(self.key)} bytes", expected=f"{KEY_BYTES} bytes")

    def of(self, kind: PseudonymKind, identifier: str) -> str:
        """16 hex digits: HMAC-SHA256 of the kind and the identifier, so that kinds never meet."""
        message = f"{kind}\0{identifier}".encode()
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:PSEUDONYM_DIGITS]


def open_pseudonyms(path: Path) -> Pseudonyms:
    """The pseudonyms under the key in this file; a missing file is made, with a new key that only its owner can read.

    The key is the one random thing here that comes from the system and not from the seed: a key that anyone could
    derive from a recipe would hide nothing. DataError when the file is damaged; StorageError when it cannot be written.
    """
    if path.exists():
        return Pseudonyms(_read_key(path))
    pseudonyms = temporary_pseudonyms()
    keep_pseudonyms(path, pseudonyms)
    return pseudonyms


def keep_pseudonyms(path: Path, pseudonyms: Pseudonyms) -> None:
    """Write the key to this file, for its owner alone. StorageError when it cannot be written."""
    record = json.dumps({"purpose": _PURPOSE, "key": pseudonyms.key.hex()}, indent=2) + "\n"
    with write_atomic(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(record.encode("ascii"))
            stream.flush()
            os.fsync(stream.fileno())


def temporary_pseudonyms() -> Pseudonyms:
    """Pseudonyms under a new key that is kept nowhere: for a look at a source before anything is written."""
    return Pseudonyms(secrets.token_bytes(KEY_BYTES))


def _read_key(path: Path) -> bytes:
    with storage_errors(path):
        record = read_json(path)
    try:
        key = bytes.fromhex(record["key"])
    except (KeyError, TypeError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise DataError(
            "the key of the pseudonyms is damaged",
            where=str(path),
            expected=f"a JSON object whose `key` has {2 * KEY_BYTES} hex digits",
            todo="restore the file from a copy; with a new key the same patients would get other pseudonyms",
        )
    return key
