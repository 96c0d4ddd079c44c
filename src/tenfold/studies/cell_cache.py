"""Cells of equal content are trained once: a second one, of whatever study, takes over the first one's files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.classification.config import ClassifierConfig
from tenfold.core.errors import DataError
from tenfold.core.files import read_json, write_atomic, write_json_atomic
from tenfold.core.hashing import sha256_json, sha256_path
from tenfold.core.run_record import Result, begin_stage, hash_inputs, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.data.verdicts import kept_out_files

LINKED_FROM = "linked_from"
_INDEX = "cache/cells"
_NAMES = ("cell", "study", "arm", "extra_manifests", "extra_weights")
"""What a cell is called and where its extra images lie: their content counts instead."""
_CONTENT = ("image_id", "label", "source", "sha256", "ancestors", "review", "quarantine_reason")


def content_key(config: ClassifierConfig, workspace: Workspace) -> str:
    """SHA-256 of all that decides a cell's weights and probabilities. Raises DataError when an input is missing."""
    from tenfold.classification.fitting import cell_inputs
    from tenfold.classification.run import STAGE

    named = {workspace.resolve(path) for path in (*config.extra_manifests, config.extra_weights) if path}
    verdicts = kept_out_files(workspace, config.extra_manifests) if config.extra_review == "filtered" else []
    others = [path for path in cell_inputs(config, workspace) if path not in named | set(verdicts)]
    settings = config.model_dump(mode="json")
    return sha256_json(
        {
            "settings": {name: value for name, value in settings.items() if name not in _NAMES},
            "inputs": hash_inputs(workspace, STAGE, others),
            "extra": [_manifest_content(workspace.resolve(path)) for path in config.extra_manifests],
            "weights": sha256_path(workspace.resolve(config.extra_weights)) if config.extra_weights else None,
            **({"verdicts": [sha256_path(path) for path in verdicts]} if verdicts else {}),
        }
    )


def take_over(config: ClassifierConfig, workspace: Workspace, key: str) -> Result | None:
    """The result of a finished cell of the same content, under this cell's name; None where there is none, or where
    this cell is finished or begun itself."""
    from tenfold.classification.fitting import cell_inputs
    from tenfold.classification.run import STAGE

    folder = workspace.resolve(f"classifiers/{config.cell}")
    source = None if folder.exists() else _finished(workspace, key)
    if source is None:
        return None
    record = read_run_record(workspace.resolve(f"classifiers/{source}"))
    stage = begin_stage(
        workspace, STAGE, f"classifiers/{config.cell}", config, cell_inputs(config, workspace),
        seed=config.classifier_seed,
    )  # fmt: skip
    if stage.is_finished:
        return stage.result()
    outputs = []
    for path in record.outputs:
        target = folder / Path(path).relative_to(f"classifiers/{source}")
        _copy(workspace.resolve(path), target, config.arm)
        outputs.append(target)
    summary = {**record.summary, "cell": config.cell, "arm": config.arm, LINKED_FROM: source}
    device = str(record.environment.get("device", "cpu"))
    return stage.finish(outputs, summary, device=device if device in ("cpu", "cuda") else "cpu")


def remember(config: ClassifierConfig, workspace: Workspace, key: str) -> None:
    """Note that this cell, which is finished, has this content; the first one that had it stays the one to copy."""
    if _finished(workspace, key) is None:
        path = workspace.resolve(f"{_INDEX}/{key}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(path, {"cell": config.cell})


def _finished(workspace: Workspace, key: str) -> str | None:
    """The cell that is noted for this content, while its record and its files are as they were written."""
    path = workspace.resolve(f"{_INDEX}/{key}.json")
    if not path.is_file():
        return None
    try:
        name = str(read_json(path)["cell"])
        record = read_run_record(workspace.resolve(f"classifiers/{name}"))
    except (DataError, KeyError, TypeError):
        return None
    files: dict[Path, Any] = {workspace.resolve(one): digest for one, digest in record.outputs.items()}
    inside = all(one.is_relative_to(workspace.resolve(f"classifiers/{name}")) for one in files)
    same = inside and all(one.exists() and sha256_path(one) == digest for one, digest in files.items())
    # The cell's folder can hold another content by now: its config says so.
    return name if same and _key_of(record.config, workspace) == key else None


def _key_of(dumped: Any, workspace: Workspace) -> str | None:
    try:
        return content_key(ClassifierConfig.model_validate(dumped), workspace)
    except (ValueError, DataError):
        return None


def _manifest_content(path: Path) -> str:
    """SHA-256 of what a set's manifest says of its images, wherever these lie."""
    if not path.is_file():
        raise DataError(
            "the manifest of a cell's extra images is missing", where=str(path), todo="Run the study again."
        )
    table = pd.read_parquet(path)
    columns = {name: table[name].astype("string").fillna("").tolist() for name in _CONTENT if name in table.columns}
    return sha256_json(columns)


def _copy(source: Path, target: Path, arm: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link)
    elif source.name == "predictions.parquet":
        table = pd.read_parquet(source)
        with write_atomic(target) as temporary:
            table.assign(arm=arm).to_parquet(temporary, index=False)
    else:
        _link(source, target)


def _link(source: Path, target: Path) -> None:
    """One file under two names; a copy where the file system has no such links."""
    try:
        os.link(source, target)
    except OSError:
        with write_atomic(target) as temporary:
            shutil.copyfile(source, temporary)
