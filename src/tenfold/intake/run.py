"""The intake stage: real images, or the phantom's, become a manifest with canonical image files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError, Faults, StageError
from tenfold.core.executor import Executor
from tenfold.core.files import write_bytes_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.data.import_items import Listing, QuarantineRow, check_classes
from tenfold.data.importers import list_source
from tenfold.data.manifest import csv_text, labels_of, make_manifest, write_manifest
from tenfold.data.phantom import CONDITIONS, EMERGING, make_cohort
from tenfold.data.splits import MINIMUM_GROUPS
from tenfold.intake.config import NOT_STATED, PHANTOM, IntakeConfig
from tenfold.intake.originals import Original, hash_originals, quarantine, without_duplicates, write_plan
from tenfold.intake.preparation import Failed, Prepared, preparation_tasks, prepare
from tenfold.intake.rows import (
    IMAGES_FOLDER,
    MASKS_FOLDER,
    fill_groups,
    imported_row,
    known_group_columns,
    phantom_row,
    quarantine_table,
)

STAGE = "intake"
FOLDER = "data/intake"
MANIFEST = "data/manifest.parquet"
QUARANTINE = "data/quarantine.csv"
PLAN = "data/intake_plan.jsonl"
_OWNS = (IMAGES_FOLDER, MASKS_FOLDER, MANIFEST, QUARANTINE)


def run(config: IntakeConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write data/manifest.parquet, data/images/, data/quarantine.csv (and data/masks/ of the phantom).

    Rows in = rows kept + rows quarantined, logged and in the summary. An interrupted import resumes without decoding
    again what is written. DataError when the source cannot be used, or when a class keeps too few images to be split.
    """
    if config.format == PHANTOM or (config.format == "auto" and config.source == PHANTOM):
        return _run_phantom(config, workspace, progress)
    return _run_import(config, workspace, executor, progress)


def _run_phantom(config: IntakeConfig, workspace: Workspace, progress: Progress) -> Result:
    labels = list(EMERGING) if config.classes is None else config.classes
    check_classes(CONDITIONS, labels, where="the phantom")
    counts = _phantom_counts(config, labels)
    seed = derive_seed(workspace.root_seed, STAGE)
    stage = begin_stage(workspace, STAGE, FOLDER, config, [], seed=seed, owns=_OWNS)
    if stage.is_finished:
        return stage.result()
    modality = config.modality or "phantom"
    rows = []
    with progress.task("Drawing phantom images", sum(counts.values())) as task:
        for label, count in counts.items():
            photos = make_cohort(
                {label: count}, seed=seed, image_size_px=config.image_size_px, skin_types=config.phantom.skin_types
            )
            for photo in photos:
                png = encode_png(photo.image)
                row = phantom_row(photo, png, modality=modality, class_nouns=config.class_nouns)
                write_bytes_atomic(workspace.resolve(row["path"]), png)
                write_bytes_atomic(workspace.resolve(row["mask_path"]), encode_png(photo.mask))
                rows.append(row)
                task.advance()
    listing = Listing(workspace.path, (), ())
    return _finish(config, stage, rows, listing, [], progress)


def _phantom_counts(config: IntakeConfig, labels: Sequence[str]) -> dict[str, int]:
    wanted = config.phantom.images_per_class
    if isinstance(wanted, int):
        return dict.fromkeys(labels, wanted)
    missing = [label for label in labels if label not in wanted]
    unused = [label for label in wanted if label not in labels]
    if missing or unused:
        raise DataError(
            "the phantom's images_per_class does not fit its classes: "
            + "; ".join(
                filter(
                    None,
                    [
                        f"no number for {', '.join(missing)}" if missing else "",
                        f"not among the classes: {', '.join(unused)}" if unused else "",
                    ],
                )
            ),
            where="intake.phantom.images_per_class",
            expected=f"a number for each of {', '.join(labels)}, or one for all",
        )
    return {label: wanted[label] for label in labels}


def _run_import(config: IntakeConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    source_format = config.format if config.format in ("folder", "table") else None
    source = Path(config.source).expanduser().absolute()
    listing = list_source(source, source_format, column_map=config.column_map, classes=config.classes)
    hashed, unreadable = hash_originals(listing.items)
    originals, duplicates = without_duplicates(hashed)
    refused = [*listing.quarantined, *unreadable, *duplicates]
    plan = workspace.resolve(PLAN)
    write_plan(plan, listing, originals, refused)
    seed = derive_seed(workspace.root_seed, STAGE)
    stage = begin_stage(workspace, STAGE, FOLDER, config, [plan], seed=seed, owns=_OWNS)
    if stage.is_finished:
        return stage.result()
    answers = _prepare_all(config, workspace, originals, executor, progress)
    rows: list[dict[str, Any]] = []
    for original, answer in zip(originals, answers, strict=True):
        if isinstance(answer, Failed):
            refused.append(quarantine(original.item, answer.reason, answer.detail))
            continue
        rows.append(
            imported_row(
                original, answer, image_size_px=config.image_size_px, modality=config.modality,
                class_nouns=config.class_nouns,
            )
        )  # fmt: skip
    return _finish(config, stage, rows, listing, refused, progress)


def _prepare_all(
    config: IntakeConfig, workspace: Workspace, originals: Sequence[Original], executor: Executor, progress: Progress
) -> list[Prepared | Failed]:
    folder = workspace.resolve(IMAGES_FOLDER)
    paths = [(original.item.path, folder / f"{original.image_id}.png") for original in originals]
    tasks = preparation_tasks(paths, config.image_size_px, config.resize_mode)
    answers: dict[int, list[Prepared | Failed]] = {}
    with progress.task("Reading images", len(originals)) as task:
        for number, answer in executor.map(prepare, tasks):
            answers[number] = answer
            task.advance(len(answer))
    return [answer for number in range(len(tasks)) for answer in answers[number]]


def _finish(
    config: IntakeConfig, stage: StageRun, rows: Sequence[Mapping[str, Any]], listing: Listing,
    refused: Sequence[QuarantineRow], progress: Progress,
) -> Result:  # fmt: skip
    """Write the manifest and the quarantine, check the classes, tell the counts."""
    workspace = stage.workspace
    rows_in = len(listing.items) + len(listing.quarantined) or len(rows)
    if rows_in != len(rows) + len(refused):
        raise StageError(
            f"{rows_in} rows came in, but {len(rows)} were kept and {len(refused)} quarantined",
            todo="this is a fault of Tenfold: please report it",
        )
    write_text_atomic(workspace.resolve(QUARANTINE), csv_text(quarantine_table(refused)))
    progress.log(f"Intake: {rows_in} rows in = {len(rows)} kept + {len(refused)} quarantined")
    _check_class_sizes(config, rows, refused)
    manifest = make_manifest(rows)
    known = known_group_columns(manifest)
    manifest = fill_groups(manifest)
    write_manifest(manifest, workspace.resolve(MANIFEST))
    summary = _summary(config, workspace, manifest, listing, refused)
    summary["grouped_by"] = [*known, "near-duplicates"]
    summary["warnings"] = _warnings(manifest, known, summary)
    for line in (*listing.notes, *summary["warnings"]):
        progress.log(line)
    outputs = [MANIFEST, QUARANTINE, *manifest["path"].tolist(), *manifest["mask_path"].dropna().tolist()]
    return stage.finish([workspace.resolve(path) for path in outputs], summary)


def _check_class_sizes(
    config: IntakeConfig, rows: Sequence[Mapping[str, Any]], refused: Sequence[QuarantineRow]
) -> None:
    kept = Counter(str(row["label"]) for row in rows)
    lost = Counter(row.label for row in refused if row.label)
    labels = sorted({*kept, *lost} if config.classes is None else config.classes)
    if not kept:
        reasons = ", ".join(
            f"{count} {reason}" for reason, count in Counter(row.reason for row in refused).most_common()
        )
        raise DataError(
            "no image could be kept",
            where=f"{config.source}: {reasons}",
            expected="readable images of two or more classes",
            todo=f"see {QUARANTINE} in the workspace for the reason of each",
        )
    possible = [label for label in labels if kept[label] >= MINIMUM_GROUPS]
    faults = Faults()
    for label in labels:
        if kept[label] < MINIMUM_GROUPS:
            faults.add(
                DataError(
                    f"the class {label!r} has {kept[label]} usable images",
                    where=f"{config.source}; quarantined: {lost[label]}",
                    expected=f"at least {MINIMUM_GROUPS}: one each for training, validation and test",
                    todo=f"add images, or go on without the class: intake.classes=[{','.join(possible)}]"
                    if len(possible) > 1
                    else "add images: two classes of this size are the least that can be told apart",
                )
            )
    faults.raise_if_any()


def _summary(
    config: IntakeConfig,
    workspace: Workspace,
    manifest: pd.DataFrame,
    listing: Listing,
    refused: Sequence[QuarantineRow],
) -> dict[str, Any]:
    labels = manifest["label"].astype(str)
    return {
        "rows_in": len(manifest) + len(refused), "kept": len(manifest), "quarantined": len(refused),
        "quarantine_reasons": dict(sorted(Counter(row.reason for row in refused).items())),
        "rows_of_other_classes": dict(listing.other_classes),
        "images_per_class": {label: int((labels == label).sum()) for label in labels_of(manifest)},
        "groups_per_class": {
            label: int(manifest.loc[labels == label, "group_id"].nunique()) for label in labels_of(manifest)
        },
        "patients": int(manifest["patient_id"].nunique()), "lesions": int(manifest["lesion_id"].nunique()),
        "skin_types_known": int(manifest["skin_type"].notna().sum()),
        "caption_sources": dict(sorted(Counter(manifest["attr.caption_source"].astype(str)).items())),
        "columns": dict(listing.columns), "notes": list(listing.notes),
        "data_license": workspace.data_license if config.data_license == NOT_STATED else config.data_license,
    }  # fmt: skip


def _warnings(manifest: pd.DataFrame, known: Sequence[str], summary: Mapping[str, Any]) -> list[str]:
    warnings = []
    if not known:
        warnings.append(
            "Warning: no patient, lesion or group is known: images are grouped by near-duplicates only, so images "
            "of one patient may lie on both sides of the split and figures may be too good. Name the column by "
            "intake.column_map={patient_id: COLUMN}."
        )
    missing = summary["quarantine_reasons"].get("missing_file", 0)
    if missing:
        warnings.append(f"Warning: {missing} image files are missing; they are listed in {QUARANTINE}.")
    conflicts = summary["quarantine_reasons"].get("conflicting_labels", 0)
    if conflicts:
        warnings.append(f"Warning: {conflicts} files have a twin of another class and were left out; see {QUARANTINE}.")
    return warnings
