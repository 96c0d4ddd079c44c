"""The metrics by name, with the direction that is better and the range, for configs, tables and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenfold.metrics import calibration, classification, ranking
from tenfold.metrics.arrays import FloatArray, IntArray, WeightedMetric, mean_of_defined, one_weighting


@dataclass(frozen=True)
class Metric:
    """A figure made from `kernel`, which scores weightings (see `metrics.arrays`) as (D,) or per class as (D, C).

    Of a kernel per class it is the column `class_index`, or the mean over the classes for which it is defined.
    `is_share` figures lie in [0, 1] and get logit intervals.
    """

    name: str
    kernel: WeightedMetric
    higher_is_better: bool
    is_share: bool
    class_index: int | None = None

    def reduced(self, scores: FloatArray) -> FloatArray:
        """The kernel's scores (..., D) or (..., D, C) as (..., D)."""
        if self.kernel not in PER_CLASS_KERNELS:
            return scores
        return mean_of_defined(scores, axis=-1) if self.class_index is None else scores[..., self.class_index]

    def compute(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
        """The figure (D,) of labels (N,) and probabilities (N, C) for each row of weights (D, N)."""
        return self.reduced(self.kernel(labels, probs, weights))

    def point(self, labels: IntArray, probs: FloatArray) -> float:
        """The plain figure of labels (N,) and probabilities (N, C)."""
        return float(self.compute(labels, probs, one_weighting(len(labels)))[0])


PER_CLASS_KERNELS = frozenset(
    {
        ranking.auroc_per_class,
        ranking.average_precision_per_class,
        classification.sensitivity_per_class,
        classification.specificity_per_class,
        classification.ppv_per_class,
        classification.npv_per_class,
        classification.f1_per_class,
    }
)

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("macro_auroc", ranking.auroc_per_class, higher_is_better=True, is_share=True),
        Metric("accuracy", classification.accuracy, higher_is_better=True, is_share=True),
        Metric("balanced_accuracy", classification.sensitivity_per_class, higher_is_better=True, is_share=True),
        Metric("macro_f1", classification.f1_per_class, higher_is_better=True, is_share=True),
        Metric("macro_average_precision", ranking.average_precision_per_class, higher_is_better=True, is_share=True),
        Metric("brier_score", calibration.brier_score, higher_is_better=False, is_share=False),
        Metric("log_loss", calibration.log_loss, higher_is_better=False, is_share=False),
        Metric(
            "expected_calibration_error",
            calibration.expected_calibration_error,
            higher_is_better=False,
            is_share=False,
        ),
    )
}
"""`macro_` figures and balanced accuracy are plain means over classes; the macro AUROC of two classes whose
probabilities add to one is the ordinary AUROC."""


def per_class_metrics(class_index: int, label: str) -> dict[str, Metric]:
    """Metrics of one class against the rest, named `sensitivity.<label>` and so on."""
    kernels = {
        "auroc": ranking.auroc_per_class,
        "sensitivity": classification.sensitivity_per_class,
        "specificity": classification.specificity_per_class,
        "ppv": classification.ppv_per_class,
        "npv": classification.npv_per_class,
    }
    return {
        f"{name}.{label}": Metric(f"{name}.{label}", kernel, True, True, class_index)
        for name, kernel in kernels.items()
    }
