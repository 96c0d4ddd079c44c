"""The review's configuration: what is judged, by how many, mixed with what, and what the decisions must reach."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tenfold.core.config import FolderName, StageConfig

Consensus = Literal["any_reject", "majority", "adjudicated"]


class ReviewTargets(StageConfig):
    """How many accepted synthetic images are wanted; what is not named has no target."""

    total: NonNegativeInt = Field(default=0, description="accepted images in all")
    per_class: dict[str, NonNegativeInt] = Field(default_factory=dict, description="accepted images by class")
    per_severity: NonNegativeInt = Field(default=0, description="accepted images of every severity level that occurs")
    per_skin_type: NonNegativeInt = Field(default=0, description="accepted images of every skin type group that occurs")
    scope: Literal["all_sets", "each_set"] = Field(
        default="all_sets",
        description="all_sets: of all sets of the review together; each_set: of each, as each repetition of a study "
        "learns from a set of its own",
    )


class ReviewConfig(StageConfig):
    """Let people judge synthetic images, blinded, and wait until they have."""

    name: FolderName = Field("main", description="name of the review in its report")
    sets: tuple[FolderName, ...] = Field(
        (), description="folders under synthetic/ to judge; none: all but controls (autoencoder, recolor, composite)"
    )
    real_fraction: float = Field(
        0.15, ge=0.0, le=0.9, description="share of real images in the queue, so that nobody knows what is generated"
    )
    repeat_fraction: float = Field(
        0.05, ge=0.0, le=0.5, description="share of images that come back later, to see how steady a reviewer is"
    )
    overlap_fraction: float = Field(
        0.2, ge=0.0, le=1.0, description="share of images that every reviewer judges; the others are shared out"
    )
    reviewers_needed: PositiveInt = Field(2, description="how many reviewers must finish before the run goes on")
    consensus: Consensus = Field(
        "any_reject",
        description="any_reject: one rejection keeps an image out; majority: more accept than reject; "
        "adjudicated: an adjudicator decides where reviewers differ",
    )
    shows_class: bool = Field(
        True,
        description="tell reviewers which class each image, generated or real, is meant to show; false: they name it "
        "unaided, and an accepted image may show another class",
    )
    rubric: str | None = Field(
        None, description="YAML file with questions, reject reasons and class definitions; null: the shipped one"
    )
    targets: ReviewTargets = Field(default=ReviewTargets(), description="accepted images wanted")
    auto_accept: bool = Field(
        False, description="true: go on without people; manifest and report then say that nobody looked"
    )

    @model_validator(mode="after")
    def _sets_are_named_once(self) -> Self:
        twice = sorted({name for name in self.sets if self.sets.count(name) > 1})
        if twice:
            raise ValueError(f"sets names {', '.join(twice)} more than once")
        return self
