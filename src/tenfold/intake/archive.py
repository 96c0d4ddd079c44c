"""The archive stage: images without classes become square pictures and a manifest, for pretraining."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.executor import Executor
from tenfold.core.files import write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.captions import class_noun, stated_skin_type, template_caption
from tenfold.data.dicom_header import is_dicom
from tenfold.data.import_items import Listing, QuarantineRow
from tenfold.data.manifest import csv_text, make_manifest, write_manifest
from tenfold.data.pseudonyms import KEY_FILE, keep_pseudonyms, open_pseudonyms, temporary_pseudonyms
from tenfold.intake.archive_config import ArchiveConfig
from tenfold.intake.archive_listing import list_archive
from tenfold.intake.config import NOT_STATED
from tenfold.intake.import_summary import counts_sentence, reasons_text
from tenfold.intake.originals import Original, hash_originals, quarantine, without_duplicates, write_plan
from tenfold.intake.preparation import Failed, PreparationSettings, Prepared, image_task, prepare_all
from tenfold.intake.rows import quarantine_table

STAGE = "archive"
_PLAN = "data/archives/{}.jsonl"


def archive_manifest(name: str) -> str:
    """The path, in a workspace, of the manifest that an archive's import writes."""
    return f"archives/{name}/manifest.parquet"


def run_archive(config: ArchiveConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write archives/<name>/ with manifest.parquet, images/ and quarantine.csv.

    Rows may have no label, and no caption where the source tells none; every image is there once. They are in no split:
    whoever trains on them leaves out what the workspace's split holds out. Interrupted, the same call resumes.

    Raises:
        DataError: the source cannot be used, or no image of it can be kept.
    """
    listing = _listing(config, workspace)
    hashed, unreadable = hash_originals(listing.items, executor, progress)
    originals, copies = without_duplicates(hashed)
    refused = [*listing.quarantined, *unreadable, *copies]
    plan = workspace.resolve(_PLAN.format(config.name))
    write_plan(plan, listing, originals, refused, ())
    seed = derive_seed(workspace.root_seed, STAGE, config.name)
    stage = begin_stage(workspace, STAGE, f"archives/{config.name}", config, [plan], seed=seed)
    if stage.is_finished:
        return stage.result()
    images, records = stage.folder / "images", stage.folder / "prepared"
    preparing = PreparationSettings(config.image_size_px, config.resize_mode, images, stage.folder / "masks", records)
    tasks = (image_task(original, measures_skin=False) for original in originals)
    answers = prepare_all(tasks, preparing, executor, progress)
    rows = []
    for original, answer in zip(originals, answers, strict=True):
        if isinstance(answer, Failed):
            refused.append(quarantine(original.item, answer.reason, answer.detail))
        else:
            rows.append(_row(original, answer, config))
    result = _finish(config, stage, listing, rows, refused, progress)
    shutil.rmtree(records, ignore_errors=True)
    return result


def _listing(config: ArchiveConfig, workspace: Workspace) -> Listing:
    key = workspace.resolve(KEY_FILE)
    pseudonyms = open_pseudonyms(key) if key.exists() else temporary_pseudonyms()
    listing = list_archive(config, pseudonyms)
    if not key.exists() and any(is_dicom(item.path) for item in listing.items):
        keep_pseudonyms(key, pseudonyms)
    return listing


def _row(original: Original, prepared: Prepared, config: ArchiveConfig) -> dict[str, Any]:
    item = original.item
    fields = dict(item.fields)
    if not fields.get("caption") and item.label:
        noun = class_noun(item.label, config.class_nouns)
        skin_type = stated_skin_type({"skin_type": None, **fields})
        fields["caption"] = template_caption(noun, skin_type=skin_type, site=fields.get("site"))
        fields["attr.caption_source"] = "template"
    return {
        **fields, "image_id": original.image_id, "path": f"archives/{config.name}/images/{original.image_id}.png",
        "label": item.label or None, "source": "real", "width_px": config.image_size_px,
        "height_px": config.image_size_px, "sha256": prepared.sha256, "phash": prepared.phash,
        "attr.original_path": item.name, "attr.original_width_px": prepared.facts.width_px,
        "attr.original_height_px": prepared.facts.height_px,
    }  # fmt: skip


def _finish(
    config: ArchiveConfig, stage: StageRun, listing: Listing, rows: Sequence[dict[str, Any]],
    refused: Sequence[QuarantineRow], progress: Progress,
) -> Result:  # fmt: skip
    write_text_atomic(stage.folder / "quarantine.csv", csv_text(quarantine_table(refused)))
    rows_in = len(listing.items) + len(listing.quarantined)
    progress.log(counts_sentence(rows_in, len(rows), refused))
    if not rows:
        raise DataError(
            "no image of the archive could be kept", where=f"{config.source}: {reasons_text(refused)}",
            expected="readable images",
            todo=f"See archives/{config.name}/quarantine.csv in the workspace for the reason of each.",
        )  # fmt: skip
    manifest = make_manifest(rows)
    write_manifest(manifest, stage.folder / "manifest.parquet")
    sides = [min(row["attr.original_width_px"], row["attr.original_height_px"]) for row in rows]
    too_small = sum(side < config.image_size_px for side in sides)
    notes = list(listing.notes)
    if too_small:
        notes.append(f"{too_small} originals are smaller than {config.image_size_px} px and were enlarged: blurred")
    for note in notes:
        progress.log(note)
    is_stated = config.data_license != NOT_STATED
    summary = {
        "rows_in": rows_in, "kept": len(rows), "quarantined": len(refused),
        "quarantine_reasons": dict(sorted(Counter(row.reason for row in refused).items())),
        "captioned": int(manifest["caption"].notna().sum()), "labelled": int(manifest["label"].notna().sum()),
        "source_format": listing.format, "columns": dict(listing.columns), "notes": notes,
        "data_license": config.data_license if is_stated else stage.workspace.data_license,
    }  # fmt: skip
    names = ("manifest.parquet", "quarantine.csv", "images")
    return stage.finish([stage.folder / name for name in names], summary)
