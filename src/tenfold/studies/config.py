"""The study's configuration: arms, training sizes, seeds, the dose of synthetic images, and its stages' settings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tenfold.core.config import StageConfig
from tenfold.generation.config import Strategy
from tenfold.studies.arms import ArmChange, ArmSpec, Budget, Transforms, find_arm, known_arms
from tenfold.studies.catalog import BUILT_IN, CURVE_ARMS, DEFAULT_ARMS
from tenfold.studies.stage_settings import (
    AuditSettings,
    ClassifySettings,
    FinetuneSettings,
    GenerateSettings,
    InpaintSettings,
    ReviewSettings,
    StrategySettings,
    SuperResolutionSettings,
    TeacherSettings,
)

GridShare = Annotated[float, Field(gt=0.0, lt=1.0)]


class StudyConfig(StageConfig):
    """Which cells are trained: every curve arm at every training size, every arm at the synthetic sizes, and variants
    of the grid's arms.

    An arm is a training condition as data: `tenfold.studies.catalog` holds the built-in ones, `define` makes others.
    `hybrid@r25`, `hybrid@s0.5`, `hybrid@strong` and `hybrid@pooled` name variants of an arm with another ratio, share,
    transforms or budget, and can stand wherever an arm's name can; the grid makes many of them. All arms take the same
    optimizer steps, unless `classify.max_train_epochs` says otherwise. Outpainting and composites need masks,
    recoloring needs photographs of skin; where the images do not have them, these arms are left out, and the report
    says so.
    """

    name: str = Field(default="main", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="folder name under studies/")
    arms: tuple[str, ...] = Field(
        default=DEFAULT_ARMS, min_length=1, description="arms run at the synthetic training sizes"
    )
    define: dict[str, ArmChange] = Field(
        default_factory=dict,
        description="further arms by name, each `like` another one with some fields changed, such as "
        "`half: {like: hybrid, share: 0.5}`",
    )
    curve_arms: tuple[str, ...] = Field(
        default=CURVE_ARMS, description="arms run at every training size; of real images alone"
    )
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
    grid_arms: tuple[str, ...] = Field(
        default=(), description="arms of which the grid makes variants, at the grid's sizes"
    )
    ratios: tuple[PositiveInt, ...] | None = Field(
        default=None, min_length=1, description="the grid's synthetic images per real one; null: the arm's own only"
    )
    shares: tuple[GridShare, ...] | None = Field(
        default=None, min_length=1, description="the grid's shares of extra images; null: the arm's own only"
    )
    transforms_grid: tuple[Transforms, ...] | None = Field(
        default=None, min_length=1, description="the grid's transforms; null: the arm's own only"
    )
    budgets: tuple[Budget, ...] | None = Field(
        default=None, min_length=1, description="the grid's generator budgets; null: the arm's own only"
    )
    grid: Literal["one_at_a_time", "crossed"] = Field(
        default="one_at_a_time",
        description="one_at_a_time: each variant differs from its arm in one thing; crossed: every combination",
    )
    grid_sizes: tuple[PositiveInt, ...] | None = Field(
        default=None, min_length=1, description="training sizes of the grid's variants; null: every synthetic size"
    )
    generator_budget: Budget = Field(
        default="strict",
        description="of arms that name none. strict: a generator sees only its own cell's training images; archive: "
        "besides, without their classes, all images outside validation and test; pooled: all training images",
    )
    generator_per_class: bool = Field(
        default=False, description="fit a generator to each class, each drawing its own, instead of one to all"
    )
    generator_epochs: PositiveInt | None = Field(
        default=None, description="fine-tune for so many passes over the images instead of finetune.max_train_steps"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in (
            "arms", "curve_arms", "training_sizes", "synthetic_training_sizes", "grid_arms", "ratios", "shares",
            "transforms_grid", "budgets", "grid_sizes",
        ):  # fmt: skip
            values = getattr(self, name)
            if values is not None and len(set(values)) != len(values):
                raise ValueError(f"{name} names a value twice: {list(values)}")
        wrong = [arm for arm in self.curve_arms if self.arm(arm).has_extra]
        if wrong:
            raise ValueError(f"curve_arms are arms of real images alone, not {wrong}")
        for name in self.arms:
            self.arm(name)
        bare = [arm for arm in self.grid_arms if "@" in arm or not self.arm(arm).has_extra]
        if bare and (self.ratios or self.shares or self.budgets):
            raise ValueError(f"grid_arms {bare} have no extra images to vary: name arms of the catalogue that have")
        if self.grid_arms and not (self.ratios or self.shares or self.transforms_grid or self.budgets):
            raise ValueError("grid_arms are given, but no ratios, shares, transforms_grid or budgets")
        self._check_sizes()
        return self

    def _check_sizes(self) -> None:
        for name, wider in (("synthetic_training_sizes", "training_sizes"), ("grid_sizes", "synthetic_training_sizes")):
            some, all_ = getattr(self, name), getattr(self, wider)
            if some is not None and all_ is not None and (missing := sorted(set(some) - set(all_))):
                raise ValueError(
                    f"{name} {missing} are not among {wider} {list(all_)}: each needs its controls at the same size"
                )

    def arm(self, name: str) -> ArmSpec:
        """The arm or variant of this name. Raises ValueError when there is none."""
        return find_arm(name, self.known_arms())

    def known_arms(self) -> dict[str, ArmSpec]:
        """The built-in arms and the recipe's own, by name."""
        return known_arms(self.define, BUILT_IN)


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
    inpaint: InpaintSettings | None = None
    super_resolution: SuperResolutionSettings | None = None
    archive: FinetuneSettings | None = None
    generate_by_strategy: dict[Strategy, StrategySettings] = Field(default_factory=dict)
    teacher: TeacherSettings = Field(default_factory=TeacherSettings)
    classify: ClassifySettings = Field(default_factory=ClassifySettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    review: ReviewSettings | None = None
