"""The split stage: images become train, val and test, sealed by hash."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tenfold.core.executor import Executor
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import SPLITS, labels_of, read_manifest
from tenfold.data.splits import SealedSplit, SplitSize, group_keys, grouped_split, seal_split, with_split
from tenfold.intake.config import SplitConfig

STAGE = "split"
FOLDER = "data/split"
MANIFEST = "data/manifest.parquet"
SPLIT = "data/splits.json"
_TEST_FRACTION = 0.25
_VALIDATION_FRACTION = 0.15


def run_split(config: SplitConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write data/splits.json: no patient, lesion, group or near-duplicate cluster crosses; stratified by label.

    DataError when a class is too small for the sizes asked for (what is possible is said), or there is only one class.
    """
    seed = derive_seed(workspace.root_seed, STAGE) if config.seed is None else config.seed
    path = workspace.resolve(MANIFEST)
    stage = begin_stage(workspace, STAGE, FOLDER, config, [path], seed=seed, owns=[SPLIT])
    if stage.is_finished:
        return stage.result()
    manifest = read_manifest(path)
    test = _size(config.test_per_class, config.test_fraction, _TEST_FRACTION)
    validation = _size(config.validation_per_class, config.validation_fraction, _VALIDATION_FRACTION)
    split = grouped_split(manifest, validation=validation, test=test, seed=seed)
    sealed = seal_split(workspace.resolve(SPLIT), manifest, split, seed=seed)
    summary = _summary(manifest, sealed, {"test": test, "val": validation})
    for name in SPLITS:
        counts = ", ".join(f"{label} {count}" for label, count in sealed.counts[name].items())
        progress.log(f"Split {name}: {counts} (images; {summary['groups'][name]} groups)")
    for note in summary["notes"]:
        progress.log(note)
    return stage.finish([workspace.resolve(SPLIT)], summary)


def _size(per_class: int | None, fraction: float | None, default: float) -> SplitSize:
    if per_class is not None:
        return SplitSize(per_class=per_class)
    return SplitSize(fraction=default if fraction is None else fraction)


def _summary(manifest: pd.DataFrame, sealed: SealedSplit, sizes: dict[str, SplitSize]) -> dict[str, Any]:
    table = with_split(manifest, sealed)
    keys = group_keys(table)
    available = {label: int((table["label"] == label).sum()) for label in labels_of(table)}
    notes = [
        f"Note: {name} takes {sealed.counts[name][label]} instead of {size.target(count)} images of {label}: "
        "groups are not parted"
        for name, size in sizes.items()
        for label, count in available.items()
        if sealed.counts[name][label] != size.target(count)
    ]
    return {
        "images": {name: dict(sealed.counts[name]) for name in SPLITS},
        "groups": {name: int(keys[table["split"] == name].nunique()) for name in SPLITS},
        "patients": {name: int(table.loc[table["split"] == name, "patient_id"].nunique()) for name in SPLITS},
        "test_sha256": sealed.test_sha256, "sha256": sealed.sha256, "notes": notes,
    }  # fmt: skip
