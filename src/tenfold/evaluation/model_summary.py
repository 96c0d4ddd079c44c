"""One model's own figures on the test set: every metric, the classification report and the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tenfold.evaluation.external_contents import ModelSummary, ReportRow
from tenfold.evaluation.given_predictions import GivenModel
from tenfold.evaluation.model_estimates import Judge, probs_of
from tenfold.metrics.arrays import BoolArray, FloatArray, divide
from tenfold.metrics.classification import (
    confusion_matrix,
    decided,
    f1_per_class,
    ppv_per_class,
    sensitivity_per_class,
)

MACRO, WEIGHTED = "macro average", "weighted average"
_COLUMNS = {"precision": ppv_per_class, "recall": sensitivity_per_class, "f1": f1_per_class}


def model_summary(judge: Judge, model: GivenModel) -> ModelSummary:
    """Every metric of the catalog with its interval, the report and the decisions of all runs counted together."""
    truth, labels = judge.truth, judge.given.labels
    counts = sum(confusion_matrix(truth, decided(run.test.probs), len(labels)) for run in model.runs)
    return ModelSummary(
        name=model.name,
        settings=dict(model.settings),
        n_runs=len(model.runs),
        metrics={name: judge.scorer.estimate(model.key, name) for name in judge.scorer.metrics},
        report=tuple(classification_report(judge, model)),
        confusion=tuple(tuple(int(count) for count in row) for row in np.asarray(counts)),
    )


def never_named(judge: Judge, model: GivenModel) -> list[str]:
    """A note when a run names a class of the test set for no image: its precision does not exist, and no average has
    it."""
    present = {index for index in range(len(judge.given.labels)) if (judge.truth == index).any()}
    named = [set(decided(run.test.probs).tolist()) for run in model.runs]
    labels = [judge.given.labels[index] for index in sorted(present) if any(index not in run for run in named)]
    if not labels:
        return []
    runs = "it names" if len(model.runs) == 1 else "a run names"
    return [
        f"{model.name}: {runs} no image {', '.join(labels)}: the precision (PPV) of such a class does not exist, and "
        "its average over classes is over the others, so that it flatters the model."
    ]


def classification_report(judge: Judge, model: GivenModel) -> list[ReportRow]:
    """Precision, recall and F1 of every class, then their means over classes, plain and weighted by support."""
    probs = probs_of(model)
    scores = {name: judge.draws(kernel, probs) for name, kernel in _COLUMNS.items()}
    everything = np.ones(len(judge.truth), dtype=np.bool_)
    rows = []
    for index, label in enumerate(judge.given.labels):
        is_class = judge.truth == index
        called = np.any([decided(run) == index for run in probs], axis=0)
        rests_on = {"precision": called, "recall": is_class, "f1": is_class | called}
        rows.append(_row(judge, label, {name: values[..., index] for name, values in scores.items()}, rests_on))
    support = judge.weights @ np.eye(len(judge.given.labels))[judge.truth]
    equal = np.ones_like(support)
    for name, of_class in ((MACRO, equal), (WEIGHTED, support)):
        found = {column: _mean(values, of_class) for column, values in scores.items()}
        rows.append(_row(judge, name, found, dict.fromkeys(_COLUMNS, everything), is_average=True))
    return rows


def _row(
    judge: Judge, label: str, scores: Mapping[str, FloatArray], rests_on: Mapping[str, BoolArray], *,
    is_average: bool = False,
) -> ReportRow:  # fmt: skip
    mask = rests_on["recall"]
    found = {name: judge.share(values, rests_on[name]) for name, values in scores.items()}
    return ReportRow(
        label=label,
        precision=found["precision"],
        recall=found["recall"],
        f1=found["f1"],
        support=int(mask.sum()),
        patients=judge.patients_of(mask),
        is_average=is_average,
    )


def _mean(values: FloatArray, of_class: FloatArray) -> FloatArray:
    """Mean over classes (..., C) with weights `of_class` (1 + D, C), of those for which the figure is defined."""
    defined = np.isfinite(values)
    total = (np.where(defined, values, 0.0) * of_class).sum(axis=-1)
    return divide(total, np.asarray((defined * of_class).sum(axis=-1)))
