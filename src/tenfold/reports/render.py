"""Contents to one self-contained HTML page: figures and pictures inside it, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, pass_context
from jinja2.runtime import Context

from tenfold.evaluation.comparison import GENERATOR_FREE_FAMILY, OTHER_ARMS_FAMILY, PRIMARY_FAMILY
from tenfold.evaluation.contents import (
    ArmSummary,
    Comparison,
    ConfusionMatrix,
    Equivalents,
    OriginRow,
    SubgroupRow,
    Verdict,
)
from tenfold.reports import figures, study_views, wording
from tenfold.reports.closer_views import closer_view
from tenfold.reports.contents import Audit, ReportContents, Timings
from tenfold.reports.evaluation_page import TEST_NAMES, temperature_words, threshold_words
from tenfold.reports.headline import primary_comparisons
from tenfold.reports.intervals import Scale, difference_scale
from tenfold.reports.origins import confounded_arms, unequal_arms
from tenfold.reports.palette import arm_style
from tenfold.reports.pictures import picture_address
from tenfold.reports.qualifications import power_sentence
from tenfold.reports.review_views import SHARE, accept_rate_figure
from tenfold.reports.templating import page_environment

TABLE_METRICS = (
    "macro_auroc", "macro_average_precision", "accuracy", "balanced_accuracy", "macro_f1", "brier_score",
    "expected_calibration_error",
)  # fmt: skip
HEADROOM_ARM = "fresh_real"
SECTION_NAMES = {
    "answer": "The answer",
    "made": "What was made",
    "arms": "Arms compared",
    "classes": "Class by class",
    "use": "Probabilities and thresholds",
    "subgroups": "For whom",
    "review": "What people thought",
    "trust": "Can it be trusted",
    "data": "The data",
    "record": "The record",
    "checklists": "Reporting checklists",
    "timings": "This run",
}
_TEMPLATE = "report.html.j2"


def render_page(contents: ReportContents, timings: Timings, folder: Path) -> str:
    """The page. Picture paths are relative to `folder`, the workspace; one that cannot be read is named instead."""
    page = (
        _environment()
        .get_template(_TEMPLATE)
        .render(contents=contents, timings=timings, picture=partial(_picture, folder), **_views(contents))
    )
    return page if page.endswith("\n") else page + "\n"


def duration(seconds: float) -> str:
    """Seconds for readers.

    >>> duration(8.21), duration(75.0), duration(7300.0)
    ('8.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def mebibytes(size: float) -> str:
    """Bytes in MiB without decimals."""
    return f"{wording.count(round(size / 2**20))} MiB"


def share_of_row(matrix: ConfusionMatrix, row: int, column: int) -> float | None:
    """The share of true class `row` that was called `column`; None for a class without test images."""
    total = sum(matrix.counts[row])
    return matrix.counts[row][column] / total if total else None


@cache
def _environment() -> Environment:
    environment = page_environment()
    environment.filters |= {"duration": duration, "mebibytes": mebibytes, "class_name": _class_name}
    environment.filters |= {"temperature_words": temperature_words, "threshold_words": threshold_words}
    environment.globals |= {
        "arm_color": _arm_color,
        "section_names": SECTION_NAMES,
        "share_of_row": share_of_row,
        "flags_by_chance": flags_by_chance,
        "test_names": TEST_NAMES,
    }
    return environment


def flags_by_chance(audit: Audit) -> str:
    """How many images would be flagged if none were a copy: at least in one space, at most in all of them."""
    shares = [test.expected_false_flag_fraction for test in audit.copy_tests]
    known = [share * audit.n_synthetic for share in shares if share is not None]
    if not known:
        return "not known"
    least, most = round(max(known)), round(sum(known))
    return f"about {least}" if least == most else f"{least} to {most}"


@pass_context
def _arm_color(context: Context, arm: str) -> str:
    """The arm's color in this report."""
    return arm_style(arm, study_views.arm_names(context["evaluation"])).color


@pass_context
def _class_name(context: Context, label: str) -> str:
    """The class's name in this report."""
    names: Mapping[str, str] = context["contents"].class_names
    return names.get(label) or wording.class_name(label)


def _views(contents: ReportContents) -> Mapping[str, Any]:
    """What the templates show, picked out of the evaluation."""
    evaluation, verdict = contents.evaluation, contents.evaluation.verdict
    primary = primary_comparisons(evaluation)
    secondary = study_views.forest_rows(evaluation)
    main, variants = study_views.arm_lines(evaluation)
    at_size = [line.summary for line in (*main, *variants)]
    origins = [row for row in evaluation.origins if row.training_size == verdict.training_size]
    balanced = study_views.origin_balanced_arms(evaluation)
    unequal = [arm for arm in unequal_arms(origins) if arm not in balanced]
    pair = [arm for arm in (verdict.arm, contents.best_control) if arm is not None]
    curves = [curve for curve in evaluation.roc_curves if curve.training_size == verdict.training_size]
    matrices = [matrix for matrix in evaluation.confusion_matrices if matrix.training_size == verdict.training_size]
    by_control = _by_control(evaluation.comparisons, verdict)
    return {
        "evaluation": evaluation,
        "share_metric": SHARE,
        "accept_rates_address": study_views.svg_address(accept_rate_figure(contents.review.accept_rates))
        if contents.review is not None
        else "",
        "verdict": verdict,
        "primary": primary,
        "primary_scale": _scale(primary),
        "power": power_sentence(evaluation, contents.unit),
        "compared": [*primary, *secondary],
        "comparison_scale": _scale([*primary, *secondary]),
        "headroom": [row for row in secondary if row.arm == HEADROOM_ARM],
        "origins": _origins(row for row in origins if row.arm in {line.arm for line in main} | set(unequal)),
        "unequal": unequal,
        "origin_balanced": balanced,
        "confounded": confounded_arms(evaluation.origins),
        "closer": closer_view(evaluation),
        "by_control": by_control,
        "by_control_columns": sorted({name for rows in by_control.values() for name in rows}, key=wording.arm_order),
        "other_metrics": _by_metric(row for row in evaluation.comparisons if _is_primary_pair(row, verdict)),
        "arms": main,
        "variants": variants,
        "families": study_views.families(evaluation),
        "metrics": _shown_metrics(at_size, verdict.metric),
        "equivalents": sorted(evaluation.equivalents, key=_by_arm),
        "curve": study_views.learning_curve(evaluation),
        "doses": study_views.doses(evaluation),
        "failure_groups": study_views.failure_groups(evaluation),
        "matrices": [m for arm in pair for m in matrices if m.arm == arm],
        "roc": [
            (label, chosen, study_views.svg_address(figures.roc_curves(chosen, study_views.arm_names(evaluation))))
            for label in evaluation.labels
            if (chosen := [c for arm in pair for c in curves if (c.arm, c.label) == (arm, label)])
        ],
        "pair": [(arm, _summary(at_size, arm)) for arm in pair],
        "subgroups": _subgroups(evaluation.subgroups, verdict, contents.best_control),
        "shown_audits": _shown_audits(contents),
        "checklist_names": list(dict.fromkeys(item.guideline for item in contents.checklists)),
    }


def _by_control(rows: Sequence[Comparison], verdict: Verdict) -> Mapping[str, Mapping[str, Comparison]]:
    """For each arm with a generator its comparisons at the verdict's size by control, those that need none among them;
    empty where no such control was run."""
    shown = [
        row for row in rows
        if row.family in (PRIMARY_FAMILY, GENERATOR_FREE_FAMILY, OTHER_ARMS_FAMILY) and row.metric == verdict.metric
    ]  # fmt: skip
    arms = dict.fromkeys(row.arm for row in shown if row.family == GENERATOR_FREE_FAMILY)
    ordered = sorted(arms, key=lambda arm: (arm != verdict.arm, wording.arm_order(arm)))
    return {arm: {row.control: row for row in shown if row.arm == arm} for arm in ordered}


def _shown_audits(contents: ReportContents) -> list[Audit]:
    """The audit of the set whose pictures are shown, else the first."""
    name = contents.gallery.synthetic_set if contents.gallery else None
    return [audit for audit in contents.audits if audit.synthetic_set == name] or list(contents.audits[:1])


def _scale(rows: Iterable[Comparison]) -> Scale:
    return difference_scale([row.difference for row in rows])


def _origins(rows: Iterable[OriginRow]) -> list[tuple[str, list[str], OriginRow]]:
    """(arm, classes, row) with the classes of an arm that have the same numbers put together."""
    groups: dict[tuple[str, float, float, float], list[OriginRow]] = {}
    for row in sorted(rows, key=_by_arm):
        key = (row.arm, row.real_images, row.extra_real_images, row.synthetic_images)
        groups.setdefault(key, []).append(row)
    return [(key[0], [row.label for row in members], members[0]) for key, members in groups.items()]


def _is_primary_pair(row: Comparison, verdict: Verdict) -> bool:
    """Whether the row compares the verdict's arm with one of its controls at its size, by another metric."""
    return (
        (row.arm, row.training_size) == (verdict.arm, verdict.training_size)
        and row.control in verdict.controls
        and row.metric != verdict.metric
    )


def _by_metric(rows: Iterable[Comparison]) -> dict[str, dict[str, Comparison]]:
    """By metric, then by control."""
    table: dict[str, dict[str, Comparison]] = {}
    for row in rows:
        table.setdefault(row.metric, {})[row.control] = row
    return table


def _shown_metrics(arms: Sequence[ArmSummary], primary: str) -> list[str]:
    """The metrics of the arms' table, the primary one first; the others are in `report.json`."""
    known = {name for summary in arms for name in summary.metrics}
    return [name for name in dict.fromkeys((primary, *TABLE_METRICS)) if name in known]


def _by_arm(row: ArmSummary | Equivalents | OriginRow) -> tuple[int, str]:
    return wording.arm_order(row.arm)


def _summary(arms: Sequence[ArmSummary], arm: str) -> ArmSummary | None:
    return next((summary for summary in arms if summary.arm == arm), None)


def _subgroups(
    rows: Sequence[SubgroupRow], verdict: Verdict, control: str | None
) -> dict[str, list[tuple[SubgroupRow, SubgroupRow | None]]]:
    """By attribute: the arm's row of each value beside the control's, by the primary metric."""
    chosen = [row for row in rows if (row.training_size, row.metric) == (verdict.training_size, verdict.metric)]
    mine = [row for row in chosen if row.arm == verdict.arm]
    theirs = {(row.attribute, row.value): row for row in chosen if row.arm == control}
    table: dict[str, list[tuple[SubgroupRow, SubgroupRow | None]]] = {}
    for row in mine:
        table.setdefault(row.attribute, []).append((row, theirs.get((row.attribute, row.value))))
    return table


def _picture(folder: Path, path: str) -> str | None:
    return picture_address(folder / path)
