"""The intake stage: real images, or the phantom's, become a manifest with canonical image files."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import InputError, StageError, WorkspaceError
from tenfold.core.executor import Executor
from tenfold.core.files import write_atomic, write_text_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, StageRun, begin_stage, read_run_record
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.dicom_series import DicomChoice
from tenfold.data.import_items import Listing, QuarantineRow, check_classes
from tenfold.data.manifest import ManifestRows, csv_text, write_manifest
from tenfold.data.phantom import CONDITIONS, EMERGING
from tenfold.data.skin_tone import is_skin_photograph
from tenfold.data.source_options import SourceOptions
from tenfold.intake.config import NOT_STATED, PHANTOM, IntakeConfig
from tenfold.intake.copies import join_copies
from tenfold.intake.file_facts import FILE_FACTS, FileFacts, file_facts_table, folder_of
from tenfold.intake.import_summary import (
    QUARANTINE,
    check_class_sizes,
    check_strict,
    counts_sentence,
    import_summary,
    import_warnings,
    mask_notes,
    skin_type_sentence,
)
from tenfold.intake.originals import quarantine
from tenfold.intake.phantom_cohort import CohortPlan, draw_cohort, phantom_counts
from tenfold.intake.preparation import Failed, PreparationSettings, Prepared, image_task, prepare_all
from tenfold.intake.rows import (
    IMAGES_FOLDER,
    MASKS_FOLDER,
    RowSettings,
    fill_groups,
    imported_row,
    known_group_columns,
    quarantine_table,
)
from tenfold.intake.sources import Source, open_source

STAGE = "intake"
FOLDER = "data/intake"
MANIFEST = "data/manifest.parquet"
PLAN = "data/intake_plan.jsonl"
SPLIT = "data/splits.json"
_TABLE_ROWS = 4096
_OWNS = (IMAGES_FOLDER, MASKS_FOLDER, MANIFEST, QUARANTINE, FILE_FACTS)


@dataclass
class _Gathered:
    """What an import has so far: manifest rows and file facts, rows set aside, and masks that are not used."""

    listing: Listing
    """Without its items, which are counted in `rows_in`: a hundred thousand of them need not be kept."""
    rows_in: int
    rows: ManifestRows = field(default_factory=ManifestRows)
    refused: list[QuarantineRow] = field(default_factory=list)
    mask_faults: dict[str, str] = field(default_factory=dict)
    _facts: list[tuple[str, FileFacts, str]] = field(default_factory=list)
    _fact_tables: list[pd.DataFrame] = field(default_factory=list)

    def add(self, row: dict[str, Any], facts: FileFacts, folder: str) -> None:
        """Add an image that is kept; `folder` is that of its original."""
        self.rows.append(row)
        self._facts.append((row["image_id"], facts, folder))
        if len(self._facts) == _TABLE_ROWS:
            self._fact_tables.append(file_facts_table(self._facts))
            self._facts.clear()

    def file_facts(self) -> pd.DataFrame:
        """The file facts of all images added."""
        return pd.concat([*self._fact_tables, file_facts_table(self._facts)], ignore_index=True)


def run(config: IntakeConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write data/manifest.parquet, images/, masks/, file_facts.parquet and quarantine.csv.

    Rows in = rows kept + rows quarantined, logged and in the summary. An interrupted import resumes: batches that were
    decoded are not decoded again. DataError when the source cannot be used, when a class keeps too few images to be
    split, or, when the import is strict, for any row that cannot be kept.
    """
    if config.format == PHANTOM or (config.format == "auto" and config.source == PHANTOM):
        return _run_phantom(config, workspace, progress)
    return _run_import(config, workspace, executor, progress)


def source_options(config: IntakeConfig) -> SourceOptions:
    """What the configuration says about the source."""
    return SourceOptions(
        format=None if config.format == "auto" or config.format == "phantom" else config.format,
        column_map=config.column_map,
        classes=config.classes,
        dicom=DicomChoice(config.dicom.slices, config.dicom.frames, config.dicom.window),
    )


def _run_phantom(config: IntakeConfig, workspace: Workspace, progress: Progress) -> Result:
    labels = list(EMERGING) if config.classes is None else config.classes
    check_classes(CONDITIONS, labels, where="the phantom")
    counts = phantom_counts(config.phantom.images_per_class, labels)
    seed = derive_seed(workspace.root_seed, STAGE)
    stage = begin_stage(workspace, STAGE, FOLDER, config, [], seed=seed, owns=_OWNS)
    if stage.is_finished:
        return stage.result()
    gathered = _Gathered(Listing(workspace.path, (), (), format=PHANTOM), sum(counts.values()))
    modality = config.modality or PHANTOM
    cohort = draw_cohort(
        CohortPlan(counts, seed, config.image_size_px, config.phantom.skin_types), workspace, modality=modality,
        class_nouns=config.class_nouns, measures_skin=_measures_skin(config, modality, PHANTOM),
    )  # fmt: skip
    with progress.task("Drawing phantom images", sum(counts.values())) as task:
        for row, facts in cohort:
            gathered.add(row, facts, "")
            task.advance()
    return _finish(config, stage, gathered, progress)


def _run_import(config: IntakeConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    path = Path(config.source).expanduser().absolute()
    source = open_source(path, source_options(config), workspace, PLAN, executor, progress)
    try:
        _protect_earlier_import(config, workspace, source)
    except InputError:
        source.drop_plan()
        raise
    seed = derive_seed(workspace.root_seed, STAGE)
    stage = begin_stage(workspace, STAGE, FOLDER, config, [source.adopt_plan()], seed=seed, owns=_OWNS)
    if stage.is_finished:
        return stage.result()
    tasks = (
        image_task(one, measures_skin=_measures_skin(config, one.item.fields.get("modality"), source.listing.format))
        for one in source.originals
    )
    preparing = PreparationSettings(
        config.image_size_px, config.resize_mode, workspace.resolve(IMAGES_FOLDER), workspace.resolve(MASKS_FOLDER),
        stage.folder / "prepared",
    )  # fmt: skip
    answers = prepare_all(tasks, preparing, executor, progress)
    settings = RowSettings(config.image_size_px, config.modality, config.class_nouns)
    gathered = _gather(source, answers, settings)
    del source, answers, tasks
    result = _finish(config, stage, gathered, progress, executor)
    shutil.rmtree(preparing.records, ignore_errors=True)
    return result


def _protect_earlier_import(config: IntakeConfig, workspace: Workspace, source: Source) -> None:
    """Beginning another import puts the earlier one away: refuse where that would void a split, or for nothing.

    Raises WorkspaceError when a split of other images is sealed; DataError when the new import cannot be kept anyway.
    """
    record = workspace.resolve(FOLDER) / "run.json"
    if not record.is_file():
        return
    earlier, now = read_run_record(record.parent).config, config.model_dump(mode="json")
    changed = sorted(name for name, value in now.items() if earlier.get(name) != value)
    if source.is_planned_already and not changed:
        return
    if workspace.resolve(SPLIT).exists():
        settings = f"settings of the import ({', '.join(changed)})"
        what = settings if changed else "the files or rows of the source"
        raise WorkspaceError(
            f"{what} have changed, but the images of this workspace are split already: another import would void the "
            "split",
            where=f"{workspace.path}; source: {config.source}",
            expected="the same import as before, or a workspace without a split",
            todo="import into another workspace (another folder with --out, or --workspace)",
        )
    if config.is_strict:
        check_strict(source.refused, where=config.source)
    check_class_sizes(source.counts(), source.refused, config.classes, where=config.source)


def _measures_skin(config: IntakeConfig, modality: str | None, source_format: str) -> bool:
    if config.estimate_skin_type == "auto":
        return is_skin_photograph(modality or config.modality, source_format)
    return config.estimate_skin_type == "always"


def _gather(source: Source, answers: Iterable[Prepared | Failed], settings: RowSettings) -> _Gathered:
    listing = replace(source.listing, items=(), quarantined=())
    gathered = _Gathered(listing, source.rows_in, refused=list(source.refused))
    for original, answer in zip(source.originals, answers, strict=True):
        item = original.item
        if isinstance(answer, Failed):
            gathered.refused.append(quarantine(item, answer.reason, answer.detail))
            continue
        # The names of a DICOM export are pseudonyms of its series: such a folder says nothing of the origin.
        folder = "" if listing.format == "dicom" else folder_of(item.name, item.label)
        gathered.add(imported_row(original, answer, settings), answer.facts, folder)
        if answer.mask_fault:
            gathered.mask_faults[item.name] = answer.mask_fault
    return gathered


def _finish(
    config: IntakeConfig, stage: StageRun, gathered: _Gathered, progress: Progress, executor: Executor | None = None
) -> Result:
    """Write the quarantine, the manifest and the file facts, check the classes, tell the counts.

    executor: finds copies among imported images; None for the phantom's, which are drawn apart.
    """
    workspace, listing, refused = stage.workspace, gathered.listing, gathered.refused
    manifest = gathered.rows.manifest()
    rows_in, n_kept = gathered.rows_in, len(manifest)
    if rows_in != n_kept + len(refused):
        raise StageError(
            f"{rows_in} rows came in, but {n_kept} were kept and {len(refused)} quarantined",
            todo="this is a fault of Tenfold: please report it",
        )
    write_text_atomic(workspace.resolve(QUARANTINE), csv_text(quarantine_table(refused)))
    progress.log(counts_sentence(rows_in, n_kept, refused))
    skin_types = skin_type_sentence(listing)
    if skin_types is not None:
        progress.log(skin_types)
    if config.is_strict:
        check_strict(refused, where=config.source)
    kept = Counter(manifest["label"].astype(str))
    check_class_sizes(kept, refused, config.classes, where=config.source)
    known = known_group_columns(manifest)
    manifest = fill_groups(manifest if executor is None else join_copies(workspace, manifest, executor, progress))
    write_manifest(manifest, workspace.resolve(MANIFEST))
    with write_atomic(workspace.resolve(FILE_FACTS)) as temporary:
        gathered.file_facts().to_parquet(temporary, index=False)
    summary = import_summary(manifest, listing, refused)
    summary["notes"] += mask_notes(gathered.mask_faults)
    summary["grouped_by"] = [*known, "near-duplicates"]
    summary["warnings"] = import_warnings(known, refused)
    summary["data_license"] = workspace.data_license if config.data_license == NOT_STATED else config.data_license
    for line in (*summary["notes"], *summary["warnings"]):
        progress.log(line)
    outputs = chain((MANIFEST, QUARANTINE, FILE_FACTS), manifest["path"], manifest["mask_path"].dropna())
    return stage.finish((workspace.resolve(path) for path in outputs), summary)
