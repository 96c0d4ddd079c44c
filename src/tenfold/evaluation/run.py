"""The evaluation stage: a study's prediction tables become evaluation.json, with one verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError, DesignError
from tenfold.core.executor import Executor
from tenfold.core.files import write_json_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.evaluation import parity
from tenfold.evaluation.choice import candidate_arms, choose_on_validation
from tenfold.evaluation.classifier import arm_summary, origin_rows, pooled_confusion, roc_curve
from tenfold.evaluation.closer_look import closer_look, prevalence_notes
from tenfold.evaluation.comparison import Primary, all_comparisons, sensitivity_warnings
from tenfold.evaluation.config import EvaluationConfig, PrimaryComparison
from tenfold.evaluation.contents import CellFailure, Evaluation, SubgroupRow, VariantChoice
from tenfold.evaluation.curve import curve_points, equivalents
from tenfold.evaluation.designs import ArmDesigns, arm_designs, failures
from tenfold.evaluation.planned import planned_differences, read_plan
from tenfold.evaluation.power_laws import power_laws
from tenfold.evaluation.predictions import ArmPredictions, StudyPredictions, load_study, prediction_files
from tenfold.evaluation.ratio import dose_curves
from tenfold.evaluation.scoring import Scorer
from tenfold.evaluation.subgroups import Limits, subgroup_masks, subgroup_rows
from tenfold.evaluation.verdict import decide

STAGE = "evaluation"
MANIFEST = "data/manifest.parquet"


def run(config: EvaluationConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write evaluation/<study>/evaluation.json (see `evaluation.contents`).

    Reads studies/<study>/cells.parquet, the predictions and training.json of every cell in it, and the manifest. Cells
    that results.parquet says have failed are left out and named.

    Raises:
        DataError: a cell is unfinished, or all failed, or cells were tested on different images.
        DesignError: the primary arm is no arm of the study.
    """
    cells_path = workspace.resolve(f"studies/{config.study}/cells.parquet")
    if not cells_path.is_file():
        raise DataError("the study has no table of cells", where=str(cells_path), todo="Run the study first.")
    cells = pd.read_parquet(cells_path)
    results_path = cells_path.with_name("results.parquet")
    failed = _failures(results_path)
    finished = cells[~cells["cell"].isin([failure.cell for failure in failed])]
    if failed and finished.empty:
        raise DataError(
            f"all {len(failed)} cells of the study failed, the first with: {failed[0].error}",
            where=str(results_path), todo="Mend the cause and run the same command again.",
        )  # fmt: skip
    files = prediction_files(workspace.path, finished)
    manifest_path = workspace.resolve(MANIFEST)
    inputs = [
        cells_path,
        manifest_path,
        *([results_path] if failed else []),
        *(path for pair in files for path in pair),
    ]
    plan = read_plan(cells_path.with_name("plan.json"))
    stage = begin_stage(workspace, STAGE, f"evaluation/{config.study}", config, inputs, seed=config.seed)
    if stage.is_finished:
        return stage.result()
    study = load_study(files)
    evaluation = evaluate(config, study, read_manifest(manifest_path), progress, cells=cells, failed=failed)
    evaluation = replace(evaluation, planned=planned_differences(plan))
    path = stage.folder / "evaluation.json"
    write_json_atomic(path, evaluation.to_json())
    return stage.finish([path], summary(evaluation))


def evaluate(
    config: EvaluationConfig, study: StudyPredictions, manifest: pd.DataFrame, progress: Progress, *,
    cells: pd.DataFrame | None = None, failed: tuple[CellFailure, ...] = (),
) -> Evaluation:  # fmt: skip
    """All contents of an evaluation.

    Args:
        manifest: the real images, for the subgroups.
        cells: the study's table of cells, which tells what each arm is.
        failed: cells that could not be trained.
    """
    designs = arm_designs(study, cells)
    primary, choice = resolve_primary(config.primary, study, designs, failed)
    keys = sorted(study.arms)
    with progress.task("Scoring the arms", len(keys) + 4) as task:
        scorer = Scorer(study, draws=config.bootstrap_draws, seed=config.seed)
        summaries = []
        for key in keys:
            summaries.append(arm_summary(scorer, key, is_variant=designs[key].is_variant and key != primary.key))
            task.advance()
        comparisons = all_comparisons(scorer, primary, designs)
        task.advance()
        best = primary.best_control(scorer)
        subgroups, notes = _subgroups(config, study, manifest, primary, best)
        task.advance()
        drawn = {"seed": config.seed, "draws": config.bootstrap_draws}
        worth = equivalents(scorer, primary, designs, **drawn)
        doses = dose_curves(scorer, primary, designs)
        laws = power_laws(scorer, primary.metric, **drawn)
        task.advance()
        closer, rocs = closer_look(scorer, primary, best, config)
        task.advance()
    shown = [(arm, primary.training_size) for arm in (primary.arm, best) if arm is not None]
    shown = [key for key in shown if key in study.arms]
    members = list(study.arms.values())
    compared = [study.arms[control, primary.training_size] for control in primary.present_controls(scorer)]
    verdict = decide(
        primary.metric, primary.arm, primary.training_size, primary.controls,
        comparisons=comparisons,
        obstacles=_obstacles(config.primary, study, primary, designs, compared),
    )  # fmt: skip
    return Evaluation(
        study=config.study,
        labels=study.labels,
        verdict=verdict,
        arms=tuple(summaries),
        comparisons=tuple(comparisons),
        confusion_matrices=tuple(pooled_confusion(study, key) for key in shown),
        roc_curves=tuple(roc_curve(curve, primary.training_size) for curve in rocs),
        subgroups=tuple(subgroups),
        learning_curve=tuple(curve_points(scorer, list(dict.fromkeys((primary.metric, "accuracy"))))),
        equivalents=tuple(worth),
        origins=tuple(row for key in keys for row in origin_rows(study, key)),
        warnings=tuple(sensitivity_warnings(scorer, primary)),
        n_test_images=len(study.truth),
        n_test_patients=study.patient_count,
        test_sha256=study.test_sha256,
        test_reads=sum(len(arm.seed_keys) for arm in members) + 1,
        notes=(*parity.study_notes(members), *notes, *prevalence_notes(config, study.labels)),
        designs=tuple(designs[key] for key in keys),
        choice=choice,
        dose_curves=tuple(doses),
        power_laws=tuple(laws),
        failures=failed,
        closer=closer,
    )


def resolve_primary(
    wanted: PrimaryComparison, study: StudyPredictions, designs: ArmDesigns, failed: tuple[CellFailure, ...] = ()
) -> tuple[Primary, VariantChoice | None]:
    """The primary comparison with its size filled in, and how its arm was chosen when validation images chose it.

    An arm of which every cell failed stays, so that the report can say so. Raises DesignError when the arm was not
    planned (at that size).
    """
    lost = sorted({failure.training_size for failure in failed if failure.arm == wanted.arm})
    sizes = sorted({*study.sizes_of(wanted.arm), *lost})
    size = wanted.training_size if wanted.training_size is not None else min(sizes, default=None)
    if size is None or size not in sizes:
        run_arms = ", ".join(f"{arm} at {at}" for arm, at in sorted(study.arms))
        raise DesignError(
            f"the primary comparison is about {wanted.arm}" + (f" at {size} images a class" if size else ""),
            where="evaluate.primary",
            expected=f"an arm that the study ran: {run_arms}",
            todo="name another arm or size in the recipe, or add the arm to study.arms",
        )
    primary = Primary(wanted.metric, wanted.arm, size, wanted.controls, wanted.margin)
    if wanted.choose == "given":
        return primary, None
    candidates = candidate_arms(designs, wanted.arm, size, wanted.candidates)
    choice = choose_on_validation(study, candidates, wanted.arm, size, wanted.metric)
    return replace(primary, arm=choice.chosen), choice


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """What run.json and the console show."""
    return {
        "verdict": evaluation.verdict.word,
        "sentence": evaluation.verdict.sentence,
        "test_reads": evaluation.test_reads,
        "n_test_images": evaluation.n_test_images,
        "n_test_patients": evaluation.n_test_patients,
    }


def _failures(path: Path) -> tuple[CellFailure, ...]:
    return failures(pd.read_parquet(path)) if path.is_file() else ()


def _obstacles(
    wanted: PrimaryComparison, study: StudyPredictions, primary: Primary, designs: ArmDesigns,
    compared: list[ArmPredictions],
) -> list[str]:  # fmt: skip
    if primary.key not in study.arms:
        return [f"Every classifier of {primary.arm} at {primary.training_size} images a class failed."]
    found = parity.obstacles(study.arms[primary.key], compared)
    if not wanted.archive_parity:
        found += parity.archive_obstacles([designs[primary.key]])
    return found


def _subgroups(
    config: EvaluationConfig, study: StudyPredictions, manifest: pd.DataFrame, primary: Primary, best: str | None
) -> tuple[list[SubgroupRow], list[str]]:
    masks, notes = subgroup_masks(study, manifest, config.subgroup_attributes)
    if best is None:
        return [], [*notes, "No results by subgroup: no control was run with the primary arm's seeds."]
    rows = subgroup_rows(
        study, masks, primary,
        best_control=best,
        draws=config.bootstrap_draws,
        seed=config.seed,
        limits=Limits(config.subgroup_detectable_difference, config.subgroup_fewest_patients),
    )  # fmt: skip
    return rows, notes
