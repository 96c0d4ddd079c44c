"""Pulling and importing: checkpoints come into a models folder whole, verified and without pickles, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenfold.core.errors import CheckpointError, StageError, StorageError, TenfoldError
from tenfold.core.files import TEMPORARY_PREFIX, read_json, storage_errors, write_json_atomic
from tenfold.core.progress import Progress
from tenfold.models.adapter_ref import ADAPTER_RECORD, ADAPTER_WEIGHTS
from tenfold.models.checkpoint_ref import checkpoint_kind, checkpoint_parts
from tenfold.models.checkpoint_verification import compare_digests, file_digests, verify_checkpoint
from tenfold.models.registry import (
    REGISTRY_PREFIX,
    LockEntry,
    Mirror,
    RegistryEntry,
    check_name,
    read_lock,
    registry,
    registry_entry,
    write_lock,
)

WANTED_SUFFIXES = (".safetensors", ".json", ".txt")
_LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder", "watermarker")
"""Parts that no stage reads. The safety checker knows no medicine: it blackens photographs of skin."""
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")

Downloader = Callable[[Mirror, bool], Path]
"""Gives the folder that holds a mirror's files; the flag keeps it from the network."""


def pull(
    name: str, folder: Path, progress: Progress, *, offline: bool = False, downloader: Downloader | None = None
) -> Path:
    """Fetch a checkpoint of the registry into ``folder/name``, from the first mirror that gives it; its folder.

    One that is there already is verified and kept. Offline, only what the hub's own cache holds is looked at.

    Raises:
        InputError: the registry has no such name.
        CheckpointError: what is there or what came is damaged.
        StageError: no mirror gave the checkpoint; each is named with the reason.
    """
    name = name.removeprefix(REGISTRY_PREFIX)
    entry = registry_entry(name)
    target = folder / name
    if name in read_lock(folder) and target.is_dir():
        verify_checkpoint(target)
        return target
    refuse_occupied(target)
    offline = offline or is_offline()
    _check_space(folder, entry)
    failures: list[str] = []
    for mirror in entry.mirrors:
        progress.log(f"{name}: {'looking into the local cache for' if offline else 'pulling'} {mirror.repo_id}")
        try:
            source = (downloader or download_snapshot)(mirror, offline)
            return _take_pulled(source, target, entry, mirror)
        except StorageError:
            raise
        except CheckpointError as error:
            failures.append(f"{mirror.repo_id}: {error.what}")
        except Exception as error:  # the hub's errors are of many types, and come from modules that may not be named
            failures.append(f"{mirror.repo_id}: {_reason(error, offline)}")
    raise StageError(
        f"the checkpoint {name!r} could not be had from any of its {len(entry.mirrors)} mirrors: {'; '.join(failures)}",
        where=str(folder),
        expected="a connection to the Hugging Face hub" if not offline else "a copy in the hub's local cache",
        todo=f"{'Leave offline mode (--offline, HF_HUB_OFFLINE), or' if offline else 'Try again later, or'} copy the "
        f"checkpoint from a machine that has it (a diffusers folder or one .safetensors file) and run "
        f"`tenfold models import PATH --name {name}`; a local folder can also be named as checkpoint directly.",
    )


def import_folder(source: Path, name: str, folder: Path) -> Path:
    """Copy a local checkpoint in diffusers format to ``folder/name``; its folder.

    Under a registry's name, weights whose digests the registry knows must have them.

    Raises:
        InputError: the name cannot be a folder's name.
        CheckpointError: a part is missing, weights are pickles, the kind is another one, or the name is taken.
    """
    check_name(name)
    checkpoint_parts(source)
    target = folder / name
    refuse_occupied(target)
    entry = registry().get(name)
    if entry is not None:
        check_kind(source, name)
        _check_known_digests(source, name, entry)
    return settle(source, target, origin=f"folder:{source.resolve().name}", license_name=entry.license if entry else "")


def export_folder(source: Path, target: Path) -> list[str]:
    """Copy a checkpoint's parts, or a LoRA's files, to the new or empty folder `target`; the paths written.

    Raises:
        CheckpointError: the source is neither, or `target` holds something.
    """
    refuse_occupied(target)
    if (source / ADAPTER_WEIGHTS).is_file():
        names = [name for name in (ADAPTER_WEIGHTS, ADAPTER_RECORD) if (source / name).is_file()]
        relative = {name: source / name for name in names}
    else:
        relative = _wanted_files(source)
    with _staged(relative, target, link=False) as staged, storage_errors(target):
        if target.is_dir():
            target.rmdir()
        os.replace(staged, target)
    return sorted(relative)


def download_snapshot(mirror: Mirror, offline: bool, cache: Path | None = None) -> Path:
    """The folder of the hub's cache with a mirror's files: safetensors, never pickles, without the safety checker.

    An interrupted download goes on where it stopped. `cache` is the hub's own when not given.
    """
    from diffusers import DiffusionPipeline

    from tenfold.models.pipelines import quiet_loading

    with quiet_loading():
        return Path(
            DiffusionPipeline.download(
                mirror.repo_id,
                revision=mirror.revision,
                variant=mirror.variant,
                use_safetensors=True,
                local_files_only=offline,
                cache_dir=cache,
                **{part: None for part in _LEFT_OUT},
            )
        )


def is_offline() -> bool:
    """Whether the environment asks the Hugging Face libraries to stay off the network."""
    return any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in _OFFLINE_VARIABLES)


def check_kind(source: Path, name: str) -> None:
    """Raises CheckpointError when a registry's name is given to a checkpoint of another kind."""
    entry = registry().get(name)
    if entry is not None and checkpoint_kind(source) != entry.kind:
        raise CheckpointError(
            f"the checkpoint is for {checkpoint_kind(source)}, {name!r} stands for {entry.kind}",
            where=str(source),
            expected=entry.description,
            todo="Give it another --name.",
        )


def refuse_occupied(target: Path) -> None:
    """Raises CheckpointError when something lies where a new checkpoint is to be."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(
            f"there is something already at {target.name!r}",
            where=str(target),
            expected="a new name, or an empty folder",
            todo="Choose another name, or remove that folder first.",
        )


def settle(source: Path, target: Path, *, origin: str, license_name: str) -> Path:
    """Copy a checked checkpoint to its place in a models folder and record it; `target`."""
    with _staged(_wanted_files(source), target, link=False) as staged:
        _finish(staged, target, LockEntry(origin, checkpoint_kind(staged), license_name, file_digests(staged)))
    return target


def _take_pulled(source: Path, target: Path, entry: RegistryEntry, mirror: Mirror) -> Path:
    """Put a mirror's files into their place, once they have the digests that are known."""
    with _staged(_wanted_files(source), target, link=True) as staged:
        digests = file_digests(staged)
        compare_digests(staged, digests, mirror.sha256, whole=False)
        found_kind = checkpoint_kind(staged)
        if found_kind != entry.kind:
            raise CheckpointError(f"it holds a checkpoint for {found_kind}, not for {entry.kind}")
        commit = mirror.revision or source.name
        _finish(staged, target, LockEntry(f"{mirror.repo_id}@{commit}", entry.kind, entry.license, digests))
    return target


def _finish(staged: Path, target: Path, lock: LockEntry) -> None:
    """The record first: a kill in between leaves a record without a folder, which counts as not there."""
    write_lock(target.parent, target.name, lock)
    with storage_errors(target):
        if target.is_dir():
            target.rmdir()
        os.replace(staged, target)


def _check_known_digests(source: Path, name: str, entry: RegistryEntry) -> None:
    """Under a registry's name, weights must be those of a mirror with files of these names and known digests."""
    found = file_digests(source)
    known = [mirror.sha256 for mirror in entry.mirrors if mirror.sha256 and set(mirror.sha256) <= set(found)]
    if known and not any(all(found[path] == digest for path, digest in one.items()) for one in known):
        differing = [path for path, digest in known[0].items() if found[path] != digest]
        raise CheckpointError(
            f"these weights are not those of {name!r}: {', '.join(differing)} have another SHA-256",
            where=str(source),
            expected=f"the files of {entry.mirrors[0].repo_id}",
            todo="Give the checkpoint another --name, or copy it again, whole.",
        )


def _wanted_files(source: Path) -> dict[str, Path]:
    """The files of a checkpoint that a models folder keeps, by their path in it."""
    files = [file for part in checkpoint_parts(source) for file in ([part] if part.is_file() else part.rglob("*"))]
    wanted = [file for file in sorted(files) if file.is_file() and file.suffix in WANTED_SUFFIXES]
    by_path = {file.relative_to(source).as_posix(): file for file in wanted}
    return {path: file for path, file in by_path.items() if not any(name.startswith(".") for name in path.split("/"))}


@contextmanager
def _staged(files: Mapping[str, Path], target: Path, *, link: bool) -> Iterator[Path]:
    """A hidden folder beside `target` with copies of the files, or links to them on the same disk; removed after."""
    staged = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}")
    try:
        with storage_errors(target):
            for path, file in files.items():
                (staged / path).parent.mkdir(parents=True, exist_ok=True)
                _copy(file.resolve(), staged / path, link=link)
            index = staged / "model_index.json"
            if index.is_file():
                write_json_atomic(index, _index_of_parts(read_json(index), staged))
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _copy(source: Path, target: Path, *, link: bool) -> None:
    # The index is written anew, and a link would change it in the hub's cache too.
    if link and target.name != "model_index.json":
        try:
            os.link(source, target)
            return
        except OSError:  # another disk, or a file system without links
            pass
    shutil.copyfile(source, target)


def _index_of_parts(index: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The index without the parts that were left out, so that plain diffusers loads the folder."""
    left_out = [name for name in _LEFT_OUT if name in index and not (folder / name).is_dir()]
    kept = {key: value for key, value in index.items() if key != "_name_or_path"}
    kept.update({name: [None, None] for name in left_out})
    if "safety_checker" in left_out and "requires_safety_checker" in kept:
        kept["requires_safety_checker"] = False
    return kept


def _check_space(folder: Path, entry: RegistryEntry) -> None:
    place = folder.absolute()
    while not place.is_dir():
        place = place.parent
    free_gb = shutil.disk_usage(place).free / 1e9
    if free_gb < entry.download_gb:
        raise StorageError(
            f"{entry.download_gb:.1f} GB are to come, and {free_gb:.1f} GB are free",
            where=str(folder),
            todo="Free some space, or choose a folder on another disk with --into.",
        )


def _reason(error: Exception, offline: bool) -> str:
    """Why a mirror failed, in words: the hub's errors carry advice over many lines."""
    name = type(error).__name__
    if isinstance(error, TenfoldError):
        return error.what
    if name == "GatedRepoError":
        return "gated: accept its license on its page and set HF_TOKEN"
    if name == "RepositoryNotFoundError":
        return "no such repository: removed, or private"
    if name == "RevisionNotFoundError":
        return "the pinned revision is gone"
    if name in ("LocalEntryNotFoundError", "OfflineModeIsEnabled") or offline:
        return "not in the local cache, and offline mode forbids to reach for it" if offline else "not reachable"
    if isinstance(error, OSError) and "safetensors" in str(error):
        return "it has no weights in safetensors"
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"not reachable: {first_line[:200]} ({name})" if first_line else f"not reachable ({name})"
