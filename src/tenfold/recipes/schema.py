"""The recipe: one section per stage, each the stage's own settings; unknown keys are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from tenfold.core.config import StageConfig
from tenfold.evaluation.config import EvaluationConfig
from tenfold.generation.config import Strategy
from tenfold.intake.config import CheckConfig, IntakeConfig, SplitConfig
from tenfold.reports.config import IntakePageConfig, ReportConfig
from tenfold.studies.config import PriorConfig, StudyConfig, StudyRunConfig
from tenfold.studies.settings import settings_of
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

if TYPE_CHECKING:

    class EvaluateSettings(StageConfig):
        """EvaluationConfig without what the runner fills in."""

    class ReportSettings(StageConfig):
        """ReportConfig without what the runner fills in."""
else:
    EvaluateSettings = settings_of(EvaluationConfig, "EvaluateSettings", ("study", "seed"))
    ReportSettings = settings_of(ReportConfig, "ReportSettings", ("study", "command", "trimmed"))


class Recipe(StageConfig):
    """A whole run from images to the report. In YAML also: `required` (settings the user must give, with an example),
    `variants` (by name: dotted names and values) and `mini` (the same for the one-minute variant)."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="name of the recipe and of its workspace")
    description: str = Field("", description="one line: what the recipe does")
    seed: int = Field(0, ge=0, lt=2**63, description="root seed: every other seed is derived from it")
    trimmed: tuple[str, ...] = Field((), description="what was made smaller to fit, printed and shown in the report")
    intake: IntakeConfig = Field(default_factory=IntakeConfig)
    split: SplitConfig = Field(default_factory=SplitConfig)
    checks: CheckConfig = Field(default_factory=CheckConfig)
    intake_page: IntakePageConfig = Field(default_factory=IntakePageConfig)
    study: StudyConfig = Field(default_factory=StudyConfig)
    prior: PriorConfig = Field(default_factory=PriorConfig)
    finetune: FinetuneSettings = Field(default_factory=FinetuneSettings)
    generate: GenerateSettings = Field(default_factory=GenerateSettings)
    inpaint: InpaintSettings | None = Field(
        None,
        description="fine-tuning of the painter of inpainted and outpainted sets; null: the generator of `finetune` "
        "paints too. Its base is also who paints where nothing is fine-tuned",
    )
    super_resolution: SuperResolutionSettings | None = Field(
        None, description="fine-tuning of an upscaler on each generator's images, which then enlarges its sets"
    )
    archive: FinetuneSettings | None = Field(
        None, description="of the archive budget: how the base learns from images without classes; null: as finetune"
    )
    generate_by_strategy: dict[Strategy, StrategySettings] = Field(
        default_factory=dict, description="strategy: settings of its sets that go before those of `generate`"
    )
    teacher: TeacherSettings = Field(default_factory=TeacherSettings)
    classify: ClassifySettings = Field(default_factory=ClassifySettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    review: ReviewSettings | None = Field(
        None,
        description="people judge what generators drew before a classifier learns from it, and the run waits for them; "
        "null: nobody does",
    )
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    report: ReportSettings = Field(default_factory=ReportSettings)

    def without_people(self) -> Recipe:
        """The recipe that goes on without reviewers and marks what nobody judged; the same where it has no review."""
        if self.review is None:
            return self
        return self.model_copy(update={"review": self.review.model_copy(update={"auto_accept": True})})

    def study_run(self) -> StudyRunConfig:
        """The study stage's config: the design and the settings of its stages."""
        design = {name: getattr(self.study, name) for name in StudyConfig.model_fields}
        return StudyRunConfig(
            **design,
            class_nouns=self.intake.class_nouns,
            prior=self.prior,
            finetune=self.finetune,
            generate=self.generate,
            inpaint=self.inpaint,
            super_resolution=self.super_resolution,
            archive=self.archive,
            generate_by_strategy=self.generate_by_strategy,
            teacher=self.teacher,
            classify=self.classify,
            audit=self.audit,
            review=self.review,
        )


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of recipe files."""
    schema = Recipe.model_json_schema()
    schema["title"] = "Tenfold recipe"
    schema["properties"]["required"] = {
        "type": "object",
        "description": "dotted names of settings that the user must give, each with an example",
    }
    schema["properties"]["variants"] = {
        "type": "object",
        "description": "by name: dotted names and values of a variant (--variant NAME)",
        "additionalProperties": {"type": "object"},
    }
    schema["properties"]["mini"] = {
        "type": "object",
        "description": "dotted names and values of the one-minute variant (--mini)",
    }
    return schema
