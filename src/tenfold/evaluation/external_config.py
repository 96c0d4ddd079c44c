"""The settings of an evaluation of anybody's predictions: what is compared, at which thresholds and prevalence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from tenfold.core.config import StageConfig

ComparedMetric = Literal["macro_auroc", "accuracy", "balanced_accuracy", "macro_f1", "macro_average_precision"]
USUAL_SUBGROUPS = ("skin_type_group", "skin_type", "severity", "site", "sex", "age_band", "source")
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class ExternalEvaluationConfig(StageConfig):
    """Everything has a default: a table of predictions alone can be evaluated."""

    title: str | None = Field(None, min_length=1, description="title of the page; null: made from the models' names")
    metric: ComparedMetric = Field("macro_auroc", description="the one figure by which models are compared first")
    reference: str | None = Field(None, description="the model all others are compared with; null: the first one")
    margin: Share | None = Field(
        None, description="largest loss of `metric` that does not matter: non-inferiority and equivalence are tested"
    )
    specificity: Share = Field(0.9, description="specificity that a threshold of the validation images must keep")
    sensitivity: Share = Field(0.9, description="sensitivity that a threshold of the validation images must keep")
    prevalence: dict[str, Share] = Field(
        {}, description="share of a class where the model is to be used: predictive values are re-weighted to it"
    )
    subgroup_attributes: tuple[str, ...] = Field(
        USUAL_SUBGROUPS,
        description="manifest columns by which results are split, with or without `attr.`; age_band is made of age",
    )
    subgroup_half_width: Share = Field(
        0.15, description="a subgroup whose interval is wider to either side is shown gray and never ranked"
    )
    fewest_patients: PositiveInt = Field(10, description="a subgroup of fewer patients is gray too")
    bootstrap_draws: PositiveInt = Field(2000, ge=100, description="draws of test patients for every interval")
    permutations: PositiveInt = Field(5000, ge=100, description="random sign flips of whole patients")
    calibration_bins: PositiveInt = Field(10, ge=2, le=50, description="bins of the calibration plot")
    curve_models: PositiveInt = Field(
        6, description="models with ROC and precision-recall bands: the reference and the best others by `metric`"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the draws")
