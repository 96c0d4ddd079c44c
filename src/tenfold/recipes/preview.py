"""The dry run: what a recipe would do with its data, counted and timed, without writing to the workspace."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.recipes.schema import Recipe
from tenfold.studies import estimates
from tenfold.studies.assembly import assemble
from tenfold.studies.design import plan_study
from tenfold.studies.filling import Filling
from tenfold.studies.forecast import Forecast, forecast
from tenfold.studies.plan import StudyPlan
from tenfold.studies.reviewing import reviewed_sets


@dataclass(frozen=True)
class PreviewRow:
    """One line of the plan; `seconds` on the stated number of workers."""

    stage: str
    work: str
    seconds: float


@dataclass(frozen=True)
class Preview:
    """The plan of a run; `basis` says where its seconds come from."""

    rows: tuple[PreviewRow, ...]
    notes: tuple[str, ...]
    seconds: float
    megabytes: float
    synthetic_images: int
    cells: int
    generators: int
    basis: str


def preview_recipe(recipe: Recipe, workers: int, progress: Progress) -> Preview:
    """Read and split the data in a temporary folder, then count what the study would do. Nothing else is written.

    Raises:
        TenfoldError: the same faults of recipe and data that the run itself would meet.
    """
    with tempfile.TemporaryDirectory(prefix="tenfold-dry-run-") as place:
        workspace = Workspace.create(place, name=recipe.name, root_seed=recipe.seed, data_license="not stated")
        return _preview(recipe, workspace, workers, progress)


def _preview(recipe: Recipe, workspace: Workspace, workers: int, progress: Progress) -> Preview:
    from tenfold.data.splits import read_sealed_split
    from tenfold.intake.run import run as run_intake
    from tenfold.intake.split import run_split
    from tenfold.studies.run import design_of, read_split_table

    executor = SerialExecutor()
    run_intake(recipe.intake, workspace, executor, progress)
    run_split(recipe.split, workspace, executor, progress)
    config = recipe.study_run()
    table = read_split_table(workspace)
    plan = plan_study(design_of(config), table, workspace.root_seed)
    rates = estimates.Rates()
    waves = assemble(Filling(config, plan, workspace.root_seed, rates), workspace.path, workspace.path)
    study = forecast(plan, waves, table, workers, rates)
    counts = read_sealed_split(workspace.resolve("data/splits.json")).counts
    real = len(table)
    rows = [
        PreviewRow("Intake", f"{real} images of {len(plan.labels)} classes", real * estimates.INTAKE_SECONDS_PER_IMAGE),
        PreviewRow("Split", _split_words(counts), 1.0),
        PreviewRow("Data checks", "duplicates, labels, confounds, power", estimates.CHECKS_SECONDS),
        PreviewRow("Intake page", "data/report/intake.html and intake.json", estimates.INTAKE_PAGE_SECONDS),
        *study_rows(study),
        PreviewRow(
            "Evaluation", f"{len(plan.cells)} classifiers", len(plan.cells) * estimates.EVALUATION_SECONDS_PER_CELL
        ),
        PreviewRow("Report", "report/report.html and report.json", estimates.REPORT_SECONDS),
    ]
    return Preview(
        rows=tuple(rows),
        notes=(*recipe.trimmed, *plan.notes, *_review_notes(recipe, plan), study.minimum_detectable.text),
        seconds=sum(row.seconds for row in rows),
        megabytes=study.megabytes + real * rates.kilobytes_per_image / 1000,
        synthetic_images=study.synthetic_images,
        cells=study.cells,
        generators=study.generators,
        basis=f"{study.basis}.",
    )


def study_rows(study: Forecast) -> list[PreviewRow]:
    """A row for each stage of a study; its seconds are shared out over the workers as the whole study's are."""
    whole = sum(row.seconds for row in study.stages) or 1.0
    return [PreviewRow("Study", row.work, row.seconds / whole * study.seconds) for row in study.stages]


def _review_notes(recipe: Recipe, plan: StudyPlan) -> tuple[str, ...]:
    if recipe.review is None:
        return ()
    names = reviewed_sets(plan)
    images = sum(one.image_count for one in plan.sets if one.name in names)
    if getattr(recipe.review, "auto_accept"):  # noqa: B009 (a made class: mypy knows no fields)
        return (f"Nobody reviews the {images:,} drawn images; manifest and report will say so.",)
    return (f"The run waits until people have judged {images:,} drawn images (`tenfold review serve`).",)


def _split_words(counts: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(f"{name} {sum(by_label.values())}" for name, by_label in counts.items())
