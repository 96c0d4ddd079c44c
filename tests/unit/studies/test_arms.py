"""Arms as data: the catalogue, recipes' own arms, variants by name, the grid, and arms that cannot answer."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tenfold.core.errors import DesignError
from tenfold.studies.arms import ArmSpec, find_arm
from tenfold.studies.catalog import BUILT_IN, CURVE_ARMS, DEFAULT_ARMS
from tenfold.studies.config import StudyConfig
from tenfold.studies.soundness import check_arm, share_in_reach
from tenfold.studies.variants import Dose, Grid


def test_the_catalogue_is_told_in_words_and_holds_the_defaults() -> None:
    assert {*DEFAULT_ARMS, *CURVE_ARMS} <= set(BUILT_IN)
    assert all(spec.description and spec.name == name for name, spec in BUILT_IN.items())
    for name in CURVE_ARMS:
        assert not BUILT_IN[name].has_extra


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hybrid@r25", {"ratio": 25}),
        ("hybrid@s0.5", {"share": 0.5}),
        ("hybrid@strong@pooled", {"transforms": "strong", "budget": "pooled"}),
        ("real_transforms@none", {"transforms": "none"}),
    ],
)
def test_variants_by_name(name: str, expected: dict[str, Any]) -> None:
    base = name.partition("@")[0]
    assert find_arm(name, BUILT_IN) == ArmSpec(**{**BUILT_IN[base].model_dump(), **expected})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hybird", "did you mean 'hybrid'"),
        ("hybrid@25", "is no variant; known: @r25"),
        ("real_only@r5", "no extra images"),
        ("synthetic_only@s0.5", "without real images the share is 1"),
    ],
)
def test_unknown_names_are_told_with_what_is_known(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        find_arm(name, BUILT_IN)
    with pytest.raises(ValidationError, match=words):
        StudyConfig(arms=("real_only", name))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"fresh": True, "sets": ("text2img",)}, "arms of their own"),
        ({"real": False}, "without real images needs sets"),
        ({"share": 0.5}, "no extra images"),
        ({"sets": ("text2img",), "share": 1.0}, "say real: false"),
        ({"schedule": "two_stage"}, "both origins"),
        ({"weighting": "teacher"}, "sets are missing"),
        ({"origin_balanced": True, "sets": ("text2img",)}, "needs synthetic_labels"),
        ({"duplicate_real": True, "sets": ("text2img",)}, "stand alone"),
        ({"sets": ("text2img", "text2img")}, "twice"),
    ],
)
def test_fields_that_do_not_agree(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ArmSpec(**{"name": "made", **fields})


def test_a_recipes_own_arms_change_others_and_survive_being_written() -> None:
    define: dict[str, Any] = {"quarter": {"like": "half", "ratio": 3}, "half": {"like": "hybrid", "share": 0.5}}
    config = StudyConfig(define=define, arms=("half", "quarter@strong"))
    assert config.arm("half").share == 0.5
    assert (config.arm("quarter").share, config.arm("quarter").ratio) == (0.5, 3)
    assert config.arm("quarter@strong").transforms == "strong"
    assert config.arm("half").description == "like hybrid: share"
    again = StudyConfig(**config.model_dump(mode="json"))
    assert again == config
    assert again.model_dump(mode="json")["define"]["half"] == {"like": "hybrid", "share": 0.5}


@pytest.mark.parametrize(
    ("define", "words"),
    [
        ({"a": {"like": "b"}, "b": {"like": "a"}}, "like each other"),
        ({"a": {"like": "nothing_known"}}, "there is no arm"),
        ({"a": {"shares": 0.5}}, "shares"),
    ],
)
def test_arms_that_cannot_be_made(define: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        StudyConfig(define=define, arms=("a",))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"curve_arms": ("hybrid",)}, "real images alone"),
        ({"grid_arms": ("hybrid",)}, "no ratios, shares"),
        ({"grid_arms": ("real_only",), "ratios": (5,)}, "no extra images to vary"),
        ({"ratios": (5, 5)}, "twice"),
        ({"training_sizes": (5, 10), "synthetic_training_sizes": (7,)}, "not among training_sizes"),
        ({"synthetic_training_sizes": (5,), "grid_sizes": (10,)}, "not among synthetic_training_sizes"),
    ],
)
def test_settings_of_a_study_that_do_not_agree(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        StudyConfig(**fields)


def test_the_grid_varies_one_thing_at_a_time_or_crosses() -> None:
    axes: dict[str, Any] = {"ratios": (10, 25), "shares": (0.25, 0.5), "budgets": ("strict", "pooled")}
    one = Grid(**axes).variants("hybrid", BUILT_IN["hybrid"], Dose())
    assert one == ("hybrid", "hybrid@r25", "hybrid@s0.5", "hybrid@pooled")
    crossed = Grid(**axes, kind="crossed").variants("hybrid", BUILT_IN["hybrid"], Dose())
    assert len(crossed) == len(set(crossed)) == 8
    assert "hybrid@r25@s0.5@pooled" in crossed
    real = Grid(transforms=("none", "strong"), ratios=(25,)).variants(
        "real_transforms", BUILT_IN["real_transforms"], Dose()
    )
    assert real == ("real_transforms", "real_transforms@none", "real_transforms@strong")
    # No generator is fitted for composites: budgets and the own ratio do not vary them.
    composite = Grid(**axes).variants("real_composite", BUILT_IN["real_composite"], Dose(source_ratio=25))
    assert composite == ("real_composite", "real_composite@r10", "real_composite@s0.5")


AVAILABLE = {"a": 20, "b": 20, "c": 20}


def made(**fields: Any) -> ArmSpec:
    return ArmSpec(**{"name": "made", "sets": ("text2img",), **fields})


def test_an_arm_with_a_class_without_real_images_is_refused() -> None:
    spec = made(real_counts={"a": 0}, synthetic_labels=("a",))
    with pytest.raises(DesignError, match="a would be all synthetic while other classes are real"):
        check_arm("made", spec, AVAILABLE, allows=False)
    check_arm("made", spec, AVAILABLE, allows=True)
    check_arm("made", made(real=False), AVAILABLE, allows=False)  # all classes alike


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"real_counts": {"a": 21}}, "more real training images than there are: a 21"),
        ({"real_counts": {"z": 1}}, "do not have: z"),
        ({"synthetic_labels": ("a",), "share": 0.5}, "share of 0.5 extra images is out of reach"),
        ({"real_counts": {"a": 0}, "synthetic_labels": ("b",)}, "a would have no image at all"),
    ],
)
def test_arms_that_cannot_be_drawn(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(DesignError, match=words):
        check_arm("made", made(**fields), AVAILABLE, allows=True)


def test_a_share_is_brought_within_what_the_classes_allow() -> None:
    assert share_in_reach(made(), 0.25, AVAILABLE) == 0.25
    assert share_in_reach(made(synthetic_labels=("a",)), 0.5, AVAILABLE) == pytest.approx(1 / 3)
    forced = made(real_counts={"a": 0}, synthetic_labels=("a",), share=0.33)
    check_arm("made", forced, AVAILABLE, allows=True)
    assert share_in_reach(forced, 0.33, AVAILABLE) == pytest.approx(1 / 3)
    assert share_in_reach(made(synthetic_labels=("a",), origin_balanced=True), 0.5, AVAILABLE) == 0.5
