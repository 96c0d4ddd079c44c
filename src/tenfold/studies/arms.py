"""Arms as data: what an arm trains on and how, the changes a recipe makes to one, and variants by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from tenfold.core.config import StageConfig
from tenfold.generation.config import Strategy
from tenfold.studies.settings import settings_of

Budget = Literal["strict", "archive", "pooled"]
Transforms = Literal["none", "paper", "strong"]
Share = Annotated[float, Field(gt=0.0, le=1.0)]

NAME = r"^[a-z][a-z0-9_]{0,39}$"
MASKED: tuple[Strategy, ...] = ("outpaint", "composite")
"""Strategies that need the lesions' masks, unless the recipe takes another mask."""
FROM_REAL_IMAGES: tuple[Strategy, ...] = (
    "img2img", "inpaint", "outpaint", "in_then_outpaint", "autoencoder", "recolor", "composite"
)  # fmt: skip
PAINTED: tuple[Strategy, ...] = ("inpaint", "outpaint", "in_then_outpaint")
TUNABLE: tuple[Strategy, ...] = ("text2img", "img2img", *PAINTED)
"""Strategies that a fine-tuned generator can draw."""


class ArmSpec(StageConfig):
    """One training condition. Every arm takes the same optimizer steps and the same real images, unless it says so."""

    name: str = Field(pattern=NAME, description="how recipes, tables and the report call it")
    description: str = Field("", description="the arm in plain words")
    real: bool = Field(True, description="whether the cell's real images are trained on")
    real_counts: dict[str, NonNegativeInt] = Field(
        default_factory=dict,
        description="label: its real training images, where they are not as many as the training size",
    )
    sets: tuple[Strategy, ...] = Field((), description="strategies whose images are mixed in, in equal parts")
    generator: Literal["fine_tuned", "pretrained"] = Field(
        "fine_tuned", description="who draws them: the base after fine-tuning on the cell's images, or as it is"
    )
    share: Share | None = Field(
        None,
        description="share of each batch that is extra images; null: study.synthetic_share, or the nearest that its "
        "classes allow; 1: nothing else",
    )
    ratio: PositiveInt | None = Field(None, description="extra images per real one; null: as the study says")
    transforms: Transforms = Field("paper", description="random changes of every training image")
    schedule: Literal["mixed", "two_stage"] = Field(
        "mixed", description="two_stage: extra images first, real images last"
    )
    weighting: Literal["none", "teacher"] = Field(
        "none", description="teacher: extra images are drawn as often as classifiers that did not see them trust them"
    )
    review: Literal["filtered", "unfiltered"] = Field(
        "filtered", description="filtered: images that reviewers rejected stay out"
    )
    balance_by: str | None = Field(
        None, description="manifest column whose values are drawn equally often within a class and origin"
    )
    duplicate_real: bool = Field(
        False, description="each real image counts as often as real and extra ones together do; where epochs count"
    )
    fresh: bool = Field(False, description="the extra images are further real ones: the headroom")
    budget: Budget | None = Field(
        None,
        description="real images that its generator may see: strict: the cell's own; archive: besides, without their "
        "classes, all outside validation and test; pooled: all training images; null: study.generator_budget",
    )
    synthetic_labels: tuple[str, ...] | None = Field(
        None, min_length=1, description="classes that get synthetic images; null: all"
    )
    origin_balanced: bool = Field(
        False,
        description="the classes that get no synthetic images get their own real ones through the autoencoder, at the "
        "same share",
    )

    @property
    def has_extra(self) -> bool:
        """Whether anything but the cell's real images is trained on."""
        return bool(self.sets) or self.fresh

    @property
    def is_tuned(self) -> bool:
        """Whether a fine-tuned generator draws a part of it."""
        return self.generator == "fine_tuned" and any(strategy in TUNABLE for strategy in self.sets)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for fault, message in (
            (self.fresh and self.sets, "fresh real images and synthetic sets are arms of their own"),
            (not self.real and not self.sets, "an arm without real images needs sets"),
            (not self.real and self.real_counts, "real_counts are given, but real is false"),
            (len(set(self.sets)) < len(self.sets), f"sets names a strategy twice: {list(self.sets)}"),
            (not self.real and self.share not in (None, 1.0), "without real images the share is 1"),
            (self.real and self.share == 1.0, "with a share of 1 no real image is drawn: say real: false"),
            (self.schedule == "two_stage" and not (self.real and self.has_extra), "two stages need both origins"),
            (self.weighting == "teacher" and not self.sets, "a teacher weighs synthetic images: sets are missing"),
            (self.synthetic_labels is not None and not self.sets, "synthetic_labels are given, but no sets"),
            (self.origin_balanced and self.synthetic_labels is None, "origin_balanced needs synthetic_labels"),
            (self.duplicate_real and self.has_extra, "duplicated real images stand alone: no sets, nothing fresh"),
            (not self.has_extra and (self.share or self.ratio), "a share or ratio is given, but no extra images"),
        ):
            if fault:
                raise ValueError(message)
        return self


if TYPE_CHECKING:

    class _Changes(StageConfig):
        """ArmSpec's fields without its name."""
else:
    _Changes = settings_of(ArmSpec, "_Changes", ("name",))


class ArmChange(_Changes):
    """An arm of a recipe: another one, `like`, with some fields changed; without `like` the defaults are changed."""

    like: str | None = Field(None, description="the arm that it is like; null: none")

    @model_serializer(mode="wrap")
    def _only_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        given: dict[str, Any] = handler(self)
        return {name: value for name, value in given.items() if name in self.model_fields_set}


def known_arms(changes: Mapping[str, ArmChange], built_in: Mapping[str, ArmSpec]) -> dict[str, ArmSpec]:
    """The built-in arms and those that a recipe defines. Raises ValueError (names, places) when one cannot be made."""
    arms = dict(built_in)
    waiting = dict(changes)
    while waiting:
        ready = [name for name, change in waiting.items() if change.like is None or change.like not in waiting]
        if not ready:
            raise ValueError(f"these arms are like each other: {', '.join(waiting)}")
        for name in ready:
            arms[name] = _changed(name, waiting.pop(name), arms)
    return arms


def _changed(name: str, change: ArmChange, arms: Mapping[str, ArmSpec]) -> ArmSpec:
    given = {field: getattr(change, field) for field in change.model_fields_set - {"like"}}
    if change.like is None:
        return ArmSpec(**{"name": name, **given})
    like = find_arm(change.like, arms)
    described = {"description": f"like {change.like}: " + ", ".join(sorted(given))} if given else {}
    return ArmSpec(**{**like.model_dump(), **described, **given, "name": name})


def find_arm(name: str, arms: Mapping[str, ArmSpec]) -> ArmSpec:
    """The arm or variant of this name, such as ``hybrid`` or ``hybrid@r25@strong``; the variant keeps its base's name.

    Raises ValueError for an unknown one, with the nearest name.
    """
    base, *suffixes = name.split("@")
    if base not in arms:
        near = difflib.get_close_matches(base, list(arms), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "define it under study.define."
        raise ValueError(f"there is no arm {base!r}, {hint} Known: {', '.join(arms)}")
    changes: dict[str, Any] = {}
    for suffix in suffixes:
        changes |= _change_of(suffix, name)
    try:
        return ArmSpec(**{**arms[base].model_dump(), **changes})
    except ValueError as error:
        raise ValueError(f"{name} is no possible variant: {_first_line(error)}") from None


def _change_of(suffix: str, name: str) -> dict[str, Any]:
    if suffix in ("none", "paper", "strong"):
        return {"transforms": suffix}
    if suffix in ("strict", "archive", "pooled"):
        return {"budget": suffix}
    found = re.fullmatch(r"r([1-9]\d*)|s(0\.\d+)", suffix)
    if not found:
        raise ValueError(
            f"{name}: {suffix!r} is no variant; known: @r25 (ratio), @s0.5 (share), @none, @paper, @strong "
            "(transforms), @strict, @archive, @pooled (budget)"
        )
    return {"ratio": int(found[1])} if found[1] else {"share": float(found[2])}


def _first_line(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    return str(errors()[0]["msg"]).removeprefix("Value error, ") if errors else str(error)
