"""The dry run: what a recipe would do with its data, counted and timed, without writing to the workspace."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import Progress
from tenfold.core.workspace import Workspace
from tenfold.recipes.schema import Recipe
from tenfold.studies import estimates
from tenfold.studies.assembly import Waves, assemble
from tenfold.studies.design import StudyPlan

_STAGE_WORDS = {
    "dreambooth": "fine-tunings of the base",
    "generate": "synthetic sets",
    "classify": "classifiers",
    "audit": "audits",
}


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
    from tenfold.data.manifest import read_manifest
    from tenfold.data.splits import read_sealed_split
    from tenfold.intake.run import run as run_intake
    from tenfold.intake.split import run_split
    from tenfold.studies.run import read_plan

    executor = SerialExecutor()
    run_intake(recipe.intake, workspace, executor, progress)
    run_split(recipe.split, workspace, executor, progress)
    config = recipe.study_run()
    plan = read_plan(config, workspace)
    waves = assemble(config, plan, workspace.root_seed, workspace.path, workspace.path)
    counts = read_sealed_split(workspace.resolve("data/splits.json")).counts
    real = len(read_manifest(workspace.resolve("data/manifest.parquet")))
    images = _synthetic_images(config.prior.images, plan)
    rows = [
        PreviewRow("Intake", f"{real} images of {len(plan.labels)} classes", real * estimates.INTAKE_SECONDS_PER_IMAGE),
        PreviewRow("Split", _split_words(counts), 1.0),
        PreviewRow("Data checks", "duplicates, labels, confounds, power", estimates.CHECKS_SECONDS),
        PreviewRow("Intake page", "data/report/intake.html and intake.json", estimates.INTAKE_PAGE_SECONDS),
        *_study_rows(waves, images, workers),
        PreviewRow(
            "Evaluation", f"{len(plan.cells)} classifiers", len(plan.cells) * estimates.EVALUATION_SECONDS_PER_CELL
        ),
        PreviewRow("Report", "report/report.html and report.json", estimates.REPORT_SECONDS),
    ]
    return Preview(
        rows=tuple(rows),
        notes=(*recipe.trimmed, *plan.notes),
        seconds=sum(row.seconds for row in rows),
        megabytes=_megabytes(real + images, plan),
        synthetic_images=images,
        cells=len(plan.cells),
        generators=plan.generator_count,
        basis=f"on {workers} worker{'s' if workers > 1 else ''}, from {estimates.REFERENCE}.",
    )


def _study_rows(waves: Waves, images: int, workers: int) -> list[PreviewRow]:
    counted: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for part in waves.parts:
        for step in part.steps:
            counted[step.stage] += 1
            seconds[step.stage] += round(step.seconds)
    rows = []
    for stage, words in _STAGE_WORDS.items():
        if counted[stage]:
            extra = f", {images} images" if stage == "generate" else ""
            used = min(workers, counted[stage])
            rows.append(PreviewRow("Study", f"{counted[stage]} {words}{extra}", seconds[stage] / used))
    return rows


def _synthetic_images(prior_images: int, plan: StudyPlan) -> int:
    made = sum(one.image_count for chain in plan.chains for one in chain.sets)
    return made + (prior_images if plan.generator_count else 0)


def _split_words(counts: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(f"{name} {sum(by_label.values())}" for name, by_label in counts.items())


def _megabytes(images: int, plan: StudyPlan) -> float:
    return (
        images * estimates.KILOBYTES_PER_IMAGE / 1000
        + plan.generator_count * estimates.MEGABYTES_PER_GENERATOR
        + len(plan.cells) * estimates.MEGABYTES_PER_CLASSIFIER
    )
