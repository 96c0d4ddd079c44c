"""The parts of the stages' configs that a study's recipe sets: all fields but those that the study fills in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SerializerFunctionWrapHandler, model_serializer

from tenfold.audits.config import AuditConfig
from tenfold.classification.config import ClassifierConfig
from tenfold.classification.teacher_config import TeacherConfig
from tenfold.core.config import StageConfig
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.finetuning.inpainting_config import InpaintingConfig
from tenfold.finetuning.super_resolution_config import SuperResolutionConfig
from tenfold.generation.config import GenerateConfig
from tenfold.review.config import ReviewConfig
from tenfold.studies.settings import settings_of

FINETUNE_OWNED = ("name", "seed", "training_ids", "validation_ids", "class_nouns", "prior_manifest")
INPAINT_OWNED = ("name", "seed", "training_ids", "validation_ids", "class_nouns")
SUPER_RESOLUTION_OWNED = ("name", "seed", "training_ids", "validation_ids")
TEACHER_FEATURES = ("model", "pretrained", "weights", "model_options", "image_size_px")
"""What the teachers take from the classifiers."""
TEACHER_OWNED = ("name", "labels", "train_ids", "extra_manifests", "seed", *TEACHER_FEATURES)
_SET_OWNED = (
    "name",
    "seed",
    "strategy",
    "checkpoint",
    "adapter",
    "ancestors_from",
    "labels",
    "images_per_class",
    "images_per_prompt",
    "images_per_real_image",
    "balance_to",
    "total",
    "class_weights",
    "reference_ids",
)
GENERATE_OWNED = (
    *_SET_OWNED,
    "strength",
    "outpaint_strength",
    "mask",
    "background_labels",
    "recolor_to_skin_type",
)
CLASSIFY_OWNED = (
    "cell",
    "study",
    "arm",
    "labels",
    "training_size",
    "synthetic_ratio",
    "synthetic_share",
    "strategy",
    "generator_budget",
    "subset_seed",
    "generator_seed",
    "classifier_seed",
    "train_ids",
    "validation_ids",
    "budget_ids",
    "extra_manifests",
    "extra_per_class",
    "extra_ids",
    "extra_review",
    "extra_weights",
    "extra_schedule",
    "two_stage_fraction",
    "balance_by",
    "transforms",
)
AUDIT_OWNED = ("name", "synthetic", "training_ids", "seed")
REVIEW_OWNED = ("name", "sets")

if TYPE_CHECKING:

    class FinetuneSettings(StageConfig):
        """DreamBoothConfig without what the study fills in."""

    class GenerateSettings(StageConfig):
        """GenerateConfig without what the study fills in."""

    class InpaintSettings(StageConfig):
        """InpaintingConfig without what the study fills in."""

    class SuperResolutionSettings(StageConfig):
        """SuperResolutionConfig without what the study fills in."""

    class TeacherSettings(StageConfig):
        """TeacherConfig without what the study fills in."""

    class _StrategyFields(StageConfig):
        """GenerateConfig without what decides which set is made."""

    class ClassifySettings(StageConfig):
        """ClassifierConfig without what the study fills in."""

    class AuditSettings(StageConfig):
        """AuditConfig without what the study fills in."""

    class ReviewSettings(StageConfig):
        """ReviewConfig without what the study fills in."""
else:
    FinetuneSettings = settings_of(DreamBoothConfig, "FinetuneSettings", FINETUNE_OWNED)
    GenerateSettings = settings_of(GenerateConfig, "GenerateSettings", GENERATE_OWNED)
    ClassifySettings = settings_of(ClassifierConfig, "ClassifySettings", CLASSIFY_OWNED)
    InpaintSettings = settings_of(InpaintingConfig, "InpaintSettings", INPAINT_OWNED)
    SuperResolutionSettings = settings_of(SuperResolutionConfig, "SuperResolutionSettings", SUPER_RESOLUTION_OWNED)
    TeacherSettings = settings_of(TeacherConfig, "TeacherSettings", TEACHER_OWNED)
    _StrategyFields = settings_of(GenerateConfig, "_StrategyFields", _SET_OWNED)
    AuditSettings = settings_of(AuditConfig, "AuditSettings", AUDIT_OWNED)
    ReviewSettings = settings_of(ReviewConfig, "ReviewSettings", REVIEW_OWNED)


class StrategySettings(_StrategyFields):
    """What sets of one strategy are told besides the section generate: only the fields that are given count."""

    @model_serializer(mode="wrap")
    def _only_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        given: dict[str, object] = handler(self)
        return {name: value for name, value in given.items() if name in self.model_fields_set}
