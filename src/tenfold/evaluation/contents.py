"""The typed contents of an evaluation: every number a report may show, with its interval and its counts.

`Evaluation.to_json` and `Evaluation.from_json` are inverse; the file is `evaluation/<study>/evaluation.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tenfold.core.plain import from_plain, to_plain
from tenfold.evaluation.design_contents import (
    ArmDesign,
    CellFailure,
    DoseCurve,
    PlannedDifference,
    PowerLaw,
    VariantChoice,
)
from tenfold.evaluation.estimate import Estimate
from tenfold.evaluation.external_contents import (
    Calibration,
    CurveBand,
    OperatingPoint,
    PairedTestRow,
    PrevalencePoint,
    ReportRow,
)

VerdictWord = Literal["helps", "no_evidence", "harms", "not_testable"]

__all__ = [
    "ArmDesign", "ArmSummary", "Calibration", "CellFailure", "ClassReport", "CloserLook", "Comparison",
    "ConfusionMatrix", "CurveBand", "CurvePoint", "DoseCurve", "Equivalents", "Estimate", "Evaluation",
    "OperatingPoint", "OriginRow", "PairedTestRow", "PlannedDifference", "PowerLaw", "PrevalencePoint", "ReportRow",
    "RocCurve", "SensitivityWarning", "SubgroupRow", "VariantChoice", "Verdict", "VerdictWord",
]  # fmt: skip


@dataclass(frozen=True)
class ArmSummary:
    """All figures of one arm at one training size. `real_images_total` counts training, extra, generator and validation
    images once each; the mean over seeds."""

    arm: str
    training_size: int
    metrics: Mapping[str, Estimate]
    real_images_total: float
    n_cells: int


@dataclass(frozen=True)
class Comparison:
    """`arm` minus `control` at one training size; above 0 favors the arm where more is better.

    `half_width` is that of the interval. With a margin stated before the run, `equivalence` is the word for it
    (non_inferior, equivalent, inconclusive or inferior), with the p-values of both tests; None without one.
    """

    arm: str
    control: str
    training_size: int
    metric: str
    difference: Estimate
    p_value: float | None
    p_value_holm: float | None
    is_primary: bool
    family: str
    minimum_detectable_difference: float | None
    half_width: float | None = None
    margin: float | None = None
    equivalence: str | None = None
    p_non_inferior: float | None = None
    p_equivalent: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The answer in one word and one sentence, on the one primary comparison. `harmful_against` names the controls
    whose interval lies below zero, `unproven_against` those whose interval holds zero."""

    word: VerdictWord
    sentence: str
    metric: str
    arm: str
    training_size: int
    controls: tuple[str, ...]
    harmful_against: tuple[str, ...]
    unproven_against: tuple[str, ...]


@dataclass(frozen=True)
class ConfusionMatrix:
    """`counts[true][predicted]` added up over seeds (so n_images x n_seeds in all)."""

    arm: str
    training_size: int
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    n_images: int
    n_patients: int
    n_seeds: int


@dataclass(frozen=True)
class RocCurve:
    """One class against the rest: true positive rate on a grid of false positive rates, averaged over seeds.

    `low` and `high` are its pointwise 95 % band, None where it is undefined.
    """

    arm: str
    training_size: int
    label: str
    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    auroc: Estimate
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class SubgroupRow:
    """One arm in one subgroup. `difference` is to `control` (None on the control's own row).

    `is_underpowered` rows are shown greyed and are never ranked: the difference that could be seen with 80 % power,
    `minimum_detectable_difference`, is larger than the study's `subgroup_detectable_difference`, or cannot be told, or
    it has fewer patients than `subgroup_fewest_patients`. `absent_labels` have no image in it, so that its macro figure
    is of other classes. `is_worst` marks the lowest well-powered value of its attribute, where every class has images.
    """

    attribute: str
    value: str
    arm: str
    training_size: int
    metric: str
    estimate: Estimate
    control: str | None
    difference: Estimate | None
    minimum_detectable_difference: float | None
    is_underpowered: bool
    is_worst: bool
    absent_labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class CurvePoint:
    """One point of an arm's learning curve."""

    arm: str
    training_size: int
    metric: str
    estimate: Estimate


@dataclass(frozen=True)
class Equivalents:
    """How many more real images a class would have bought the arm's figure, read off the control's curve.

    `text` is what a report prints (">= 56", "not estimable: ..."); the numbers are None where it cannot be told.
    """

    arm: str
    control: str | None
    training_size: int
    metric: str
    text: str
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class OriginRow:
    """How many training images of a label are real, extra real, and synthetic in an arm; the mean over seeds."""

    arm: str
    training_size: int
    label: str
    real_images: float
    extra_real_images: float
    synthetic_images: float


@dataclass(frozen=True)
class SensitivityWarning:
    """A class whose sensitivity falls while accuracy rises, with both differences."""

    arm: str
    control: str
    training_size: int
    label: str
    sensitivity_difference: Estimate
    accuracy_difference: Estimate
    text: str


@dataclass(frozen=True)
class ClassReport:
    """An arm's precision, recall and F1 by class, then their plain and weighted means."""

    arm: str
    rows: tuple[ReportRow, ...]


@dataclass(frozen=True)
class CloserLook:
    """The primary arm and its best control at the primary size; `tests` are of the arm against every control.

    What its parts call a model, and a reference, is an arm. Thresholds and temperatures were fitted on the validation
    images of each classifier.
    """

    precision_recall: tuple[CurveBand, ...] = ()
    reports: tuple[ClassReport, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    operating_points: tuple[OperatingPoint, ...] = ()
    prevalence_points: tuple[PrevalencePoint, ...] = ()
    tests: tuple[PairedTestRow, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Everything `evaluation.run` writes. `test_reads` counts the finished stage runs that read the test rows.

    Fields with a default were added later; a file without them is read with the default.
    """

    study: str
    labels: tuple[str, ...]
    verdict: Verdict
    arms: tuple[ArmSummary, ...]
    comparisons: tuple[Comparison, ...]
    confusion_matrices: tuple[ConfusionMatrix, ...]
    roc_curves: tuple[RocCurve, ...]
    subgroups: tuple[SubgroupRow, ...]
    learning_curve: tuple[CurvePoint, ...]
    equivalents: tuple[Equivalents, ...]
    origins: tuple[OriginRow, ...]
    warnings: tuple[SensitivityWarning, ...]
    n_test_images: int
    n_test_patients: int
    test_sha256: str
    test_reads: int
    notes: tuple[str, ...]
    designs: tuple[ArmDesign, ...] = ()
    choice: VariantChoice | None = None
    dose_curves: tuple[DoseCurve, ...] = ()
    power_laws: tuple[PowerLaw, ...] = ()
    planned: tuple[PlannedDifference, ...] = ()
    failures: tuple[CellFailure, ...] = ()
    closer: CloserLook = CloserLook()

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers (a NaN becomes null)."""
        return to_plain(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evaluation:
        """The evaluation again. Raises KeyError for a missing field, TypeError for a field of the wrong shape."""
        return from_plain(cls, value)
