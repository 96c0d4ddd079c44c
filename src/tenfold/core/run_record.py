"""The record of a stage: begun, resumed or finished, with `run.json` written last."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tenfold.core.environment import describe_environment, peak_memory_bytes
from tenfold.core.errors import DataError, StageError
from tenfold.core.files import plain_json, read_json, remove_temporary_files, storage_errors, write_json_atomic
from tenfold.core.hashing import sha256_json, sha256_path
from tenfold.core.workspace import Workspace

_RECORD = "run.json"
_STARTED = "started.json"
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Result:
    """What a stage made: `outputs` maps workspace-relative paths to SHA-256; `summary` is plain JSON."""

    stage: str
    folder: Path
    outputs: Mapping[str, str]
    summary: Mapping[str, Any]
    was_finished: bool = False


@dataclass(frozen=True)
class RunRecord:
    """The content of `run.json`; times are UTC in ISO 8601, `seconds` those of the last process alone."""

    stage: str
    config: Mapping[str, Any]
    seed: int
    fingerprint: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    summary: Mapping[str, Any]
    environment: Mapping[str, Any]
    started_at: str
    finished_at: str
    seconds: float
    peak_memory_bytes: int
    tenfold_version: str


@dataclass(frozen=True)
class StageRun:
    """A stage that was begun. When `is_finished`, return `result()`; else work, then return `finish(...)`."""

    workspace: Workspace
    stage: str
    folder: Path
    seed: int
    is_finished: bool
    fingerprint: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    started_at: str
    _clock: float = field(default_factory=time.monotonic, repr=False)

    def result(self) -> Result:
        """The result of the finished record."""
        record = read_run_record(self.folder)
        return Result(self.stage, self.folder, record.outputs, record.summary, was_finished=True)

    def finish(self, outputs: Iterable[Path], summary: Mapping[str, Any], *, device: str = "cpu") -> Result:
        """Hash the outputs (files or folders in the workspace) and write `run.json` last, atomically."""
        environment = describe_environment(device)
        record = RunRecord(
            stage=self.stage,
            config=self.config,
            seed=self.seed,
            fingerprint=self.fingerprint,
            inputs=self.inputs,
            outputs=self._hashed(outputs),
            summary=summary,
            environment=environment,
            started_at=self.started_at,
            finished_at=_now(),
            seconds=round(time.monotonic() - self._clock, 3),
            peak_memory_bytes=peak_memory_bytes(),
            tenfold_version=environment["tenfold"] or "",
        )
        write_json_atomic(self.folder / _RECORD, asdict(replace(record, outputs={})) | {"outputs": record.outputs})
        (self.folder / _STARTED).unlink(missing_ok=True)
        # As read back, so that a first run and a resumed one hand on the same plain JSON values.
        return Result(self.stage, self.folder, record.outputs, plain_json(summary))

    def _hashed(self, outputs: Iterable[Path]) -> dict[str, str]:
        hashes = {}
        for path in outputs:
            if not Path(path).exists():
                raise StageError(f"the stage {self.stage} names an output that it did not write", where=str(path))
            hashes[self.workspace.relative(path)] = sha256_path(path)
        return dict(sorted(hashes.items()))


def begin_stage(
    workspace: Workspace,
    stage: str,
    folder: str | Path,
    config: BaseModel,
    inputs: Iterable[Path],
    *,
    seed: int,
    owns: Iterable[str | Path] = (),
) -> StageRun:
    """Begin, resume or recognize a stage that writes to `folder` (relative to the workspace).

    Finished means: `run.json` has the same stage, config, seed and input hashes, and every output its recorded
    hash. Unfinished work of the same fingerprint is kept, for the stage to resume; of another one it is removed,
    with the outputs its record names. `owns` names files and folders outside `folder` that only this stage writes,
    so that they are removed too when its work was never finished. Raises DataError when an input is missing.
    """
    place = workspace.resolve(folder)
    dumped = config.model_dump(mode="json")
    hashes = hash_inputs(workspace, stage, inputs)
    fingerprint = sha256_json({"stage": stage, "config": dumped, "seed": seed, "inputs": hashes})
    with storage_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        remove_temporary_files(place)
        record, started = _read_if_whole(place / _RECORD), _read_if_whole(place / _STARTED)
        if {marker["fingerprint"] for marker in (record, started) if marker} - {fingerprint}:
            _remove_work(workspace, place, [record.get("outputs", {}), started.get("owns", ())])
            record, started = {}, {}
        damaged = _damaged_outputs(workspace, record.get("outputs", {}))
        is_finished = bool(record) and not damaged
        started_at = (record or started).get("started_at", _now()) if not damaged else _now()
        if is_finished:
            (place / _STARTED).unlink(missing_ok=True)
        else:
            owned = [workspace.relative(path) for path in owns]
            write_json_atomic(place / _STARTED, {"fingerprint": fingerprint, "started_at": started_at, "owns": owned})
            # Only after the mark, and before the damaged outputs: a kill here leaves resumable work, never a lie.
            _remove_paths([place / _RECORD, *damaged])
    return StageRun(workspace, stage, place, seed, is_finished, fingerprint, dumped, hashes, started_at)


def record_command(
    folder: Path, stage: str, config: BaseModel, inputs: Mapping[str, str], summary: Mapping[str, Any],
    began: datetime,
) -> None:  # fmt: skip
    """Write `run.json`, last, into a folder of results that may lie outside any workspace.

    inputs: SHA-256 by name. Everything in the folder that is not hidden is an output, named relative to it; `config`
    has a seed. `began` is in UTC.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    outputs = {path.relative_to(folder).as_posix(): sha256_path(path) for path in files if path.name != _RECORD}
    dumped = config.model_dump(mode="json")
    environment = describe_environment("cpu")
    ended = datetime.now(UTC)
    record = RunRecord(
        stage=stage,
        config=dumped,
        seed=int(dumped["seed"]),
        fingerprint=sha256_json({"stage": stage, "config": dumped, "seed": dumped["seed"], "inputs": dict(inputs)}),
        inputs=dict(inputs),
        outputs=outputs,
        summary=summary,
        environment=environment,
        started_at=began.isoformat(timespec="milliseconds"),
        finished_at=ended.isoformat(timespec="milliseconds"),
        seconds=round((ended - began).total_seconds(), 3),
        peak_memory_bytes=peak_memory_bytes(),
        tenfold_version=environment["tenfold"] or "",
    )
    write_json_atomic(folder / _RECORD, asdict(record))


def hash_inputs(workspace: Workspace, stage: str, inputs: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each input by the name that a record gives it. Raises DataError when one is missing."""
    hashes: dict[str, str] = {}
    for path in map(Path, inputs):
        if not path.exists():
            raise DataError(
                f"an input of the stage {stage} is missing",
                where=str(path),
                expected="a file or folder that an earlier stage or the user made",
                todo="Run the stages in their order, or give the right path.",
            )
        key = name = _input_name(workspace, path)
        number = 1
        while key in hashes:
            number += 1
            key = f"{name}#{number}"
        hashes[key] = sha256_path(path)
    return dict(sorted(hashes.items()))


def read_run_record(folder: str | Path) -> RunRecord:
    """The record of a finished stage. Raises DataError when the folder is unfinished or the record damaged."""
    path = Path(folder) / _RECORD
    if not path.exists():
        raise DataError(
            "the stage is not finished",
            where=str(folder),
            expected=f"a folder with {_RECORD}",
            todo="Run the same command again: it resumes.",
        )
    content = read_json(path)
    try:
        return RunRecord(**content)
    except TypeError as error:
        raise DataError(
            f"the run record is damaged: {error}", where=str(path), todo="Remove the file and run again."
        ) from error


def _input_name(workspace: Workspace, path: Path) -> str:
    """Workspace-relative, `tenfold:` for package data, else the bare name: a record names no machine's folders."""
    path = path.absolute()
    if path.is_relative_to(workspace.path):
        return workspace.relative(path)
    if path.resolve().is_relative_to(_PACKAGE):
        return "tenfold:" + path.resolve().relative_to(_PACKAGE).as_posix()
    return "external:" + path.name


def _read_if_whole(path: Path) -> dict[str, Any]:
    """The marker's content; empty when it is missing or unreadable (that work is then begun anew)."""
    if not path.exists():
        return {}
    try:
        content = read_json(path)
    except DataError:
        return {"fingerprint": "unreadable"}
    return content if isinstance(content, dict) and "fingerprint" in content else {"fingerprint": "unreadable"}


def _damaged_outputs(workspace: Workspace, outputs: Mapping[str, str]) -> list[Path]:
    paths = {workspace.resolve(relative): expected for relative, expected in outputs.items()}
    return [path for path, expected in paths.items() if not path.exists() or sha256_path(path) != expected]


def _remove_work(workspace: Workspace, folder: Path, recorded: Iterable[Iterable[str]]) -> None:
    """Remove recorded outputs, then the folder's content; the markers last, so that a kill forgets nothing."""
    outside = {workspace.resolve(relative) for paths in recorded for relative in paths}
    _remove_paths(outside - {workspace.path, folder})
    _remove_paths(entry for entry in folder.iterdir() if entry.name not in (_RECORD, _STARTED))
    _remove_paths([folder / _RECORD, folder / _STARTED])


def _remove_paths(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
