"""The checkpoint registry: known base models with their mirrors, and the models folder that holds what was fetched.

A models folder holds one diffusers folder for each name, and ``models-lock.json`` beside them: where each came from
and the SHA-256 of every file as it was when it came. Nothing here imports torch or reaches for a network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tenfold.core.errors import CheckpointError, DataError, InputError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.plain import from_plain, to_plain

CheckpointKind = Literal["text2img", "inpainting", "upscale"]

LOCK = "models-lock.json"
MODELS_VARIABLE = "TENFOLD_MODELS"
REGISTRY_PREFIX = "registry:"
UNPINNED = "unpinned: verified on first pull"


@dataclass(frozen=True)
class Mirror:
    """One repository of the Hugging Face hub that holds a checkpoint."""

    repo_id: str
    revision: str | None
    """The commit, 40 hex digits; None where no record of one was found: the lock then holds the one that came."""
    variant: str | None
    """``fp16`` for the half-precision files; None for the plain ones."""
    note: str
    sha256: Mapping[str, str]
    """Digests of weight files by path, as far as two independent public records agree on them."""

    @property
    def pin(self) -> str:
        """The revision, or that there is none."""
        return self.revision or UNPINNED


@dataclass(frozen=True)
class RegistryEntry:
    """A checkpoint that Tenfold knows by name; mirrors in the order in which they are tried."""

    description: str
    kind: CheckpointKind
    license: str
    image_size_px: int
    download_gb: float
    mirrors: tuple[Mirror, ...]


@dataclass(frozen=True)
class LockEntry:
    """How a checkpoint came into the models folder."""

    origin: str
    """``repo_id@commit`` of a pulled one, ``file:NAME`` or ``folder:NAME`` of an imported one."""
    kind: str
    license: str
    sha256: Mapping[str, str]
    """Digest of every file by its path in the checkpoint's folder."""


@cache
def registry() -> Mapping[str, RegistryEntry]:
    """All known checkpoints by name."""
    content = read_json(Path(__file__).with_name("registry.json"))
    return {name: from_plain(RegistryEntry, value) for name, value in content.items()}


def registry_entry(name: str) -> RegistryEntry:
    """The entry of a name, with or without ``registry:``. Raises InputError for an unknown one."""
    name = name.removeprefix(REGISTRY_PREFIX)
    if name not in registry():
        raise InputError(
            f"the registry has no checkpoint {name!r}",
            expected=f"one of {', '.join(registry())}",
            todo="See `tenfold models list`; your own come in by `tenfold models import PATH --name NAME`.",
        )
    return registry()[name]


def models_folder() -> Path:
    """Where pulled and imported checkpoints lie: the environment's TENFOLD_MODELS, or the user's cache."""
    given = os.environ.get(MODELS_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    cache_home = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache_home) if cache_home else Path.home() / ".cache") / "tenfold" / "models"


def check_name(name: str) -> None:
    """Raises InputError unless the name can be a folder's name and a reference."""
    is_plain = name.replace("-", "").replace("_", "").replace(".", "").isalnum() and not name.startswith(".")
    if not (is_plain and name.isascii()):
        raise InputError(
            f"a checkpoint cannot be called {name!r}", expected="ASCII letters, digits, dots, hyphens and underscores"
        )


def read_lock(folder: Path) -> dict[str, LockEntry]:
    """The lock of a models folder, empty when there is none. Raises CheckpointError when it is damaged."""
    path = folder / LOCK
    if not path.is_file():
        return {}
    try:
        return {name: from_plain(LockEntry, value) for name, value in read_json(path).items()}
    except (DataError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            "the record of the models folder is damaged",
            where=str(path),
            expected="the JSON file that pull and import wrote",
            todo="Remove it; pull or import again what you need.",
        ) from error


def write_lock(folder: Path, name: str, entry: LockEntry | None) -> None:
    """Set the record of one name, or take it out; no other is touched, also while another process writes."""
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{LOCK}.lock"):
        entries = {key: to_plain(value) for key, value in read_lock(folder).items() if key != name}
        if entry is not None:
            entries[name] = to_plain(entry)
        write_json_atomic(folder / LOCK, entries)
