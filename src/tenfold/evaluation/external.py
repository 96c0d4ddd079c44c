"""The evaluation of anybody's predictions: from matched tables to every figure with its interval."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from tenfold.core.environment import describe_environment
from tenfold.core.errors import InputError
from tenfold.core.progress import Progress
from tenfold.data.manifest import ATTRIBUTE_PREFIX
from tenfold.evaluation.external_config import USUAL_SUBGROUPS, ExternalEvaluationConfig
from tenfold.evaluation.external_contents import ClassCount, ExternalEvaluation
from tenfold.evaluation.given_predictions import GivenModel, GivenPredictions
from tenfold.evaluation.model_comparisons import compare_models, paired_tests, planned_differences
from tenfold.evaluation.model_curves import curve_bands, with_curves
from tenfold.evaluation.model_estimates import Judge
from tenfold.evaluation.model_groups import group_masks, group_rows
from tenfold.evaluation.model_summary import model_summary, never_named
from tenfold.evaluation.model_thresholds import calibration, operating_points, threshold_rules
from tenfold.evaluation.scoring import Scorer


def evaluate_given(
    config: ExternalEvaluationConfig,
    given: GivenPredictions,
    progress: Progress,
    *,
    inputs: Mapping[str, str],
    test_reads: int | None = None,
) -> ExternalEvaluation:
    """All contents. `inputs` are the files' hashes by name; `test_reads` how often these test images were read, this
    time included, None where nobody counts.

    Raises as `check_settings` does.
    """
    check_settings(config, given)
    reference = _reference(config, given)
    models = given.models
    notes = list(given.notes)
    with progress.task("Scoring the predictions", 4 * len(models) + 2) as task:
        scorer = Scorer(given.study(), draws=config.bootstrap_draws, seed=config.seed)
        judge = Judge(given, scorer)
        planned = planned_differences(judge)
        summaries, points, forecasts, calibrations, curves = [], [], [], [], []
        rules = threshold_rules(config.sensitivity, config.specificity)
        for model in models:
            summaries.append(model_summary(judge, model))
            notes += never_named(judge, model)
            task.advance()
            at, at_prevalence, said = operating_points(judge, model, rules, config.prevalence)
            points += at
            forecasts += at_prevalence
            notes += said
            task.advance()
            calibrations.append(calibration(judge, model, config.calibration_bins))
            task.advance()
        drawn = with_curves(judge, models, reference, config.metric, config.curve_models)
        for model in models:
            curves += curve_bands(judge, model) if model in drawn else []
            task.advance()
        if len(drawn) < len(models):
            notes.append(
                f"ROC and precision-recall curves are of {len(drawn)} of {len(models)} models, the reference and the "
                f"best of the others: `--set curve_models={len(models)}` adds the others to the tables, and takes time."
            )
        comparisons = compare_models(judge, models, reference, config.metric, config.margin)
        tests = paired_tests(judge, models, reference, permutations=config.permutations, seed=config.seed)
        task.advance()
        masks, said = group_masks(given, config.subgroup_attributes)
        groups = group_rows(
            given, masks, metric=config.metric, draws=config.bootstrap_draws, seed=config.seed,
            widest=config.subgroup_half_width, fewest=config.fewest_patients,
        )  # fmt: skip
        task.advance()
    return ExternalEvaluation(
        title=config.title or _title(given),
        labels=given.labels,
        metric=config.metric,
        reference=reference.name,
        models=tuple(summaries),
        classes=tuple(_class_counts(judge)),
        comparisons=tuple(comparisons),
        tests=tuple(tests),
        planned=tuple(planned),
        operating_points=tuple(points),
        prevalence_points=tuple(forecasts),
        calibrations=tuple(calibrations),
        curves=tuple(curves),
        subgroups=tuple(groups),
        n_test_images=len(given.truth),
        n_test_patients=len(np.unique(given.patients)),
        has_patients=given.has_patients,
        test_sha256=given.test_sha256,
        rows_sha256=given.rows_sha256,
        test_reads=test_reads,
        inputs=dict(inputs),
        settings=config.model_dump(mode="json"),
        tenfold_version=str(describe_environment("cpu")["tenfold"] or ""),
        notes=tuple(dict.fromkeys([*notes, *said])),
    )


def check_settings(config: ExternalEvaluationConfig, given: GivenPredictions) -> None:
    """Raise InputError when the settings name a model, a class or a column that is not there."""
    _reference(config, given)
    for label in config.prevalence:
        if label not in given.labels:
            raise InputError(
                f"there is no class {label!r}", where="--prevalence",
                expected=f"CLASS=SHARE with a class of {', '.join(given.labels)}", todo=_advice(label, given.labels),
            )  # fmt: skip
    columns = [name.removeprefix(ATTRIBUTE_PREFIX) for name in given.manifest.columns if name != "image_id"]
    for name in config.subgroup_attributes:
        if name not in USUAL_SUBGROUPS and name.removeprefix(ATTRIBUTE_PREFIX) not in columns:
            raise InputError(
                f"the manifest has no column {name!r}", where="--subgroup",
                expected=f"one of {', '.join(columns)}" if columns else "a manifest (--manifest) with this column",
                todo=_advice(name, columns),
            )  # fmt: skip


def _reference(config: ExternalEvaluationConfig, given: GivenPredictions) -> GivenModel:
    names = [model.name for model in given.models]
    if config.reference is not None and config.reference not in names:
        raise InputError(
            f"there is no model {config.reference!r}", where="--reference", expected=f"one of {', '.join(names)}",
            todo=_advice(config.reference, names),
        )  # fmt: skip
    return given.models[0 if config.reference is None else names.index(config.reference)]


def _advice(name: str, known: Sequence[str]) -> str:
    """The name that was probably meant."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else "Write the name as it stands in the files."


def _title(given: GivenPredictions) -> str:
    if len(given.models) == 1:
        return f"{given.models[0].name} on {len(given.truth)} test images"
    return f"{len(given.models)} models on {len(given.truth)} test images"


def _class_counts(judge: Judge) -> list[ClassCount]:
    rows = []
    for index, label in enumerate(judge.given.labels):
        mask = judge.truth == index
        rows.append(ClassCount(label, int(mask.sum()), judge.patients_of(mask)))
    return rows
