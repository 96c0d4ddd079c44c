"""The study's configuration: arms, training sizes, seeds, the dose of synthetic images, and its stages' settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tenfold.audits.config import AuditConfig
from tenfold.classification.config import ClassifierConfig
from tenfold.core.config import StageConfig
from tenfold.finetuning.config import DreamBoothConfig
from tenfold.generation.config import GenerateConfig
from tenfold.studies.arms import CURVE_ARMS, DEFAULT_ARMS, Arm
from tenfold.studies.settings import settings_of


class StudyConfig(StageConfig):
    """Which cells are trained: every curve arm at every training size, every arm at the synthetic sizes.

    Arms: `real_only` (no transforms), `real_transforms`, `real_autoencoder` (a share of each batch is the same real
    images through the autoencoder), `real_recolor` (a share is the same images in other skin tones), `real_composite`
    (a share is their lesions set into each other's surroundings), `hybrid` (a share is drawn from prompts by the
    fine-tuned generator), `hybrid_outpaint` (a share is the real lesions with surroundings that the base draws, without
    fine-tuning), `hybrid_mix` (outpainted images and composites in equal parts), `synthetic_only`, `fresh_real` (a
    share is other real images: the headroom). Every arm but `real_only` trains with transforms; all take the same
    optimizer steps. Outpainting and composites need masks, recoloring needs photographs of skin; where the images do
    not have them, these arms are left out, and the report says so.
    """

    name: str = Field(default="main", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="folder name under studies/")
    arms: tuple[Arm, ...] = Field(
        default=DEFAULT_ARMS, min_length=1, description="arms run at the synthetic training sizes"
    )
    curve_arms: tuple[Arm, ...] = Field(default=CURVE_ARMS, description="real arms run at every training size")
    training_sizes: tuple[PositiveInt, ...] | None = Field(
        default=None,
        min_length=1,
        description="real training images per class; null: 5, 10, 20, 40, ... as the data allow",
    )
    synthetic_training_sizes: tuple[PositiveInt, ...] | None = Field(
        default=None,
        min_length=1,
        description="sizes at which a generator is fitted; null: 10, or the largest size below it",
    )
    seeds: PositiveInt = Field(default=5, description="repetitions: subset, generator and classifier seeds drawn apart")
    synthetic_ratio: PositiveInt = Field(default=10, description="synthetic images per real training image")
    source_ratio: PositiveInt | None = Field(
        default=None,
        description="images per real training image of sets that start from real images (outpainted, recolored, "
        "composites; recoloring gives at most one for each skin type); null: synthetic_ratio",
    )
    synthetic_share: float = Field(
        default=0.25, gt=0.0, lt=1.0, description="share of a hybrid batch that is extra images"
    )
    generator_budget: Literal["strict"] = Field(
        default="strict", description="strict: a generator sees only its own cell's training images"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("arms", "curve_arms", "training_sizes", "synthetic_training_sizes"):
            values = getattr(self, name)
            if values is not None and len(set(values)) != len(values):
                raise ValueError(f"{name} names a value twice: {list(values)}")
        wrong = [arm for arm in self.curve_arms if arm not in CURVE_ARMS]
        if wrong:
            raise ValueError(f"curve_arms can hold {list(CURVE_ARMS)}, not {wrong}")
        if self.training_sizes is not None and self.synthetic_training_sizes is not None:
            missing = sorted(set(self.synthetic_training_sizes) - set(self.training_sizes))
            if missing:
                raise ValueError(
                    f"synthetic_training_sizes {missing} are not among training_sizes {list(self.training_sizes)}: "
                    "each needs its real controls at the same size"
                )
        return self


FINETUNE_OWNED = ("name", "seed", "training_ids", "validation_ids", "class_nouns", "prior_manifest")
GENERATE_OWNED = (
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
    "extra_manifests",
    "extra_ids",
    "transforms",
)
AUDIT_OWNED = ("name", "synthetic", "training_ids", "seed")

if TYPE_CHECKING:

    class FinetuneSettings(StageConfig):
        """DreamBoothConfig without what the study fills in."""

    class GenerateSettings(StageConfig):
        """GenerateConfig without what the study fills in."""

    class ClassifySettings(StageConfig):
        """ClassifierConfig without what the study fills in."""

    class AuditSettings(StageConfig):
        """AuditConfig without what the study fills in."""
else:
    FinetuneSettings = settings_of(DreamBoothConfig, "FinetuneSettings", FINETUNE_OWNED)
    GenerateSettings = settings_of(GenerateConfig, "GenerateSettings", GENERATE_OWNED)
    ClassifySettings = settings_of(ClassifierConfig, "ClassifySettings", CLASSIFY_OWNED)
    AuditSettings = settings_of(AuditConfig, "AuditSettings", AUDIT_OWNED)


class PriorConfig(StageConfig):
    """Prior images: drawn once by the base, seen by every fine-tuning, so that the base keeps what it knew."""

    images: NonNegativeInt = Field(
        default=48, description="images drawn by the base; 0 fine-tunes without prior preservation"
    )
    prompts: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="what the base is asked for; null: the classes' nouns, without identifiers",
    )
    skin_types: tuple[int, ...] | None = Field(
        default=None, description="Fitzpatrick types asked for in turn; null: none"
    )


class StudyRunConfig(StudyConfig):
    """Everything `studies.run` reads: the design, and the settings of the stages that make its parts."""

    class_nouns: dict[str, str] = Field(default_factory=dict, description="label: its noun in captions and prompts")
    prior: PriorConfig = Field(default_factory=PriorConfig)
    finetune: FinetuneSettings = Field(default_factory=FinetuneSettings)
    generate: GenerateSettings = Field(default_factory=GenerateSettings)
    classify: ClassifySettings = Field(default_factory=ClassifySettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
