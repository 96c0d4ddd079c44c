"""The evaluation stage: a study's prediction tables become evaluation.json, with one verdict."""

from __future__ import annotations

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
from tenfold.evaluation.classifier import arm_summary, origin_rows, pooled_confusion, roc_curves
from tenfold.evaluation.comparison import Primary, all_comparisons, sensitivity_warnings
from tenfold.evaluation.config import EvaluationConfig, PrimaryComparison
from tenfold.evaluation.contents import Evaluation, SubgroupRow
from tenfold.evaluation.curve import curve_points, equivalents
from tenfold.evaluation.predictions import StudyPredictions, load_study, prediction_files
from tenfold.evaluation.scoring import Scorer
from tenfold.evaluation.subgroups import subgroup_masks, subgroup_rows
from tenfold.evaluation.verdict import decide

STAGE = "evaluation"
MANIFEST = "data/manifest.parquet"


def run(config: EvaluationConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write evaluation/<study>/evaluation.json (see `evaluation.contents`).

    Reads studies/<study>/cells.parquet, the predictions and training.json of every cell in it, and the manifest.

    Raises:
        DataError: a cell is unfinished, or cells were tested on different images.
        DesignError: the primary arm was not run at all.
    """
    cells_path = workspace.resolve(f"studies/{config.study}/cells.parquet")
    if not cells_path.is_file():
        raise DataError("the study has no table of cells", where=str(cells_path), todo="Run the study first.")
    files = prediction_files(workspace.path, pd.read_parquet(cells_path, columns=["cell"]))
    manifest_path = workspace.resolve(MANIFEST)
    inputs = [cells_path, manifest_path, *(path for pair in files for path in pair)]
    stage = begin_stage(workspace, STAGE, f"evaluation/{config.study}", config, inputs, seed=config.seed)
    if stage.is_finished:
        return stage.result()
    study = load_study(files)
    evaluation = evaluate(config, study, read_manifest(manifest_path), progress)
    path = stage.folder / "evaluation.json"
    write_json_atomic(path, evaluation.to_json())
    return stage.finish([path], summary(evaluation))


def evaluate(
    config: EvaluationConfig, study: StudyPredictions, manifest: pd.DataFrame, progress: Progress
) -> Evaluation:
    """All contents of an evaluation. manifest: the real images, for the subgroups."""
    primary = resolve_primary(config.primary, study)
    keys = sorted(study.arms)
    with progress.task("Scoring the arms", len(keys) + 2) as task:
        scorer = Scorer(study, draws=config.bootstrap_draws, seed=config.seed)
        summaries = []
        for key in keys:
            summaries.append(arm_summary(scorer, key))
            task.advance()
        comparisons = all_comparisons(scorer, primary)
        task.advance()
        best = primary.best_control(scorer)
        subgroups, notes = _subgroups(config, study, manifest, primary, best)
        task.advance()
    shown = [primary.key, *([(best, primary.training_size)] if best else [])]
    members = list(study.arms.values())
    compared = [(control, primary.training_size) for control in primary.present_controls(scorer)]
    verdict = decide(
        primary.metric, primary.arm, primary.training_size, primary.controls,
        comparisons=comparisons,
        obstacles=parity.obstacles(study.arms[primary.key], [study.arms[key] for key in compared]),
    )  # fmt: skip
    return Evaluation(
        study=config.study,
        labels=study.labels,
        verdict=verdict,
        arms=tuple(summaries),
        comparisons=tuple(comparisons),
        confusion_matrices=tuple(pooled_confusion(study, key) for key in shown),
        roc_curves=tuple(curve for key in shown for curve in roc_curves(scorer, key)),
        subgroups=tuple(subgroups),
        learning_curve=tuple(curve_points(scorer, list(dict.fromkeys((primary.metric, "accuracy"))))),
        equivalents=tuple(equivalents(scorer, primary, seed=config.seed, draws=config.bootstrap_draws)),
        origins=tuple(row for key in keys for row in origin_rows(study, key)),
        warnings=tuple(sensitivity_warnings(scorer, primary)),
        n_test_images=len(study.truth),
        n_test_patients=study.patient_count,
        test_sha256=study.test_sha256,
        test_reads=sum(len(arm.seed_keys) for arm in members) + 1,
        notes=(*parity.study_notes(members), *notes),
    )


def resolve_primary(wanted: PrimaryComparison, study: StudyPredictions) -> Primary:
    """The primary comparison with its size filled in. Raises DesignError when the arm was not run (at that size)."""
    sizes = study.sizes_of(wanted.arm)
    size = wanted.training_size if wanted.training_size is not None else min(sizes, default=None)
    if size is None or size not in sizes:
        run_arms = ", ".join(f"{arm} at {at}" for arm, at in sorted(study.arms))
        raise DesignError(
            f"the primary comparison is about {wanted.arm}" + (f" at {size} images a class" if size else ""),
            where="evaluate.primary",
            expected=f"an arm that the study ran: {run_arms}",
            todo="name another arm or size in the recipe, or add the arm to study.arms",
        )
    return Primary(wanted.metric, wanted.arm, size, wanted.controls)


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """What run.json and the console show."""
    return {
        "verdict": evaluation.verdict.word,
        "sentence": evaluation.verdict.sentence,
        "test_reads": evaluation.test_reads,
        "n_test_images": evaluation.n_test_images,
        "n_test_patients": evaluation.n_test_patients,
    }


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
        detectable=config.subgroup_detectable_difference,
    )  # fmt: skip
    return rows, notes
