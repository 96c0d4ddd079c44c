"""The recipe: one section per stage, each the stage's own settings; unknown keys are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from tenfold.core.config import StageConfig
from tenfold.evaluation.config import EvaluationConfig
from tenfold.intake.config import CheckConfig, IntakeConfig, SplitConfig
from tenfold.reports.config import IntakePageConfig, ReportConfig
from tenfold.studies.config import (
    AuditSettings,
    ClassifySettings,
    FinetuneSettings,
    GenerateSettings,
    PriorConfig,
    StudyConfig,
    StudyRunConfig,
)
from tenfold.studies.settings import settings_of

if TYPE_CHECKING:

    class EvaluateSettings(StageConfig):
        """EvaluationConfig without what the runner fills in."""

    class ReportSettings(StageConfig):
        """ReportConfig without what the runner fills in."""
else:
    EvaluateSettings = settings_of(EvaluationConfig, "EvaluateSettings", ("study", "seed"))
    ReportSettings = settings_of(ReportConfig, "ReportSettings", ("study", "command", "trimmed"))


class Recipe(StageConfig):
    """A whole run from images to the report. In YAML also: `required` (settings the user must give, with an example)
    and `mini` (dotted names and values of the one-minute variant)."""

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
    classify: ClassifySettings = Field(default_factory=ClassifySettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    report: ReportSettings = Field(default_factory=ReportSettings)

    def study_run(self) -> StudyRunConfig:
        """The study stage's config: the design and the settings of its stages."""
        design = {name: getattr(self.study, name) for name in StudyConfig.model_fields}
        return StudyRunConfig(
            **design,
            class_nouns=self.intake.class_nouns,
            prior=self.prior,
            finetune=self.finetune,
            generate=self.generate,
            classify=self.classify,
            audit=self.audit,
        )


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of recipe files."""
    schema = Recipe.model_json_schema()
    schema["title"] = "Tenfold recipe"
    schema["properties"]["required"] = {
        "type": "object",
        "description": "dotted names of settings that the user must give, each with an example",
    }
    schema["properties"]["mini"] = {
        "type": "object",
        "description": "dotted names and values of the one-minute variant (--mini)",
    }
    return schema
