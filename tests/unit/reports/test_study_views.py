"""What the page shows of a study with a grid: groups of arms, families, doses, failures, and the words for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.evaluation.contents import (
    ArmDesign,
    CellFailure,
    Comparison,
    DoseCurve,
    Evaluation,
    PlannedDifference,
    PowerLaw,
    VariantChoice,
)
from tenfold.evaluation.design_contents import DosePoint, ValidationFigure
from tenfold.reports import figures, study_views
from tenfold.reports.arm_words import arm_explanation, arm_name, plain_words
from tenfold.reports.config import ReportConfig
from tenfold.reports.palette import arm_style
from tenfold.reports.qualifications import further_sentences, power_sentence
from tenfold.reports.run import run
from tests.report_workspace import METRIC, SIZE, estimate, make_evaluation, make_report_workspace

VARIANTS = ("hybrid@r2", "hybrid@r25", "hybrid@s0.5", "hybrid@strong", "hybrid@pooled")


def designed(arm: str, **changes: object) -> ArmDesign:
    design = ArmDesign(
        arm=arm, base_arm=arm.partition("@")[0], training_size=SIZE, description="", strategy="text2img",
        synthetic_ratio=10.0, synthetic_share=0.25, transforms="paper", generator_budget="strict",
        generator="fine_tuned", schedule="mixed", weighting="none", review="filtered", balance_by=None,
        synthetic_labels=(), is_origin_balanced=False, is_fresh=False, is_duplicated=False,
    )  # fmt: skip
    return replace(design, **changes)  # type: ignore[arg-type]


def compared(arm: str, control: str, family: str) -> Comparison:
    difference = estimate(0.02, 0.03)
    return Comparison(arm, control, SIZE, METRIC, difference, 0.2, 0.3, False, family, 0.04, 0.03)


@pytest.fixture
def grid() -> Evaluation:
    """The made-up study with variants, a dose curve, a choice on validation, a margin and a failed cell."""
    plain = make_evaluation()
    hybrid = next(summary for summary in plain.arms if summary.arm == "hybrid")
    arms = dict.fromkeys(summary.arm for summary in plain.arms)
    points = [DosePoint("real_transforms", 0.0, estimate(0.812, 0.02), None)]
    points += [
        DosePoint(arm, dose, estimate(0.82, 0.02), estimate(0.001 * dose, 0.01))
        for arm, dose in (("hybrid@r2", 2.0), ("hybrid", 10.0), ("hybrid@r25", 25.0))
    ]
    return replace(
        plain,
        arms=(*plain.arms, *(replace(hybrid, arm=arm) for arm in VARIANTS)),
        designs=tuple(designed(arm) for arm in arms)
        + tuple(designed(arm, generator_budget="pooled" if "pooled" in arm else "strict") for arm in VARIANTS),
        comparisons=(
            *(replace(row, half_width=0.021) for row in plain.comparisons),
            *(compared(arm, "real_transforms", "the grid") for arm in VARIANTS),
            compared("hybrid@pooled", "hybrid", "generator budget"),
        ),
        choice=VariantChoice(
            "hybrid", "hybrid", SIZE, METRIC,
            tuple(ValidationFigure(arm, estimate(0.8, 0.1)) for arm in ("hybrid", "hybrid@r2")),
            "hybrid was chosen among 2 arms by validation images alone; no test image was used.",
        ),
        dose_curves=(
            DoseCurve("hybrid", "ratio", SIZE, METRIC, "real_transforms", tuple(points), 12, 3, 25, "12 (3 to 25)"),
        ),
        power_laws=(
            PowerLaw(
                "real_transforms", METRIC, estimate(0.05, 0.02), estimate(0.4, 0.1), estimate(0.5, 0.1), (8.0, 64.0),
                (0.81, 0.9), "error = 0.05 (0.03 to 0.07) + 0.4 (0.3 to 0.5) n^-0.5 (0.4 to 0.6)",
            ),
        ),
        planned=(
            PlannedDifference("accuracy", 0.066, 240, 131, ""), PlannedDifference("auroc.a", 0.08, 240, 131, ""),
        ),
        failures=(
            CellFailure("main-hybrid-r25-n8-s1", "hybrid@r25", SIZE, 1, "the disk is full"),
            CellFailure("main-hybrid-n8-s2", "hybrid", SIZE, 2, "the disk is full"),
        ),
    )  # fmt: skip


@pytest.fixture
def page(grid: Evaluation, tmp_path: Path) -> Iterator[str]:
    workspace = make_report_workspace(tmp_path / "study", grid)
    with SerialExecutor() as executor:
        run(ReportConfig(), workspace, executor, NullProgress())
    yield (workspace.path / "report/report.html").read_text(encoding="utf-8")


def test_variants_stand_apart_from_the_arms(grid: Evaluation) -> None:
    main, variants = study_views.arm_lines(grid)
    assert {line.arm for line in variants} == set(VARIANTS)
    assert [line.arm for line in main][:2] == ["real_only", "real_transforms"]
    tags = {line.arm: line.tags for line in (*main, *variants)}
    assert tags["hybrid"] == ("chosen on validation",)
    assert tags["hybrid@pooled"] == ("not strict: saw all training images",)
    chosen = replace(grid, verdict=replace(grid.verdict, arm="hybrid@r2"))
    assert "hybrid@r2" in {line.arm for line in study_views.arm_lines(chosen)[0]}


def test_families_are_told_by_their_titles(grid: Evaluation) -> None:
    found = dict(study_views.families(grid))
    assert [row.arm for row in found["What the generator was allowed to see"]] == ["hybrid@pooled"]
    assert [row.arm for row in found["Every variant of the grid"]][:2] == ["hybrid@pooled", "hybrid@r2"]


def test_failures_are_grouped_by_their_reason(grid: Evaluation) -> None:
    (group,) = study_views.failure_groups(grid)
    assert (group.error, group.n_cells, len(group.examples)) == ("the disk is full", 2, 2)


def test_the_learning_curve_leaves_out_what_would_not_be_read(grid: Evaluation) -> None:
    curve = study_views.learning_curve(grid)
    assert curve is not None and curve["n_left_out"] == 0
    single = next(point for point in grid.learning_curve if point.arm == "hybrid")
    many = tuple(replace(single, arm=f"arm_{number}") for number in range(12))
    crowded = study_views.learning_curve(replace(grid, learning_curve=(*grid.learning_curve, *many)))
    assert crowded is not None and crowded["n_left_out"] == 8
    assert isinstance(crowded["table"], dict) and {"hybrid", "arm_11"} <= set(crowded["table"])


def test_a_dose_curve_is_drawn_with_and_without_its_saturation(grid: Evaluation) -> None:
    (curve,) = grid.dose_curves
    drawn = figures.dose_curve(curve)
    assert drawn.startswith("<svg") and drawn == figures.dose_curve(curve)
    plain = replace(curve, kind="share", saturation=None, saturation_low=None, saturation_high=None)
    assert figures.dose_curve(plain) != drawn


def test_the_sentences_below_the_verdict(grid: Evaluation) -> None:
    with_margin = [
        replace(row, equivalence="non_inferior", margin=0.03, p_non_inferior=0.004) if row.is_primary else row
        for row in grid.comparisons
    ]
    found = further_sentences(replace(grid, comparisons=tuple(with_margin)))
    assert found[0].startswith("Real + synthetic was chosen among 2 arms")
    assert found[1].startswith(
        "Against the margin of 3.0 points stated before the run, real + synthetic is not inferior"
    )
    assert "real + transforms (p 0.004)" in found[1]
    assert found[2] == "2 classifiers could not be trained, 1 of them in this comparison; the reasons stand below."
    pooled = replace(grid, verdict=replace(grid.verdict, arm="hybrid@pooled"), failures=(), choice=None)
    assert "pooled budget" in further_sentences(pooled)[0]
    assert further_sentences(make_evaluation()) == ()


def test_power_is_told_before_and_after(grid: Evaluation) -> None:
    text = power_sentence(grid, "patient")
    assert "240 test images of 131 patients can show differences of 6.6 points of accuracy and 8.0 points" in text
    assert text.endswith("the primary intervals reach 2.1 points to either side.")
    assert power_sentence(make_evaluation(), "patient") == ""


@pytest.mark.parametrize(
    ("arm", "name"),
    [
        ("hybrid@s0.5", "Real + synthetic, 50 % of a batch"),
        ("hybrid@r25@strong", "Real + synthetic, 25 per real image, strong transforms"),
        ("hybrid_weighted@archive", "Real + synthetic, weighted by teachers, archive budget"),
        ("ours@none", "Ours, without transforms"),
    ],
)
def test_variants_have_names(arm: str, name: str) -> None:
    assert arm_name(arm) == name
    assert plain_words(f"{arm} was run.") == f"{name[0].lower()}{name[1:]} was run."
    assert arm_style(arm) == arm_style(arm.partition("@")[0])


def test_words_that_only_look_like_variants_stay() -> None:
    assert plain_words("write to someone@example.org of hybridized cells") == (
        "write to someone@example.org of hybridized cells"
    )


def test_the_recipes_own_arm_is_explained_by_its_description() -> None:
    assert arm_explanation("ours", "like hybrid, at half a share.") == "Like real + synthetic, at half a share."
    assert arm_explanation("ours") == ""


def test_the_page_shows_all_of_it(page: str) -> None:
    for part in (
        "5 variants of the grid", "2 classifiers of this study could not be trained", "the disk is full",
        "How the arm was chosen", "Saturation point: 12 (3 to 25)", "n^−0.5", "Known before training",
        "not strict: saw all training images", "Every variant of the grid",
    ):  # fmt: skip
        assert part in page
    assert page.count("<section") == 12 and "<script" not in page


def test_six_arms_of_a_recipe_are_told_apart() -> None:
    arms = ["sound", "real_500", "published", "sound_unfiltered", "guides_and_normals", "half", "hybrid", "half@strong"]
    styles = {arm: arm_style(arm, arms) for arm in arms}
    assert len({style.color for style in styles.values()}) == len(arms) - 1
    assert styles["half@strong"] == styles["half"]
    assert styles["hybrid"] == arm_style("hybrid")
    assert styles["sound"] == arm_style("sound", reversed(arms))
