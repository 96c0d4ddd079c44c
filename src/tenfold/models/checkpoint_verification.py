"""Verifying a checkpoint: every file against the registry's digests, the models folder's lock or the run's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tenfold.core.errors import CheckpointError
from tenfold.core.files import read_json
from tenfold.core.hashing import sha256_file, sha256_path
from tenfold.models.checkpoint_ref import checkpoint_parts
from tenfold.models.registry import LockEntry, read_lock, registry


@dataclass(frozen=True)
class Verification:
    """What holding a checkpoint against its record gave."""

    folder: Path
    basis: str
    """What it was held against: ``registry and lock``, ``lock``, ``run record``, or ``nothing``."""
    checked: int
    """Number of files that have the recorded digest."""
    origin: str


def verify_checkpoint(folder: Path) -> Verification:
    """Hold a checkpoint's files against the registry and the lock beside it, or against its own run record.

    Raises:
        CheckpointError: a file is missing, damaged or was added; all are named.
    """
    checkpoint_parts(folder)
    lock = read_lock(folder.parent).get(folder.name)
    if lock is not None:
        known = _registry_digests(folder.name, lock)
        compare_digests(folder, file_digests(folder), {**lock.sha256, **known}, whole=True)
        return Verification(folder, "registry and lock" if known else "lock", len(lock.sha256), lock.origin)
    outputs = _recorded_outputs(folder)
    damaged = [path for path, digest in outputs.items() if not _has_digest(folder / path, digest)]
    if damaged:
        raise CheckpointError(
            f"the model is not the one that its run wrote: {', '.join(damaged)} differ",
            where=str(folder),
            expected=f"{len(outputs)} outputs with the SHA-256 of run.json",
            todo="Run the same fine-tuning again: it makes the damaged parts anew.",
        )
    return Verification(folder, "run record" if outputs else "nothing", len(outputs), "")


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint, by path relative to its folder; records beside the parts are not of it."""
    files = [file for part in checkpoint_parts(folder) for file in ([part] if part.is_file() else part.rglob("*"))]
    return {file.relative_to(folder).as_posix(): sha256_file(file) for file in sorted(files) if file.is_file()}


def compare_digests(folder: Path, found: Mapping[str, str], wanted: Mapping[str, str], *, whole: bool) -> None:
    """Raises CheckpointError naming each file that is missing or differs, and with `whole` each that was added."""
    told = [f"{path} is missing" for path in sorted(set(wanted) - set(found))]
    told += [f"{path} is another file" for path in sorted(wanted) if path in found and found[path] != wanted[path]]
    if whole:
        told += [f"{path} was added" for path in sorted(set(found) - set(wanted))]
    if told:
        raise CheckpointError(
            f"the checkpoint is not the one that is recorded: {'; '.join(told)}",
            where=str(folder),
            expected=f"{len(wanted)} files with their recorded SHA-256",
            todo="Remove the folder, then pull or import it again.",
        )


def _registry_digests(name: str, lock: LockEntry) -> Mapping[str, str]:
    """What the registry says of the mirror that the checkpoint came from."""
    repo_id = lock.origin.split("@")[0]
    mirrors = registry()[name].mirrors if name in registry() else ()
    return next((mirror.sha256 for mirror in mirrors if mirror.repo_id == repo_id), {})


def _recorded_outputs(folder: Path) -> dict[str, str]:
    """Outputs of the run that wrote the model, by path relative to its folder; empty for one from elsewhere."""
    record = folder / "run.json"
    outputs = read_json(record).get("outputs", {}) if record.is_file() else {}
    inside = {"/".join(Path(path).parts[2:]): digest for path, digest in outputs.items() if path.startswith("models/")}
    return {path: digest for path, digest in inside.items() if path}


def _has_digest(path: Path, digest: str) -> bool:
    return path.exists() and sha256_path(path) == digest
