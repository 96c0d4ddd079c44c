"""The split stage: images become train, val and test, sealed by hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.executor import Executor
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import SPLITS, read_manifest
from tenfold.data.split_crossing import settle_crossings
from tenfold.data.split_folds import fold_numbers, fold_split
from tenfold.data.split_id_files import read_ids
from tenfold.data.split_lists import ListedSplit, check_every_class, listed_split, upstream_split
from tenfold.data.splits import (
    DEFAULT_TEST,
    DEFAULT_VALIDATION,
    SplitSize,
    group_keys,
    grouped_split,
    seal_split,
    with_validation,
)
from tenfold.intake.config import SplitConfig
from tenfold.intake.split_summary import size_notes, split_summary

STAGE = "split"
FOLDER = "data/split"
MANIFEST = "data/manifest.parquet"
SPLIT = "data/splits.json"


@dataclass(frozen=True)
class SplitPlan:
    """A split before it is sealed: train, val or test by image_id (missing: in no split), its details and notes."""

    split: pd.Series[str]
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run_split(config: SplitConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write data/splits.json: no patient, lesion, group or near-duplicate cluster crosses; stratified by label.

    DataError when a class is too small for the sizes asked for (what is possible is said), there is only one class, or
    an upstream split leaves out images, parts groups or lacks classes (what can be chosen is said).
    """
    seed = split_seed(config, workspace.root_seed)
    path = workspace.resolve(MANIFEST)
    lists = [Path(config.id_files[name]) for name in SPLITS if name in config.id_files]
    # Planned first: beginning the stage puts away another split, and a request that cannot be met must not cost it.
    manifest = read_manifest(path)
    keys = group_keys(manifest)
    plan = plan_split(config, manifest, seed, keys=keys)
    stage = begin_stage(workspace, STAGE, FOLDER, config, [path, *lists], seed=seed, owns=[SPLIT])
    if stage.is_finished:
        return stage.result()
    sealed = seal_split(workspace.resolve(SPLIT), manifest, plan.split, seed=seed, details=plan.details)
    summary = split_summary(manifest, sealed, keys, config.stratify_by)
    notes = [*plan.notes, *size_notes(sealed, _sizes(config), summary)]
    for name in SPLITS:
        counts = ", ".join(f"{label} {count}" for label, count in sealed.counts[name].items())
        progress.log(f"Split {name}: {counts} (images; {summary['groups'][name]} groups)")
    for note in notes:
        progress.log(note)
    return stage.finish([workspace.resolve(SPLIT)], {**summary, "method": config.method, "notes": notes})


def split_seed(config: SplitConfig, root_seed: int) -> int:
    """The seed of the assignment: the one given, else derived from the workspace's root seed."""
    return derive_seed(root_seed, STAGE) if config.seed is None else config.seed


def plan_split(
    config: SplitConfig, manifest: pd.DataFrame, seed: int, *, keys: pd.Series[str] | None = None
) -> SplitPlan:
    """The split that `run_split` would seal; nothing is written. keys: `group_keys(manifest)` where known."""
    keys = group_keys(manifest) if keys is None else keys
    if config.method == "grouped":
        validation, test = _size(config, "validation"), _size(config, "test")
        split = grouped_split(
            manifest, validation=validation, test=test, seed=seed, stratify_by=config.stratify_by, keys=keys
        )
        details = {"method": "grouped", "stratify_by": list(config.stratify_by)} if config.stratify_by else {}
        return SplitPlan(split, details)
    if config.method == "k_fold" and config.folds is not None:
        return _fold_plan(config, config.folds, manifest, seed, keys)
    return _upstream_plan(config, manifest, seed, keys)


def _fold_plan(config: SplitConfig, folds: int, manifest: pd.DataFrame, seed: int, keys: pd.Series[str]) -> SplitPlan:
    numbers = fold_numbers(manifest, folds, seed=seed, stratify_by=config.stratify_by, keys=keys)
    of_image = {
        str(image_id): int(number) for image_id, number in sorted(numbers.items(), key=lambda item: str(item[0]))
    }
    details = {
        "method": "k_fold", "folds": folds, "fold": config.fold, "fold_of": of_image,
        "stratify_by": list(config.stratify_by),
    }  # fmt: skip
    return SplitPlan(fold_split(numbers, config.fold, folds), details)


def _upstream_plan(config: SplitConfig, manifest: pd.DataFrame, seed: int, keys: pd.Series[str]) -> SplitPlan:
    listed = _listed(config, manifest)
    settled, notes = settle_crossings(manifest, listed.split, config.crossing, keys=keys)
    notes = [*listed.notes, *notes]
    check_every_class(manifest, settled, ("train", "test"))
    has_validation = bool((settled == "val").any())
    if not has_validation:
        used, validation = settled.notna().to_numpy(dtype=bool), _size(config, "validation")
        drawn = with_validation(
            manifest[used], settled[used], validation, seed=seed, stratify_by=config.stratify_by, keys=keys[used]
        )
        settled = drawn.reindex(settled.index)
        count = int((settled == "val").sum())
        notes.append(f"Note: the upstream split has no validation images: {count} were drawn from its training groups.")
    check_every_class(manifest, settled)
    details: dict[str, Any] = {"method": config.method, "crossing": config.crossing, "rest": config.rest}
    if config.method == "upstream":
        details["column"] = config.upstream_column
    else:
        details["list_sha256"] = {name: sha256_file(path) for name, path in sorted(config.id_files.items())}
    if not has_validation:
        details["drawn"] = ["val"]
    return SplitPlan(settled, details, tuple(notes))


def _listed(config: SplitConfig, manifest: pd.DataFrame) -> ListedSplit:
    if config.method == "upstream":
        return upstream_split(manifest, column=config.upstream_column, values=config.upstream_values, rest=config.rest)
    lists: dict[str, list[str]] = {}
    for name, path in config.id_files.items():
        lists[name] = read_ids(Path(path), config.id_column)
    return listed_split(manifest, lists, id_column=config.id_column, rest=config.rest)


def _size(config: SplitConfig, name: str) -> SplitSize:
    per_class, fraction = getattr(config, f"{name}_per_class"), getattr(config, f"{name}_fraction")
    if per_class is not None:
        return SplitSize(per_class=per_class)
    if fraction is not None:
        return SplitSize(fraction=fraction)
    return DEFAULT_TEST if name == "test" else DEFAULT_VALIDATION


def _sizes(config: SplitConfig) -> dict[str, SplitSize]:
    if config.method != "grouped":
        return {}
    return {"test": _size(config, "test"), "val": _size(config, "validation")}
