"""The typed contents of an evaluation of anybody's predictions: every number with its interval and its counts.

`ExternalEvaluation.to_json` and `from_json` are inverse; the file is `evaluation.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenfold.core.plain import from_plain, to_plain
from tenfold.evaluation.estimate import Estimate


@dataclass(frozen=True)
class ReportRow:
    """A line of the classification report: one class, or an average over classes. `support` counts test images."""

    label: str
    precision: Estimate
    recall: Estimate
    f1: Estimate
    support: int
    patients: int
    is_average: bool


@dataclass(frozen=True)
class ModelSummary:
    """One model, or arm. `metrics` by the catalog's names; `confusion[true][said]` is added up over the runs."""

    name: str
    settings: Mapping[str, str]
    n_runs: int
    metrics: Mapping[str, Estimate]
    report: tuple[ReportRow, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class OperatingPoint:
    """What a class's threshold, fitted on the validation images of each run, does on the test images.

    rule: "sensitivity at specificity 0.90" and so on; `thresholds` one for each run.
    """

    model: str
    label: str
    rule: str
    thresholds: tuple[float, ...]
    n_validation_images: float
    n_validation_positive: float
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate


@dataclass(frozen=True)
class PrevalencePoint:
    """Predictive values where a class has another share than in the test set; `rule` says who is called positive."""

    model: str
    label: str
    rule: str
    prevalence: float
    test_prevalence: float
    ppv: Estimate
    npv: Estimate


@dataclass(frozen=True)
class CurveBand:
    """A curve of one class against the rest on a grid, with a pointwise 95 % band; NaN (null) where none exists.

    kind: "roc" (x false, y true positive rate) or "precision_recall" (x sensitivity, y precision).
    """

    model: str
    label: str
    kind: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    area: Estimate


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose top probability lies in a bin: its mean, and the share named rightly with a 95 % band."""

    confidence: float | None
    accuracy: float | None
    low: float | None
    high: float | None
    share: float


@dataclass(frozen=True)
class Calibration:
    """A model's probabilities as given and, where validation images were there, after a temperature fitted on them."""

    model: str
    temperatures: tuple[float, ...]
    given: Mapping[str, Estimate]
    calibrated: Mapping[str, Estimate]
    given_bins: tuple[ReliabilityBin, ...]
    calibrated_bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class ModelComparison:
    """Model minus reference by one metric, paired by patient and run; Holm's correction is within `family`.

    `equivalence` answers for the margin that was stated (None without one): non_inferior, equivalent, inconclusive or
    inferior. `half_width` is that of the interval, `minimum_detectable_difference` what it could show with 80 % power.
    """

    model: str
    reference: str
    metric: str
    family: str
    difference: Estimate
    p_value: float | None
    p_value_holm: float | None
    minimum_detectable_difference: float | None
    half_width: float | None
    margin: float | None
    equivalence: str | None
    p_non_inferior: float | None
    p_equivalent: float | None


@dataclass(frozen=True)
class PairedTestRow:
    """A test of the trained models as they are, which does not know the spread over training runs.

    Of several runs `difference`, `low` and `high` are medians, and the p-value is twice the median one (at most 1),
    which is valid however the runs hang together. `label` is the class of an AUROC, None for tests of accuracy.
    """

    model: str
    reference: str
    test: str
    label: str | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_value_holm: float | None
    n_runs: int
    n_images: int
    n_patients: int
    method: str


@dataclass(frozen=True)
class GroupRow:
    """One model in one subgroup by one metric. `is_weak` rows are shown gray and never ranked, `why_weak` says why;
    `is_worst` marks the lowest of the others."""

    attribute: str
    group: str
    model: str
    metric: str
    estimate: Estimate
    is_weak: bool
    why_weak: str
    is_worst: bool


@dataclass(frozen=True)
class PlannedDifference:
    """The smallest difference of two models that this test set shows with 80 % power, told from its size alone."""

    metric: str
    difference: float | None
    assumption: str


@dataclass(frozen=True)
class ClassCount:
    """Test images and patients of a class."""

    label: str
    n_images: int
    n_patients: int


@dataclass(frozen=True)
class ExternalEvaluation:
    """Everything an evaluation writes. `inputs` maps the files' names to their SHA-256."""

    title: str
    labels: tuple[str, ...]
    metric: str
    reference: str
    models: tuple[ModelSummary, ...]
    classes: tuple[ClassCount, ...]
    comparisons: tuple[ModelComparison, ...]
    tests: tuple[PairedTestRow, ...]
    planned: tuple[PlannedDifference, ...]
    operating_points: tuple[OperatingPoint, ...]
    prevalence_points: tuple[PrevalencePoint, ...]
    calibrations: tuple[Calibration, ...]
    curves: tuple[CurveBand, ...]
    subgroups: tuple[GroupRow, ...]
    n_test_images: int
    n_test_patients: int
    has_patients: bool
    test_sha256: str | None
    rows_sha256: str
    test_reads: int | None
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    tenfold_version: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers (a NaN becomes null)."""
        return to_plain(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ExternalEvaluation:
        """The evaluation again. Raises KeyError for a missing field, TypeError for a field of the wrong shape."""
        return from_plain(cls, value)
