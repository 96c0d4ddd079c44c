"""The metrics by name, with the direction that is better and the range, for configs, tables and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenfold.metrics import calibration, classification, ranking
from tenfold.metrics.arrays import FloatArray, IntArray, WeightedMetric, mean_of_defined, one_weighting
from tenfold.metrics.classification import TopK
from tenfold.metrics.thresholds import SensitivityAtSpecificity

FIXED_SPECIFICITY = 0.9
"""The specificity at which sensitivity is given by name; another one by `SensitivityAtSpecificity`."""

TOP_COUNTS = (2, 3)


@dataclass(frozen=True)
class Metric:
    """A figure made from `kernel`, which scores weightings (see `metrics.arrays`) as (D,) or per class as (D, C).

    `is_per_class` says which. Of a kernel per class it is the column `class_index`, or the mean over the classes for
    which it is defined. `is_share` figures lie in [0, 1] and get logit intervals.
    """

    name: str
    kernel: WeightedMetric
    higher_is_better: bool
    is_share: bool
    class_index: int | None = None
    is_per_class: bool = False

    def reduced(self, scores: FloatArray) -> FloatArray:
        """The kernel's scores (..., D) or (..., D, C) as (..., D)."""
        if not self.is_per_class:
            return scores
        return mean_of_defined(scores, axis=-1) if self.class_index is None else scores[..., self.class_index]

    def compute(self, labels: IntArray, probs: FloatArray, weights: FloatArray) -> FloatArray:
        """The figure (D,) of labels (N,) and probabilities (N, C) for each row of weights (D, N)."""
        return self.reduced(self.kernel(labels, probs, weights))

    def point(self, labels: IntArray, probs: FloatArray) -> float:
        """The plain figure of labels (N,) and probabilities (N, C)."""
        return float(self.compute(labels, probs, one_weighting(len(labels)))[0])


_SHARES_PER_CLASS: Mapping[str, WeightedMetric] = {
    "auroc": ranking.auroc_per_class,
    "average_precision": ranking.average_precision_per_class,
    "sensitivity": classification.sensitivity_per_class,
    "specificity": classification.specificity_per_class,
    "ppv": classification.ppv_per_class,
    "npv": classification.npv_per_class,
    "f1": classification.f1_per_class,
    "sensitivity_at_specificity": SensitivityAtSpecificity(FIXED_SPECIFICITY),
}

_ERRORS_PER_CLASS: Mapping[str, WeightedMetric] = {
    "brier_score": calibration.brier_per_class,
    "log_loss": calibration.log_loss_per_class,
    "expected_calibration_error": calibration.calibration_error_per_class,
}


def _macro(name: str, of_class: str) -> Metric:
    return Metric(name, _SHARES_PER_CLASS[of_class], True, True, is_per_class=True)


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        _macro("macro_auroc", "auroc"),
        Metric("accuracy", classification.accuracy, higher_is_better=True, is_share=True),
        _macro("balanced_accuracy", "sensitivity"),
        _macro("macro_f1", "f1"),
        _macro("macro_average_precision", "average_precision"),
        _macro("macro_specificity", "specificity"),
        _macro("macro_ppv", "ppv"),
        _macro("macro_npv", "npv"),
        _macro("macro_sensitivity_at_specificity", "sensitivity_at_specificity"),
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
"""`macro_` figures and balanced accuracy (which is the macro sensitivity) are plain means over classes; the macro
AUROC of two classes whose probabilities add to one is the ordinary AUROC."""


def per_class_metrics(class_index: int, label: str) -> dict[str, Metric]:
    """Metrics of one class against the rest, named `sensitivity.<label>` and so on."""
    shares = [
        Metric(f"{name}.{label}", kernel, True, True, class_index, True) for name, kernel in _SHARES_PER_CLASS.items()
    ]
    errors = [
        Metric(f"{name}.{label}", kernel, False, False, class_index, True) for name, kernel in _ERRORS_PER_CLASS.items()
    ]
    return {metric.name: metric for metric in (*shares, *errors)}


def catalog(labels: Sequence[str]) -> dict[str, Metric]:
    """Every metric of a task with these classes in order: METRICS, `top2` and `top3` where there are more classes
    than that, and those of each class."""
    tops = [Metric(f"top{k}", TopK(k), True, True) for k in TOP_COUNTS if len(labels) > k]
    found = {**METRICS, **{metric.name: metric for metric in tops}}
    for index, label in enumerate(labels):
        found |= per_class_metrics(index, label)
    return found
