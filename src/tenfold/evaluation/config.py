"""The evaluation's configuration: the one primary comparison, named before the run, and how intervals are drawn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from tenfold.core.config import StageConfig

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
PrimaryMetric = Literal["macro_auroc", "accuracy", "balanced_accuracy", "macro_f1", "macro_average_precision"]


class PrimaryComparison(StageConfig):
    """What the verdict rests on. "Helps" needs a gain over each of the controls."""

    metric: PrimaryMetric = Field("macro_auroc", description="the one figure that decides")
    arm: str = Field("hybrid", description="the arm in question")
    training_size: PositiveInt | None = Field(
        None, description="real images per class; null: the smallest size at which the arm is run"
    )
    controls: tuple[str, ...] = Field(
        ("real_transforms", "real_only", "real_autoencoder"),
        min_length=1,
        description="arms to beat, each; the first is the reference of the secondary comparisons",
    )
    choose: Literal["given", "validation"] = Field(
        "given",
        description="given: `arm` as it stands; validation: of `arm`, its variants by ratio and share, and "
        "`candidates` the one with the best mean figure on validation images",
    )
    candidates: tuple[str, ...] = Field(
        (), description="with choose=validation: further arms to choose among, such as other strategies"
    )
    margin: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="difference of the metric that would not matter, as a fraction (0.03 is 3 points): each comparison "
        "then also says whether the arm is non-inferior or equivalent; null: not tested",
    )
    archive_parity: bool = Field(
        False,
        description="states that the classifiers' pretrained weights have seen the images that an archive budget lets "
        "the generator's base see; without it such an arm is not testable",
    )


class EvaluationConfig(StageConfig):
    """Settings of `evaluation.run`."""

    study: str = Field("main", description="folder name under studies/")
    primary: PrimaryComparison = Field(PrimaryComparison.model_validate({}), description="the primary comparison")
    bootstrap_draws: PositiveInt = Field(2000, ge=100, description="draws of test patients for every interval")
    subgroup_attributes: tuple[str, ...] = Field(
        ("skin_type_group", "skin_type", "severity", "site", "sex", "age_band", "source"),
        description="manifest columns by which results are split; age_band is made of the age; source: where the image "
        "came from, when it is recorded",
    )
    subgroup_detectable_difference: float = Field(
        0.10, gt=0.0, lt=1.0, description="subgroups that could not show a difference this large are greyed"
    )
    subgroup_fewest_patients: PositiveInt = Field(10, description="subgroups of fewer patients are greyed too")
    specificity: Share = Field(0.9, description="specificity that a threshold of the validation images must keep")
    sensitivity: Share = Field(0.9, description="sensitivity that a threshold of the validation images must keep")
    prevalence: dict[str, Share] = Field(
        {}, description="share of a class where the classifier is to be used: predictive values are re-weighted to it"
    )
    permutations: PositiveInt = Field(5000, ge=100, description="random exchanges of whole patients")
    seed: int = Field(0, ge=0, description="seed of the bootstrap draws")
