"""One arm's own figures: metrics with intervals, confusion matrix, ROC curves and the origin of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tenfold.evaluation.contents import ArmSummary, ConfusionMatrix, OriginRow, RocCurve
from tenfold.evaluation.external_contents import CurveBand
from tenfold.evaluation.predictions import StudyPredictions
from tenfold.evaluation.scoring import ArmKey, Scorer
from tenfold.metrics.catalog import METRICS
from tenfold.metrics.classification import confusion_matrix, decided

SLOW_METRICS = ("macro_sensitivity_at_specificity",)
"""Left out for variants, of which there can be very many."""


def arm_summary(scorer: Scorer, key: ArmKey, *, is_variant: bool = False) -> ArmSummary:
    """Every metric of the catalog, overall and of each class; of a variant of a grid those of all classes together."""
    arm, size = key
    names = [name for name in METRICS if name not in SLOW_METRICS] if is_variant else list(scorer.metrics)
    trainings = scorer.study.arms[key].trainings
    return ArmSummary(
        arm=arm,
        training_size=size,
        metrics={name: scorer.estimate(key, name) for name in names},
        real_images_total=float(np.mean([training["real_images_total"] for training in trainings])),
        n_cells=len(trainings),
    )


def pooled_confusion(study: StudyPredictions, key: ArmKey) -> ConfusionMatrix:
    """Decisions of all seeds counted together."""
    members = study.arms[key]
    counts = sum(confusion_matrix(study.truth, decided(probs), len(study.labels)) for probs in members.probs)
    return ConfusionMatrix(
        arm=members.arm,
        training_size=members.training_size,
        labels=study.labels,
        counts=tuple(tuple(int(count) for count in row) for row in np.asarray(counts)),
        n_images=len(study.truth),
        n_patients=study.patient_count,
        n_seeds=len(members.seed_keys),
    )


def roc_curve(curve: CurveBand, training_size: int) -> RocCurve:
    """The ROC curve of an arm as an evaluation holds it; `curve` is of that kind."""
    return RocCurve(
        arm=curve.model,
        training_size=training_size,
        label=curve.label,
        false_positive_rate=curve.x,
        true_positive_rate=tuple(0.0 if rate is None else rate for rate in curve.y),
        auroc=curve.area,
        low=curve.low,
        high=curve.high,
    )


def origin_rows(study: StudyPredictions, key: ArmKey) -> list[OriginRow]:
    """Training images by label and origin, the mean over seeds, from the cells' training.json."""
    arm, size = key
    trainings = study.arms[key].trainings
    return [
        OriginRow(
            arm=arm,
            training_size=size,
            label=label,
            real_images=_mean_count(trainings, "real", label),
            extra_real_images=_mean_count(trainings, "extra_real", label),
            synthetic_images=_mean_count(trainings, "synthetic", label),
        )
        for label in study.labels
    ]


def _mean_count(trainings: Sequence[Mapping[str, Any]], origin: str, label: str) -> float:
    return float(np.mean([training["images_by_origin"][origin].get(label, 0) for training in trainings]))
