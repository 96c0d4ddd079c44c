"""The typed contents of an evaluation that tell of the study's design: arms, doses, the variant chosen, failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tenfold.evaluation.estimate import Estimate

DoseKind = Literal["ratio", "share"]


@dataclass(frozen=True)
class ArmDesign:
    """How an arm trains at one size. A variant of the study's grid has another arm in `base_arm`, every other itself.

    `synthetic_ratio` is in extra images per real training image, `synthetic_share` of a batch; `strategy` joins the
    sets by "+" ("none" without one), `description` is the recipe's ("" without one). `synthetic_labels` are the classes
    that get synthetic images (() for all). `is_fresh`: the extra images are further real ones; `is_duplicated`: each
    real image counts as often as real and extra ones together do.
    """

    arm: str
    base_arm: str
    training_size: int
    description: str
    strategy: str
    synthetic_ratio: float
    synthetic_share: float
    transforms: str
    generator_budget: str
    generator: str
    schedule: str
    weighting: str
    review: str
    balance_by: str | None
    synthetic_labels: tuple[str, ...]
    is_origin_balanced: bool
    is_fresh: bool
    is_duplicated: bool

    @property
    def is_variant(self) -> bool:
        """Whether it is a point of the grid of another arm."""
        return self.arm != self.base_arm


@dataclass(frozen=True)
class CellFailure:
    """A classifier that the study planned and could not train, with what went wrong."""

    cell: str
    arm: str
    training_size: int
    seed_index: int
    error: str


@dataclass(frozen=True)
class ValidationFigure:
    """An arm's figure on validation images: mean over seeds with its t interval. No test image is in it."""

    arm: str
    estimate: Estimate


@dataclass(frozen=True)
class VariantChoice:
    """Which arm the primary comparison is about: the `given` one, or of `candidates` the best on validation."""

    given: str
    chosen: str
    training_size: int
    metric: str
    candidates: tuple[ValidationFigure, ...]
    sentence: str


@dataclass(frozen=True)
class DosePoint:
    """One dose of a curve: the arm's figure, and its gain over the curve's control, paired (None for the control)."""

    arm: str
    dose: float
    estimate: Estimate
    gain: Estimate | None


@dataclass(frozen=True)
class DoseCurve:
    """An arm's figure by ratio (at one share) or by share (at one ratio), the control standing for a dose of 0.

    `saturation` is the smallest ratio with nine tenths of the gain at the largest one (`metrics.saturation`),
    `saturation_text` as a report prints it, with the reason where it cannot be told.
    """

    base_arm: str
    kind: DoseKind
    training_size: int
    metric: str
    control: str
    points: tuple[DosePoint, ...]
    saturation: float | None
    saturation_low: float | None
    saturation_high: float | None
    saturation_text: str


@dataclass(frozen=True)
class PowerLaw:
    """error = floor + scale * size^-exponent over an arm's learning curve, error being 1 - `metric`.

    Each with its 95 % interval; None where the curve does not tell, and `text` says why. `sizes` and `fitted` draw it.
    """

    arm: str
    metric: str
    floor: Estimate | None
    scale: Estimate | None
    exponent: Estimate | None
    sizes: tuple[float, ...]
    fitted: tuple[float, ...]
    text: str


@dataclass(frozen=True)
class PlannedDifference:
    """The smallest difference that the test set could show with 80 % power, known before any training."""

    metric: str
    difference: float | None
    n_images: int
    n_patients: int
    assumption: str
