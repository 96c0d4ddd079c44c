"""Puts the report's contents together from the files of a study."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tenfold.core.workspace import Workspace
from tenfold.reports import guards, wording
from tenfold.reports.audits import read_audits
from tenfold.reports.contents import DataSummary, Gallery, Guard, ReportContents
from tenfold.reports.data_summary import MANIFEST, counted_unit, summarize_data
from tenfold.reports.gallery import NearestImage, SyntheticSet, choose_pictures
from tenfold.reports.headline import best_control, write_headline
from tenfold.reports.reading import StudyFiles, generator_budgets, read_study
from tenfold.reports.record import answer_checklists, write_record
from tenfold.reports.review_views import read_review

PHANTOM = "phantom"


def assemble_contents(
    workspace: Workspace,
    study: str,
    *,
    title: str | None,
    question: str | None,
    command: str | None,
    trimmed: tuple[str, ...],
    pictures_per_class: int,
) -> ReportContents:
    """The contents of the report on a study. Raises DataError when the study has no evaluation."""
    files = read_study(workspace, study)
    evaluation = files.evaluation
    missing: dict[str, str] = {}
    names = wording.class_names(evaluation.labels, files.intake_config.get("class_nouns", {}))
    audits, nearest = read_audits(workspace, list(files.synthetic))
    if not audits:
        missing["audits"] = "no audit of this study's synthetic sets was found"
    gallery = _gallery(files, nearest, pictures_per_class, missing)
    data = _data(files, missing)
    if not evaluation.subgroups:
        missing["subgroups"] = _why_no_subgroups(files.manifest)
    if not files.recipe:
        missing["recipe"] = "the workspace holds no recipe"
    review = read_review(workspace, list(files.synthetic))
    if review is None:
        missing["review"] = "nobody reviewed the synthetic images of this study"
    record = write_record(files, command)
    return ReportContents(
        study=study,
        class_names=names,
        headline=write_headline(
            evaluation,
            names,
            title=title,
            question=question,
            is_phantom=files.intake_config.get("source") == PHANTOM,
            trimmed=trimmed,
        ),
        evaluation=evaluation,
        best_control=best_control(evaluation),
        gallery=gallery,
        audits=audits,
        guards=_guards(files),
        data=data,
        record=record,
        checklists=answer_checklists(evaluation, data, record, audits),
        missing=missing,
        unit=counted_unit(files.manifest),
        review=review,
    )


def _gallery(
    files: StudyFiles, nearest: dict[str, dict[str, NearestImage]], per_class: int, missing: dict[str, str]
) -> Gallery | None:
    if files.manifest is None:
        missing["gallery"] = f"there is no {MANIFEST}"
        return None
    cell = _shown_cell(files)
    if cell is None:
        missing["gallery"] = "the study has no synthetic set with pictures"
        return None
    name = _pictured(cell, files)[0]
    if name not in nearest:
        missing["nearest"] = f"no audit of the set {name} was found"
    chosen = SyntheticSet(
        name=name,
        rows=files.synthetic[name],
        guide_ids=files.generators.get(name) or list(cell["train_ids"]),
        training_size=int(cell["training_size"]),
        nearest=nearest.get(name, {}),
    )
    return choose_pictures(chosen, files.manifest, per_class)


def _shown_cell(files: StudyFiles) -> Any | None:
    """The first cell with a set that a generator drew, the verdict's arm and size before others."""
    if files.cells.empty:
        return None
    verdict = files.evaluation.verdict
    rows = files.cells[files.cells["strategy"].str.contains("text2img|outpaint")]
    ranked = sorted(
        (row for _, row in rows.iterrows() if _pictured(row, files)),
        key=lambda row: (row["arm"] != verdict.arm, row["training_size"] != verdict.training_size, row["seed_index"]),
    )
    return ranked[0] if ranked else None


def _pictured(cell: Any, files: StudyFiles) -> list[str]:
    """The cell's sets whose images are there."""
    return [str(name) for name in cell["synthetic_sets"] if name in files.synthetic]


def _data(files: StudyFiles, missing: dict[str, str]) -> DataSummary | None:
    if files.manifest is None:
        missing["data"] = f"there is no {MANIFEST}"
        return None
    source = str(files.intake_config.get("source", ""))
    words = "procedural dermatology phantom, drawn by the computer" if source == PHANTOM else _last_part(source)
    return summarize_data(files.workspace, files.manifest, words)


def _last_part(source: str) -> str:
    """The name of the source without the folders of whoever ran it."""
    return source.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or "not recorded"


def _why_no_subgroups(manifest: pd.DataFrame | None) -> str:
    if manifest is not None and not bool(manifest["skin_type"].notna().any()):
        return "no skin types or other patient groups are recorded for the test images"
    return "the evaluation holds no subgroups"


def _guards(files: StudyFiles) -> tuple[Guard, ...]:
    evaluation, manifest = files.evaluation, files.manifest
    checked = [guards.check_seal(evaluation, files.sealed), guards.check_test_reads(evaluation)]
    if manifest is not None:
        checked = [
            guards.check_groups(manifest),
            *checked,
            guards.check_generator(generator_budgets(files), files.generators, manifest),
            guards.check_synthetic_rows(files.synthetic, manifest),
        ]
    return (
        *checked,
        guards.check_origin(evaluation),
        guards.check_equal_training(list(files.classifiers.values())),
        guards.check_seeds(evaluation, counted_unit(manifest)),
    )
