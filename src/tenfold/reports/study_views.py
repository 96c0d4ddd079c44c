"""What the report's templates show of a study's design: groups of arms, families of comparisons, doses, failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from tenfold.evaluation.comparison import (
    GENERATOR_FREE_FAMILY,
    GRID_FAMILY,
    ONE_CHANGE_FAMILIES,
    OTHER_ARMS_FAMILY,
    OTHER_SIZES_FAMILY,
)
from tenfold.evaluation.contents import (
    ArmDesign,
    ArmSummary,
    Comparison,
    CurvePoint,
    Estimate,
    Evaluation,
    PowerLaw,
)
from tenfold.reports import figures, wording
from tenfold.reports.arm_words import arm_explanation
from tenfold.reports.pictures import data_address

MOST_LINES = 8
MOST_SINGLE_POINTS = 8
_FAMILY_TITLES = {
    "another strategy": "Another way of making the images",
    "other transforms": "Other random changes",
    "generator budget": "What the generator was allowed to see",
    "another generator": "Another generator",
    "order of training": "Synthetic images first, real ones last",
    "teacher weights": "Synthetic images weighted by teachers",
    "review": "With what reviewers rejected",
    "subgroup balance": "Subgroups drawn equally often",
    "origin balance": "Every class with made images at the same share",
    "classes with synthetic images": "Other classes with synthetic images",
    "fresh images": "Fresh real images in their place",
    "duplicated images": "Duplicated real images",
    OTHER_SIZES_FAMILY: "At other training sizes",
    GRID_FAMILY: "Every variant of the grid",
}


@dataclass(frozen=True)
class ArmLine:
    """One arm of the arms' table; `tags` are short warnings and marks beside its name."""

    arm: str
    summary: ArmSummary
    explanation: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class FailureGroup:
    """Classifiers that failed for one reason, the first few by name."""

    error: str
    n_cells: int
    arms: tuple[str, ...]
    examples: tuple[str, ...]


def arm_lines(evaluation: Evaluation) -> tuple[list[ArmLine], list[ArmLine]]:
    """The arms at the verdict's size: those that stand for themselves and the verdict's, then all other variants."""
    verdict = evaluation.verdict
    designs = designs_at(evaluation)
    lines = [
        _line(summary, designs.get(summary.arm), evaluation)
        for summary in sorted(evaluation.arms, key=lambda row: wording.arm_order(row.arm))
        if summary.training_size == verdict.training_size
    ]
    main = [line for line in lines if not _is_variant(line.arm, designs) or line.arm == verdict.arm]
    return main, [line for line in lines if line not in main]


def arm_names(evaluation: Evaluation) -> tuple[str, ...]:
    """Every arm of the page, at any size."""
    return tuple(dict.fromkeys(summary.arm for summary in evaluation.arms))


def designs_at(evaluation: Evaluation) -> dict[str, ArmDesign]:
    """The designs of the arms at the verdict's size."""
    return {
        design.arm: design for design in evaluation.designs if design.training_size == evaluation.verdict.training_size
    }


def forest_rows(evaluation: Evaluation) -> list[Comparison]:
    """The secondary comparisons that stand below the primary ones: of the verdict's arm against the controls that need
    no generator, then of every other arm but the grid's variants against the first control."""
    arm = evaluation.verdict.arm
    rows = [
        row for row in evaluation.comparisons
        if row.family == OTHER_ARMS_FAMILY or (row.family == GENERATOR_FREE_FAMILY and row.arm == arm)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row.arm != arm, wording.arm_order(row.arm)))


def families(evaluation: Evaluation) -> list[tuple[str, list[Comparison]]]:
    """(title, rows) of the other secondary families by the primary metric, the one-change ones first."""
    metric = evaluation.verdict.metric
    found = []
    for family in (*ONE_CHANGE_FAMILIES.values(), OTHER_SIZES_FAMILY, GRID_FAMILY):
        rows = [row for row in evaluation.comparisons if (row.family, row.metric) == (family, metric)]
        if rows:
            rows.sort(key=lambda row: (row.training_size, wording.arm_order(row.arm), wording.arm_order(row.control)))
            found.append((_FAMILY_TITLES[family], rows))
    return found


def learning_curve(evaluation: Evaluation) -> Mapping[str, object] | None:
    """The figure and its table: arms by rows, sizes by columns; `n_left_out` arms are in the table alone."""
    verdict = evaluation.verdict
    shown = [
        point
        for point in evaluation.learning_curve
        if point.metric == verdict.metric
        and point.estimate.value is not None
        and ("@" not in point.arm or point.arm == verdict.arm)
    ]
    shown.sort(key=lambda point: wording.arm_order(point.arm))
    if not shown:
        return None
    by_arm = {arm: list(points) for arm, points in groupby(shown, key=lambda point: point.arm)}
    curves = _first([arm for arm in by_arm if len(by_arm[arm]) > 1], MOST_LINES, evaluation)
    singles = _first([arm for arm in by_arm if len(by_arm[arm]) == 1], MOST_SINGLE_POINTS, evaluation)
    laws = {law.arm: law for law in evaluation.power_laws if law.metric == verdict.metric}
    svg = figures.learning_curve(
        _points(by_arm, curves),
        _points(by_arm, singles),
        verdict.metric,
        [laws[arm] for arm in curves if arm in laws and laws[arm].fitted],
        arm_names(evaluation),
    )
    table: dict[str, dict[int, Estimate]] = {
        arm: {point.training_size: point.estimate for point in points} for arm, points in by_arm.items()
    }
    return {
        "address": svg_address(svg),
        "sizes": sorted({point.training_size for point in shown}),
        "table": table,
        "n_left_out": len(by_arm) - len(curves) - len(singles),
        "laws": sorted(laws.values(), key=_by_arm),
    }


def doses(evaluation: Evaluation) -> list[tuple[object, str]]:
    """(curve, address of its figure) of every dose curve."""
    arms = arm_names(evaluation)
    return [(curve, svg_address(figures.dose_curve(curve, arms))) for curve in evaluation.dose_curves]


def failure_groups(evaluation: Evaluation) -> list[FailureGroup]:
    """The failed classifiers by their error, the most frequent first."""
    groups: dict[str, list[str]] = {}
    arms: dict[str, dict[str, None]] = {}
    for failure in evaluation.failures:
        groups.setdefault(failure.error, []).append(failure.cell)
        arms.setdefault(failure.error, {})[f"{wording.arm_name(failure.arm)} at {failure.training_size} a class"] = None
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [FailureGroup(error, len(cells), tuple(arms[error]), tuple(cells[:3])) for error, cells in ordered]


def origin_balanced_arms(evaluation: Evaluation) -> list[str]:
    """The arms at the verdict's size in which the other classes got made images at the same share."""
    return sorted(arm for arm, design in designs_at(evaluation).items() if design.is_origin_balanced)


def svg_address(svg: str) -> str:
    """A figure as an address that a page can hold."""
    return data_address(svg.encode("utf-8"), "image/svg+xml")


def _line(summary: ArmSummary, design: ArmDesign | None, evaluation: Evaluation) -> ArmLine:
    tags = []
    if evaluation.choice is not None and summary.arm == evaluation.choice.chosen:
        tags.append("chosen on validation")
    if design is not None and design.generator_budget == "pooled":
        tags.append("not strict: saw all training images")
    if design is not None and design.generator_budget == "archive":
        tags.append("not strict: saw an archive")
    return ArmLine(
        summary.arm, summary, arm_explanation(summary.arm, design.description if design else ""), tuple(tags)
    )


def _is_variant(arm: str, designs: Mapping[str, ArmDesign]) -> bool:
    return designs[arm].is_variant if arm in designs else False


def _first(arms: Sequence[str], most: int, evaluation: Evaluation) -> list[str]:
    """The verdict's arm, its controls and further arms, `most` in all, in their order."""
    verdict = evaluation.verdict
    ranked = sorted(arms, key=lambda arm: (arm != verdict.arm, arm not in verdict.controls))[:most]
    return [arm for arm in arms if arm in ranked]


def _points(by_arm: Mapping[str, list[CurvePoint]], arms: Iterable[str]) -> list[CurvePoint]:
    return [point for arm in arms for point in by_arm[arm]]


def _by_arm(row: PowerLaw) -> tuple[int, str]:
    return wording.arm_order(row.arm)
