"""Reads what a study left in a workspace, for the report: tables, records and evaluation, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.files import read_json
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.data.verdicts import read_reviewed, verdict_files
from tenfold.evaluation.contents import Evaluation
from tenfold.reports.config import STUDY_RECIPE
from tenfold.reports.data_summary import MANIFEST, QUARANTINE, SPLITS
from tenfold.review.run import result_summaries

RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class StudyFiles:
    """What was found; a table or record that is not there is empty or None.

    `manifest` holds the real images with their sealed split. `classifiers` and `synthetic` are keyed by the folder
    names that the study's cells mention, `generators` by their folders under models/.
    """

    workspace: Workspace
    evaluation: Evaluation
    manifest: pd.DataFrame | None
    sealed: Mapping[str, Any] | None
    cells: pd.DataFrame
    study_config: Mapping[str, Any]
    intake_config: Mapping[str, Any]
    classifiers: Mapping[str, Mapping[str, Any]]
    generators: Mapping[str, Sequence[str]]
    synthetic: Mapping[str, pd.DataFrame]
    recipe_name: str
    recipe: str


def recipe_name(workspace: Workspace, study: str) -> str:
    """Of the study's recipe: its own, where `tenfold study` made it, or the workspace's."""
    own = STUDY_RECIPE.format(study=study)
    return own if (workspace.path / own).is_file() else RECIPE


def report_inputs(workspace: Workspace, study: str) -> list[Path]:
    """The files a report is made from, those that are there; their hashes decide whether it must be made anew."""
    cells = _read_cells(workspace, study)
    names = [
        f"evaluation/{study}/evaluation.json",
        f"studies/{study}/cells.parquet",
        MANIFEST,
        SPLITS,
        QUARANTINE,
        *result_summaries(workspace),
        recipe_name(workspace, study),
        *(f"synthetic/{name}/manifest.parquet" for name in _synthetic_sets(cells)),
    ]
    audits = [path for file in ("summary.json", "findings.parquet") for path in workspace.path.glob(f"audits/*/{file}")]
    verdicts = verdict_files(workspace, [f"synthetic/{name}/manifest.parquet" for name in _synthetic_sets(cells)])
    return [path for name in names if (path := workspace.path / name).is_file()] + verdicts + sorted(audits)


def read_study(workspace: Workspace, study: str) -> StudyFiles:
    """All files of a study. Raises DataError when there is no evaluation or when it is damaged."""
    cells = _read_cells(workspace, study)
    sets = _synthetic_sets(cells)
    sealed = _read_optional(workspace.path / SPLITS)
    return StudyFiles(
        workspace=workspace,
        evaluation=_read_evaluation(workspace.path / "evaluation" / study / "evaluation.json"),
        manifest=_read_manifest(workspace.path / MANIFEST, sealed),
        sealed=sealed,
        cells=cells,
        study_config=_config(workspace.path / "studies" / study),
        intake_config=_config(workspace.path / "data" / "intake"),
        classifiers={
            str(name): config
            for name in cells.get("cell", ())
            if (config := _config(workspace.path / "classifiers" / str(name)))
        },
        generators={
            name: list(config["training_ids"])
            for name in _generators(workspace, sets)
            if (config := _config(workspace.path / "models" / name)).get("training_ids")
        },
        synthetic={
            name: read_reviewed(workspace, path)
            for name in sets
            if (path := workspace.path / "synthetic" / name / "manifest.parquet").is_file()
        },
        recipe_name=recipe_name(workspace, study),
        recipe=_read_text(workspace.path / recipe_name(workspace, study)),
    )


def generator_budgets(files: StudyFiles) -> list[str]:
    """The generator budgets of the arms with made images, the study's own where the cells do not say."""
    cells, stated = files.cells, files.study_config.get("generator_budget")
    if "generator_budget" in cells.columns and "strategy" in cells.columns:
        found = sorted({str(budget) for budget in cells.loc[cells["strategy"] != "none", "generator_budget"]})
        if found:
            return found
    return [] if stated is None else [str(stated)]


def _generators(workspace: Workspace, sets: Sequence[str]) -> list[str]:
    """Folders under models/ that drew the sets, as the sets' records say."""
    named = [_config(workspace.path / "synthetic" / name) for name in sets]
    places = [str(config.get(field)) for config in named for field in ("checkpoint", "adapter")]
    found = {place.removeprefix("models/") for place in places if place.startswith("models/")}
    return sorted({*sets, *found})


def _read_evaluation(path: Path) -> Evaluation:
    if not path.is_file():
        raise DataError(
            "there is no evaluation to report", where=str(path), expected="a finished evaluation of the study",
            todo="Run the recipe to its end, then make the report again.",
        )  # fmt: skip
    try:
        return Evaluation.from_json(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"the evaluation is damaged or of another version: {type(error).__name__} {error}", where=str(path),
            todo="Remove its folder and run the recipe again.",
        ) from error  # fmt: skip


def _read_manifest(path: Path, sealed: Mapping[str, Any] | None) -> pd.DataFrame | None:
    """The real images with the sealed split as their ``split`` column."""
    if not path.is_file():
        return None
    manifest = read_manifest(path)
    assigned = (sealed or {}).get("assignments", {})
    manifest["split"] = pd.array([assigned.get(image_id) for image_id in manifest["image_id"]], dtype="string")
    return manifest


def _read_cells(workspace: Workspace, study: str) -> pd.DataFrame:
    path = workspace.path / "studies" / study / "cells.parquet"
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame()


def _synthetic_sets(cells: pd.DataFrame) -> list[str]:
    return sorted({str(name) for names in cells.get("synthetic_sets", ()) for name in names})


def _config(folder: Path) -> Mapping[str, Any]:
    record = _read_optional(folder / "run.json")
    return dict(record.get("config", {})) if record else {}


def _read_optional(path: Path) -> Mapping[str, Any] | None:
    if not path.is_file():
        return None
    content = read_json(path)
    return content if isinstance(content, dict) else None


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
