"""One cell's configuration: which images an arm trains on, and how its classifier learns from them."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from tenfold.core.config import FolderName, StageConfig

Transforms = Literal["none", "paper", "strong"]


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
    extra_per_class: tuple[PositiveInt, ...] = Field(
        (), description="of each extra manifest, at most so many images a class, a nested choice; none: all"
    )
    extra_ids: tuple[str, ...] = Field((), description="further real training images used as extra ones")
    budget_ids: tuple[str, ...] = Field(
        (), description="real images besides train_ids that a strict generator may have seen: they count as used"
    )
    extra_review: Literal["filtered", "unfiltered"] = Field(
        "filtered", description="filtered: rejected extra images stay out; quarantined ones always do"
    )
    extra_weights: str | None = Field(
        None,
        description="Parquet in the workspace with image_id and weight (0 to 1): how often each extra image is drawn",
    )
    extra_schedule: Literal["mixed", "two_stage"] = Field(
        "mixed", description="mixed: every batch holds both; two_stage: extra images first, real images last"
    )
    two_stage_fraction: float = Field(
        0.5, gt=0.0, lt=1.0, description="part of the steps that the extra images get; with two_stage"
    )

    transforms: Transforms = Field(
        "paper",
        description="random changes of every training image. none; paper: crop, flips, rotation, warp, lighting; "
        "strong: these, RandAugment, MixUp and CutMix",
    )
    sampling: Literal["balanced", "uniform"] = Field(
        "balanced", description="balanced: every class fills an equal part of each batch; uniform: images as they come"
    )
    balance_by: str | None = Field(
        None, description="manifest column whose values are drawn equally often within each class and origin"
    )
    loss_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: rare classes weigh more in the loss; for sampling=uniform"
    )

    model: str = Field(
        "embedded:small",
        description="embedded:small, efficientnetv2_m, vit_base_patch16_224 (with attention dropout), or a timm model",
    )
    model_options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="further arguments of timm.create_model, such as pad_type: same"
    )
    image_size_px: PositiveInt | None = Field(
        None, description="side of the model's input; null: its own, or the images'"
    )
    dropout: float | None = Field(None, ge=0.0, lt=1.0, description="before the last layer; null: the model's own")
    attention_dropout: float | None = Field(None, ge=0.0, lt=1.0, description="null: the preset's, or the model's own")
    pretrained: bool = Field(True, description="start from pretrained weights: the archive's, a file's, or timm's")
    weights: str | None = Field(None, description="local .safetensors file of a timm model's pretrained weights")
    train: Literal["full", "head"] = Field(
        "full", description="full: the whole network; head: only the last layer, on frozen features"
    )
    freeze_blocks: NonNegativeInt = Field(1, description="leading blocks that keep their pretrained weights")
    layer_decay: float | None = Field(
        None, gt=0.0, le=1.0, description="each layer learns so much slower than the next one; null: all alike"
    )
    feature_views: PositiveInt = Field(
        8, description="with train=head: changed views of each training image whose features are kept"
    )

    max_train_steps: PositiveInt = Field(200, description="optimizer steps, the same for every arm")
    max_train_epochs: PositiveInt | None = Field(
        None, description="passes over the arm's own images instead of max_train_steps: arms then differ in steps"
    )
    batch_size: PositiveInt = Field(32, description="images in each step")
    optimizer: Literal["adamw", "adam", "rmsprop", "sgd"] = "adamw"
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of rmsprop and sgd")
    learning_rate: float = Field(1e-3, gt=0.0)
    lr_scheduler: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="after the warm-up: down to zero by a cosine or a line, or as it is"
    )
    lr_warmup_steps: NonNegativeInt = Field(10, description="steps of linear warm-up")
    weight_decay: float = Field(0.05, ge=0.0)
    label_smoothing: float = Field(0.1, ge=0.0, lt=1.0)
    gradient_clip: float | None = Field(None, gt=0.0, description="largest norm of the gradient; null: any")
    ema_decay: float | None = Field(
        None, gt=0.0, lt=1.0, description="of a moving average of the weights, which is then what is judged and kept"
    )
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    evaluate_every_steps: PositiveInt = Field(25, description="steps between two looks at the validation images")
    early_stopping_looks: PositiveInt | None = Field(
        None, description="stop after so many looks without a better one; null: never"
    )
    checkpointing_steps: PositiveInt | None = Field(
        None, description="steps between two saved states to go on from after an interruption; null: none"
    )
    allow_origin_confound: bool = Field(
        False, description="accept a class without real training images beside classes that have some"
    )
    device: str = Field("auto", description="auto, cpu or cuda")

    @field_validator("transforms", mode="before")
    @classmethod
    def _read_switch(cls, value: Any) -> Any:
        """True and false, as older recipes have them."""
        return {True: "paper", False: "none"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _check_images(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels names a class twice: {list(self.labels)}")
        has_extra = bool(self.extra_manifests or self.extra_ids)
        if has_extra != (self.synthetic_share > 0):
            raise ValueError("extra images and a synthetic_share above 0 belong together")
        if not self.train_ids and self.synthetic_share < 1:
            raise ValueError("without train_ids the synthetic_share must be 1")
        if self.extra_per_class and len(self.extra_per_class) != len(self.extra_manifests):
            raise ValueError("extra_per_class has one number for each of extra_manifests, or none at all")
        if self.extra_weights is not None and not has_extra:
            raise ValueError("extra_weights are given, but there are no extra images")
        if self.extra_schedule == "two_stage" and not (has_extra and self.train_ids):
            raise ValueError(
                "extra_schedule two_stage needs extra images for the first stage and train_ids for the last"
            )
        return self

    @model_validator(mode="after")
    def _check_training(self) -> Self:
        if not self.pretrained and self.weights is not None:
            raise ValueError("weights are given, but pretrained is off")
        if not self.pretrained and self.freeze_blocks:
            raise ValueError("freeze_blocks must be 0 when pretrained is off: frozen random blocks learn nothing")
        if self.train == "head":
            if not self.pretrained:
                raise ValueError("train=head needs pretrained: features of random weights know nothing")
            if self.freeze_blocks:
                raise ValueError("freeze_blocks must be 0 with train=head: all but the last layer is frozen anyway")
            if self.layer_decay is not None:
                raise ValueError("layer_decay has no use with train=head: only the last layer learns")
        return self
