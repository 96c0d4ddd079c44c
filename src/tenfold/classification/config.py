"""One cell's configuration: which images an arm trains on, and how its classifier learns from them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tenfold.core.config import FolderName, StageConfig


class ClassifierConfig(StageConfig):
    """Train and test one classifier; it goes to classifiers/<cell>."""

    cell: FolderName = Field(description="folder name under classifiers/")
    study: str = Field("main", description="the study the cell belongs to")
    arm: str = Field(min_length=1, description="the training condition")
    labels: tuple[str, ...] = Field(min_length=2, description="the classes, in the order of the probabilities")
    training_size: PositiveInt = Field(description="real images per class of the arm's data budget")
    synthetic_ratio: float = Field(0.0, ge=0.0, description="extra images per real image, as recorded")
    synthetic_share: float = Field(0.0, ge=0.0, le=1.0, description="share of each batch that is extra images")
    strategy: str = Field("none", description="how the extra images were made; none without a generator")
    generator_budget: Literal["strict", "archive", "pooled"] = Field(
        "strict", description="strict: synthetic images descend from this cell's own training images only"
    )
    subset_seed: int = Field(0, ge=0, lt=2**63)
    generator_seed: int = Field(0, ge=0, lt=2**63)
    classifier_seed: int = Field(0, ge=0, lt=2**63)
    train_ids: tuple[str, ...] = Field((), description="real training images; none: synthetic only")
    validation_ids: tuple[str, ...] = Field(min_length=1, description="real images that choose the checkpoint")
    extra_manifests: tuple[str, ...] = Field((), description="manifests whose images are the extra ones")
    extra_ids: tuple[str, ...] = Field((), description="further real training images used as extra ones")
    transforms: bool = Field(True, description="random crop, flips, rotation and color on every training image")

    model: str = Field("embedded:small", description="embedded:small, or the name of a timm model")
    pretrained: bool = Field(True, description="start from features pretrained on the base's archive")
    weights: str | None = Field(None, description="local .safetensors file of a timm model's pretrained weights")
    freeze_blocks: NonNegativeInt = Field(1, description="leading blocks that keep their pretrained weights")
    max_train_steps: PositiveInt = Field(200, description="optimizer steps, the same for every arm")
    batch_size: PositiveInt = Field(32, description="images in each step, balanced over the classes")
    learning_rate: float = Field(1e-3, gt=0.0)
    lr_warmup_steps: NonNegativeInt = Field(10, description="steps of linear warm-up; a cosine to zero follows")
    weight_decay: float = Field(0.05, ge=0.0)
    label_smoothing: float = Field(0.1, ge=0.0, lt=1.0)
    evaluate_every_steps: PositiveInt = Field(25, description="steps between two looks at the validation images")
    allow_origin_confound: bool = Field(
        False, description="accept a class without real training images beside classes that have some"
    )
    device: str = Field("auto", description="auto, cpu or cuda")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels names a class twice: {list(self.labels)}")
        has_extra = bool(self.extra_manifests or self.extra_ids)
        if has_extra != (self.synthetic_share > 0):
            raise ValueError("extra images and a synthetic_share above 0 belong together")
        if not self.train_ids and self.synthetic_share < 1:
            raise ValueError("without train_ids the synthetic_share must be 1")
        if not self.pretrained and self.weights is not None:
            raise ValueError("weights are given, but pretrained is off")
        if not self.pretrained and self.freeze_blocks:
            raise ValueError("freeze_blocks must be 0 when pretrained is off: frozen random blocks learn nothing")
        return self
