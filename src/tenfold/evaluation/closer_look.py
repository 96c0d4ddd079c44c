"""The primary arm beside its best control, looked at closely, and tests of the trained classifiers as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from tenfold.core.hashing import sha256_json
from tenfold.evaluation.comparison import Primary
from tenfold.evaluation.config import EvaluationConfig
from tenfold.evaluation.contents import ClassReport, CloserLook
from tenfold.evaluation.external_contents import CurveBand, PairedTestRow
from tenfold.evaluation.given_predictions import GivenModel, GivenPredictions, GivenRun, Scored
from tenfold.evaluation.model_comparisons import paired_tests
from tenfold.evaluation.model_curves import curve_bands
from tenfold.evaluation.model_estimates import Judge
from tenfold.evaluation.model_summary import classification_report
from tenfold.evaluation.model_thresholds import calibration, operating_points, threshold_rules
from tenfold.evaluation.predictions import ArmPredictions, SeedKey, StudyPredictions
from tenfold.evaluation.scoring import Scorer
from tenfold.metrics.arrays import FloatArray, IntArray
from tenfold.metrics.calibration import BIN_COUNT
from tenfold.metrics.paired_tests import holm

_LEAST_PROBABILITY = 1e-12


def closer_look(
    scorer: Scorer, primary: Primary, best_control: str | None, config: EvaluationConfig
) -> tuple[CloserLook, list[CurveBand]]:
    """The look, and both arms' ROC curves; all of it empty where every classifier of the primary arm failed."""
    if primary.key not in scorer.study.arms:
        return CloserLook(), []
    size = primary.training_size
    controls = [(control, size) for control in primary.present_controls(scorer)]
    given = _as_given(scorer.study, [scorer.study.arms[key] for key in (primary.key, *controls)])
    judge = Judge(given, scorer)
    shown = [model for model in given.models if model.name in (primary.arm, best_control)]
    rules = threshold_rules(config.sensitivity, config.specificity)
    prevalence = {label: share for label, share in config.prevalence.items() if label in given.labels}
    curves, points, forecasts = [], [], []
    for model in shown:
        curves += curve_bands(judge, model)
        at, at_prevalence, _ = operating_points(judge, model, rules, prevalence)
        points += at
        forecasts += at_prevalence
    arm, *others = given.models
    look = CloserLook(
        precision_recall=tuple(curve for curve in curves if curve.kind == "precision_recall"),
        reports=tuple(ClassReport(model.name, tuple(classification_report(judge, model))) for model in shown),
        calibrations=tuple(calibration(judge, model, BIN_COUNT) for model in shown),
        operating_points=tuple(points),
        prevalence_points=tuple(forecasts),
        tests=tuple(_tests(judge, arm, others, config)),
    )
    return look, [curve for curve in curves if curve.kind == "roc"]


def prevalence_notes(config: EvaluationConfig, labels: Sequence[str]) -> list[str]:
    """Which stated prevalences are of no class of the study."""
    return [
        f"No predictive values for {label}: the study has no such class, only {', '.join(labels)}."
        for label in config.prevalence
        if label not in labels
    ]


def _tests(
    judge: Judge, arm: GivenModel, controls: Sequence[GivenModel], config: EvaluationConfig
) -> list[PairedTestRow]:
    """The arm against each control; Holm over the controls and classes of a kind of test."""
    found = [
        row
        for control in controls
        for row in paired_tests(judge, [arm, control], control, permutations=config.permutations, seed=config.seed)
    ]
    rows = []
    for kind in dict.fromkeys(row.test for row in found):
        members = [row for row in found if row.test == kind]
        adjusted = holm([row.p_value for row in members])
        rows += [replace(row, p_value_holm=p) for row, p in zip(members, adjusted, strict=True)]
    return rows


def _as_given(study: StudyPredictions, arms: Sequence[ArmPredictions]) -> GivenPredictions:
    """The arms as models whose runs have a number for each pair of seeds."""
    keys = sorted({key for arm in arms for key in arm.seed_keys})
    numbers: dict[SeedKey, int] = {key: number for number, key in enumerate(keys)}
    return GivenPredictions(
        labels=study.labels,
        image_ids=study.image_ids,
        truth=study.truth,
        patients=study.patients,
        has_patients=True,
        models=tuple(_model(study, arm, numbers) for arm in arms),
        manifest=pd.DataFrame(index=range(len(study.truth))),
        test_sha256=study.test_sha256,
        rows_sha256=sha256_json(list(study.image_ids)),
        notes=(),
    )


def _model(study: StudyPredictions, arm: ArmPredictions, numbers: dict[SeedKey, int]) -> GivenModel:
    runs = []
    for place, key in enumerate(arm.seed_keys):
        seen = arm.validations[place] if arm.validations else None
        has_validation = seen is not None and len(seen.truth) > 0
        runs.append(
            GivenRun(
                seed=numbers[key],
                test=_scored(study.truth, arm.probs[place]),
                validation=_scored(seen.truth, seen.probs) if has_validation and seen is not None else None,
            )
        )
    return GivenModel(arm.arm, {}, tuple(runs), arm.training_size)


def _scored(truth: IntArray, probs: FloatArray) -> Scored:
    """With log probabilities for logits, which a temperature divides as well."""
    return Scored(truth, probs, np.log(np.clip(probs, _LEAST_PROBABILITY, None)))
