"""The teacher's configuration: whose images it learns from, and which it weighs. Torch-free."""

from __future__ import annotations

from typing import Self

from pydantic import Field, PositiveInt, model_validator

from tenfold.core.config import FolderName, StageConfig


class TeacherConfig(StageConfig):
    """Weigh extra images by how surely they show their class; the weights go to classifiers/<name>."""

    name: FolderName = Field(description="folder name under classifiers/")
    labels: tuple[str, ...] = Field(min_length=2, description="the classes")
    train_ids: tuple[str, ...] = Field(min_length=1, description="the cell's real training images, in every class")
    extra_manifests: tuple[str, ...] = Field(min_length=1, description="manifests whose images are weighed")
    folds: int = Field(5, ge=3, description="teachers; each leaves out one fold of groups (fewer where groups are few)")
    seed: int = Field(0, ge=0, lt=2**63, description="deals the groups into folds")
    model: str = Field("embedded:small", description="whose frozen features the teachers read, as classify.model")
    pretrained: bool = Field(True, description="as the classifier's; features of random weights tell little")
    weights: str | None = Field(None, description="as the classifier's: local .safetensors file of a timm model")
    model_options: dict[str, str | int | float | bool] = Field(default_factory=dict, description="as the classifier's")
    image_size_px: PositiveInt | None = Field(None, description="as the classifier's: side of the model's input")
    l2: float = Field(1.0, gt=0.0, description="strength of the teachers' ridge penalty, on standardized features")
    device: str = Field("auto", description="auto, cpu or cuda")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("labels", "train_ids", "extra_manifests"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names a value twice")
        if not self.pretrained and self.weights is not None:
            raise ValueError("weights are given, but pretrained is off")
        return self
