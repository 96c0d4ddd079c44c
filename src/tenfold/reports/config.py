"""The pages' configuration: which study the report tells of, how many pictures, and the author's own words."""

from __future__ import annotations

from pydantic import Field

from tenfold.core.config import FolderName, StageConfig

STUDY_RECIPE = "studies/{study}.yaml"
"""A study's own recipe, in the workspace."""
STUDY_PAGE = "studies/{study}.html"
"""Its report; the folder report/ shows the last study reported."""


class ReportConfig(StageConfig):
    """`command` is printed as the way to replay the run; null names the workspace's own recipe file."""

    study: str = Field("main", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="the study under evaluation/ to show")
    title: str | None = Field(None, min_length=1, description="title of the page; null: made from the classes")
    question: str | None = Field(None, min_length=1, description="the question in words; null: made from the design")
    command: str | None = Field(None, min_length=1, description="the command that replays the run")
    trimmed: tuple[str, ...] = Field((), description="what was left out or made smaller to fit, one sentence each")
    pictures_per_class: int = Field(6, ge=1, le=24, description="synthetic images shown of each class")


class IntakePageConfig(StageConfig):
    """How much the intake page shows; what it leaves out is counted on the page."""

    title: str | None = Field(default=None, min_length=1, description="title of the page; null: the workspace's name")
    pictures_per_class: int = Field(default=12, ge=1, le=48, description="images shown of each class")
    duplicate_clusters: int = Field(default=24, ge=1, le=200, description="clusters of duplicates shown, worst first")
    suspects_per_check: int = Field(default=12, ge=1, le=100, description="images shown of each check, the worst first")


class GalleryConfig(StageConfig):
    """Which synthetic set the gallery shows, and how many pictures; what it leaves out is counted on the page."""

    name: FolderName = Field(description="the set: a folder under synthetic/")
    pictures_per_group: int = Field(default=24, ge=1, le=600, description="images shown of each class and strategy")


class TuningPageConfig(StageConfig):
    """Which tuning the page tells of."""

    name: FolderName = Field(description="the tuning: a folder under tuning/")
