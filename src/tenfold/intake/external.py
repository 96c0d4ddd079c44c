"""Synthetic images made elsewhere: imported like real ones, of unknown ancestors, never counted as strict."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError, InputError, StageError, WorkspaceError
from tenfold.core.executor import Executor
from tenfold.core.files import write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage, read_run_record
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.images import ResizeMode
from tenfold.data.import_items import QuarantineRow, nearest_names
from tenfold.data.manifest import csv_text, make_manifest, read_manifest, write_manifest
from tenfold.data.source_options import SourceOptions
from tenfold.intake.config import ExternalConfig
from tenfold.intake.external_card import external_card
from tenfold.intake.import_summary import check_strict, counts_sentence, reasons_text
from tenfold.intake.originals import Original, quarantine
from tenfold.intake.preparation import Failed, PreparationSettings, Prepared, image_task, prepare_all
from tenfold.intake.rows import captioned, quarantine_table
from tenfold.intake.run import FOLDER as INTAKE_FOLDER
from tenfold.intake.run import MANIFEST
from tenfold.intake.sources import Source, open_source

STAGE = "external"
STRATEGY = "external"
COPY_OF_REAL = "copy_of_a_real_image"
_DEFAULT_SIZE_PX = 64
_PROMPT = "attr.prompt"
_PLAN = "data/external/{}.jsonl"


@dataclass(frozen=True)
class _Placement:
    """What all rows share: the folder (seen from the workspace), the size, and what made the images."""

    folder: str
    image_size_px: int
    generator: str
    class_nouns: Mapping[str, str]


def run_external(config: ExternalConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write synthetic/<generator>/ with manifest.parquet, images/, masks/, quarantine.csv and README.md (a data card).

    Nobody knows which real images these descend from, so their `ancestors` are null and no arm with a strict budget may
    train on them. Files that are the workspace's own real images, or have the same pixels, are quarantined. DataError
    when the source cannot be used or holds other classes than the real images; WorkspaceError when the folder holds
    images that this workspace generated.
    """
    folder = f"synthetic/{config.generator}"
    plan = _PLAN.format(config.generator)
    _refuse_other_stage(workspace, folder, plan)
    real = _real_manifest(workspace)
    path = Path(config.source).expanduser().absolute()
    source = _spelled_alike(open_source(path, _options(config), workspace, plan, executor, progress), real)
    try:
        _check_labels(source, real, config)
        if (workspace.resolve(folder) / "run.json").is_file() and not source.is_planned_already:
            # Beginning another import puts the earlier one away: not for one that cannot be kept.
            if config.is_strict:
                check_strict(source.refused, where=config.source, quarantine=f"{folder}/quarantine.csv")
            _check_any(len(source.originals), config, source.refused, f"{folder}/quarantine.csv")
    except InputError:
        source.drop_plan()
        raise
    seed = derive_seed(workspace.root_seed, STAGE, config.generator)
    inputs = [source.adopt_plan()] + ([] if real is None else [workspace.resolve(MANIFEST)])
    stage = begin_stage(workspace, STAGE, folder, config, inputs, seed=seed)
    if stage.is_finished:
        return stage.result()
    size, mode = _canonical_form(config, workspace, real)
    images, masks, records = (stage.folder / name for name in ("images", "masks", "prepared"))
    tasks = (image_task(one, measures_skin=False) for one in source.originals)
    answers = prepare_all(tasks, PreparationSettings(size, mode, images, masks, records), executor, progress)
    kept, refused = _kept(source, answers, real)
    for one in (images, masks):
        _remove_unlisted(one, {original.image_id for original, _ in kept})
    if source.rows_in != len(kept) + len(refused):
        raise StageError(f"{source.rows_in} rows came in, but {len(kept)} were kept and {len(refused)} quarantined")
    write_text_atomic(stage.folder / "quarantine.csv", csv_text(quarantine_table(refused)))
    progress.log(counts_sentence(source.rows_in, len(kept), refused))
    _check(config, kept, refused, f"{folder}/quarantine.csv")
    placement = _Placement(folder, size, config.generator, config.class_nouns)
    manifest = make_manifest(_row(original, prepared, placement) for original, prepared in kept)
    write_manifest(manifest, stage.folder / "manifest.parquet")
    summary = _summary(manifest, source, refused, config)
    write_text_atomic(stage.folder / "README.md", external_card(summary, size))
    for line in (*summary["notes"], *summary["warnings"]):
        progress.log(line)
    names = ["manifest.parquet", "quarantine.csv", "README.md", "images", *(["masks"] if masks.is_dir() else [])]
    result = stage.finish([stage.folder / name for name in names], summary)
    shutil.rmtree(records, ignore_errors=True)
    return result


def _options(config: ExternalConfig) -> SourceOptions:
    source_format = None if config.format == "auto" else config.format
    return SourceOptions(format=source_format, column_map=config.column_map, classes=config.classes)


def _refuse_other_stage(workspace: Workspace, folder: str, plan: str) -> None:
    """Generated images are results: an import must not take their place."""
    place = workspace.resolve(folder)
    if not place.is_dir() or not any(place.iterdir()):
        return
    try:
        stage = read_run_record(place).stage
    except DataError:
        stage = STAGE if workspace.resolve(plan).is_file() else "unfinished"
    if stage != STAGE:
        raise WorkspaceError(
            f"the folder {folder} holds images that this workspace made (stage {stage})", where=str(place),
            expected="a name that is free, or that of an earlier import of this kind",
            todo="choose another --generator name",
        )  # fmt: skip


def _real_manifest(workspace: Workspace) -> pd.DataFrame | None:
    path = workspace.resolve(MANIFEST)
    return read_manifest(path) if path.is_file() else None


def _spelled_alike(source: Source, real: pd.DataFrame | None) -> Source:
    """The source with its labels spelled as the real images' are, where only the case differs."""
    known = {} if real is None else {str(label).casefold(): str(label) for label in real["label"]}
    originals = tuple(
        replace(one, item=replace(one.item, label=known.get(one.item.label.casefold(), one.item.label)))
        for one in source.originals
    )
    return replace(source, originals=originals)


def _check_labels(source: Source, real: pd.DataFrame | None, config: ExternalConfig) -> None:
    if real is None:
        return
    known = sorted({str(label) for label in real["label"]})
    unknown = sorted({one.item.label for one in source.originals} - set(known))
    if unknown:
        taken = sorted({one.item.label for one in source.originals} & set(known))
        advice = f"name the folders or labels alike ({nearest_names(unknown, known)})"
        raise DataError(
            f"the synthetic images have classes that the real ones lack: {', '.join(unknown[:10])}",
            where=config.source, expected=f"some of: {', '.join(known[:20])}",
            todo=advice + (f", or take only the others: classes=[{','.join(taken)}]" if taken else ""),
        )  # fmt: skip


def _canonical_form(config: ExternalConfig, workspace: Workspace, real: pd.DataFrame | None) -> tuple[int, ResizeMode]:
    """Size and cut of the workspace's real images: images cut another way would tell their origin by it."""
    recorded: Mapping[str, Any] = {}
    if real is not None:
        try:
            recorded = read_run_record(workspace.resolve(INTAKE_FOLDER)).config
        except DataError:
            recorded = {}
    own_size = int(real["width_px"].iloc[0]) if real is not None and len(real) else _DEFAULT_SIZE_PX
    own_mode: ResizeMode = "pad" if recorded.get("resize_mode") == "pad" else "center_crop"
    return config.image_size_px or own_size, config.resize_mode or own_mode


def _kept(
    source: Source, answers: Iterable[Prepared | Failed], real: pd.DataFrame | None
) -> tuple[list[tuple[Original, Prepared]], list[QuarantineRow]]:
    ids = set() if real is None else {str(value) for value in real["image_id"]}
    pixels = set() if real is None else {str(value) for value in real["sha256"]}
    kept, refused = [], list(source.refused)
    for original, answer in zip(source.originals, answers, strict=True):
        if isinstance(answer, Failed):
            refused.append(quarantine(original.item, answer.reason, answer.detail))
        elif original.image_id in ids or answer.sha256 in pixels:
            detail = "a real image of this workspace, not a synthetic one"
            refused.append(quarantine(original.item, COPY_OF_REAL, detail))
        else:
            kept.append((original, answer))
    return kept, refused


def _check(
    config: ExternalConfig, kept: Sequence[tuple[Original, Prepared]], refused: Sequence[QuarantineRow], listed_in: str
) -> None:
    if config.is_strict:
        check_strict(refused, where=config.source, quarantine=listed_in)
    _check_any(len(kept), config, refused, listed_in)


def _check_any(count: int, config: ExternalConfig, refused: Sequence[QuarantineRow], listed_in: str) -> None:
    if not count:
        raise DataError(
            "no image could be kept", where=f"{config.source}: {reasons_text(refused)}",
            expected="readable synthetic images", todo=f"see {listed_in} in the workspace for the reason of each",
        )  # fmt: skip


def _row(original: Original, prepared: Prepared, placement: _Placement) -> dict[str, Any]:
    fields, name = captioned(original.item, placement.class_nouns), f"{original.image_id}.png"
    return {
        **fields, "image_id": original.image_id, "label": original.item.label, "source": "synthetic", "split": "train",
        "path": f"{placement.folder}/images/{name}",
        "mask_path": f"{placement.folder}/masks/{name}" if prepared.mask_sha256 else None,
        "width_px": placement.image_size_px, "height_px": placement.image_size_px, "sha256": prepared.sha256,
        "phash": prepared.phash, "ancestors": None, "strategy": STRATEGY, "prompt": fields.get(_PROMPT),
        "checkpoint": placement.generator, "review": "unreviewed", "attr.original_path": original.item.name,
        "attr.original_width_px": prepared.facts.width_px, "attr.original_height_px": prepared.facts.height_px,
    }  # fmt: skip


def _remove_unlisted(folder: Path, image_ids: set[str]) -> None:
    """Copies of real images were written before they were known as such."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.stem not in image_ids:
                path.unlink()


def _summary(
    manifest: pd.DataFrame, source: Source, refused: Sequence[QuarantineRow], config: ExternalConfig
) -> dict[str, Any]:  # fmt: skip
    copies = sum(row.reason == COPY_OF_REAL for row in refused)
    warnings = [
        "Warning: nobody here knows which real images these descend from. If their generator saw test images of this "
        "workspace, every gain is worthless: no arm with a strict budget trains on them."
    ]
    if copies:
        warnings.append(f"Warning: {copies} images are real ones of this workspace and were set aside.")
    return {
        "generator": config.generator, "strategy": STRATEGY, "source_format": source.listing.format,
        "rows_in": source.rows_in, "kept": len(manifest), "quarantined": len(refused),
        "quarantine_reasons": dict(sorted(Counter(row.reason for row in refused).items())),
        "rows_of_other_classes": dict(source.listing.other_classes),
        "images": {str(k): int(v) for k, v in manifest["label"].value_counts().sort_index().items()},
        "masks": int(manifest["mask_path"].notna().sum()), "columns": dict(source.listing.columns),
        "column_reasons": dict(source.listing.reasons), "notes": list(source.listing.notes), "warnings": warnings,
        "data_license": config.data_license,
    }  # fmt: skip
