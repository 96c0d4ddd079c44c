"""The review on the page: what people accepted, why not, whether they agreed, and whether they could tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tenfold.core.errors import DataError
from tenfold.core.files import read_json
from tenfold.core.plain import from_plain
from tenfold.core.workspace import Workspace
from tenfold.evaluation.contents import Estimate
from tenfold.reports.figures import canvas, svg_text
from tenfold.reports.palette import FAINT, INK
from tenfold.review.coverage import Coverage, Goal
from tenfold.review.run import RESULTS
from tenfold.review.shares import Figure
from tenfold.review.summary import AcceptRow, ReasonRow, Summary

SHARE = "accuracy"
"""The metric whose words a share is printed with: percent."""
MOST_PROMPTS = 10
_RULES = {
    "any_reject": "one rejection keeps an image out",
    "majority": "more must accept than reject",
    "adjudicated": "an adjudicator decides where reviewers differ",
}
_KINDS = {"total": "in all", "class": "class", "severity": "severity", "skin_type": "skin type"}


@dataclass(frozen=True)
class Row:
    """One figure of a table, with what it is of and how many images it rests on."""

    group: str
    name: str
    estimate: Estimate
    accepted: int | None = None
    rejected: int | None = None


@dataclass(frozen=True)
class GoalRow:
    """A target and what is missing for it; `to_draw` in words."""

    name: str
    wanted: int
    accepted: int
    to_draw: str


@dataclass(frozen=True)
class ReviewView:
    """The review of a study's sets. `banner` says where nobody looked; None where people judged every image.

    Reviewers are numbered, in the order of their invitations: the page names nobody.
    """

    sets: tuple[str, ...]
    rule: str
    banner: str | None
    n_images: int
    n_real: int
    accepted: int
    rejected: int
    undecided: int
    faulty: int
    disputed: int
    n_reviewers: int
    accept_rate: Estimate
    accept_rates: tuple[Row, ...]
    prompts: tuple[Row, ...]
    reasons: tuple[Row, ...]
    told: tuple[Row, ...]
    agreement: tuple[Row, ...]
    minutes: float
    minutes_per_accepted: Estimate
    goals: tuple[GoalRow, ...]


def read_review(workspace: Workspace, sets: Collection[str]) -> ReviewView | None:
    """The finished review of any of these synthetic sets; None where there is none.

    Raises:
        DataError: its summary is damaged or of another version.
    """
    path = workspace.resolve(f"{RESULTS}/summary.json")
    if not path.is_file():
        return None
    try:
        plain = read_json(path)
        if not set(plain["facts"]["sets"]) & set(sets):
            return None
        summary = from_plain(Summary, plain["summary"])
        coverage = from_plain(Coverage, plain["coverage"])
        return review_view(summary, coverage, plain["facts"]["sets"], auto_accept=plain["facts"]["auto_accept"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"the review's summary is damaged or of another version: {type(error).__name__} {error}",
            where=str(path),
            todo="Remove the folder review/results and run the recipe again; the decisions are kept elsewhere.",
        ) from error


def review_view(summary: Summary, coverage: Coverage, sets: Iterable[str], *, auto_accept: bool) -> ReviewView:
    """The figures of a review as the page shows them."""
    numbers = {reader.name: f"reviewer {number}" for number, reader in enumerate(summary.readers, 1)}
    return ReviewView(
        sets=tuple(sets),
        rule=_RULES.get(summary.rule, summary.rule),
        banner=_banner(summary, auto_accept=auto_accept),
        n_images=summary.n_images,
        n_real=summary.n_real,
        accepted=summary.accepted,
        rejected=summary.rejected,
        undecided=summary.undecided,
        faulty=summary.faulty,
        disputed=summary.disputed,
        n_reviewers=sum(reader.decided > 0 for reader in summary.readers),
        accept_rate=estimate(summary.accept_rate),
        accept_rates=(
            *_accepted("class", summary.by_label),
            *_accepted("strategy", summary.by_strategy),
            *_accepted("skin type", summary.by_skin_type),
        ),
        prompts=tuple(_accepted("prompt", summary.by_prompt[:MOST_PROMPTS])),
        reasons=tuple(_reason(row) for row in summary.reasons),
        told=tuple(_told(summary, numbers)),
        agreement=tuple(_agreement(summary, numbers)),
        minutes=summary.effort.minutes,
        minutes_per_accepted=estimate(summary.effort.minutes_per_accepted),
        goals=tuple(_goal(goal) for goal in coverage.goals),
    )


def estimate(figure: Figure) -> Estimate:
    """A review's figure as the page's; synthetic images belong to no patient and a review to no seed."""
    return Estimate(figure.value, figure.low, figure.high, figure.n_images, 0, 0, figure.method)


def accept_rate_figure(rows: Iterable[Row]) -> str:
    """Accept rates with their intervals, one line a row, as SVG text."""
    drawn = [row for row in rows if row.estimate.value is not None]
    with canvas((6.4, 0.9 + 0.28 * max(len(drawn), 1))) as (figure, axes):
        for place, row in enumerate(drawn):
            value, low, high = row.estimate.value, row.estimate.low, row.estimate.high
            if value is None:
                continue
            if low is not None and high is not None:
                axes.plot([100 * low, 100 * high], [place, place], color=FAINT, linewidth=1.8)
            axes.plot([100 * value], [place], color=INK, marker="o", markersize=6)
        names = [f"{row.group}: {row.name}"[:48] for row in drawn]
        axes.set_yticks(range(len(drawn)), names)
        for text in axes.get_yticklabels():
            text.set_parse_math(False)
        axes.set_ylim(max(len(drawn), 1) - 0.5, -0.5)
        axes.set_xlim(-2, 102)
        axes.set_xlabel("Accepted (percent of the decided images, 95 % interval)")
        axes.grid(visible=False, axis="y")
        return svg_text(figure)


def _banner(summary: Summary, *, auto_accept: bool) -> str | None:
    if not summary.undecided:
        return None
    whole = summary.undecided == summary.n_images
    who = "Nobody looked at the synthetic images" if whole else (
        f"Nobody looked at {summary.undecided:,} of the {summary.n_images:,} synthetic images"
    )  # fmt: skip
    why = "the run was told to go on without people (--auto-accept)" if auto_accept else "they were not decided"
    return f"Unreviewed. {who} that classifiers learned from: {why}."


def _accepted(group: str, rows: Iterable[AcceptRow]) -> list[Row]:
    return [Row(group, row.value, estimate(row.share), row.accepted, row.rejected) for row in rows]


def _reason(row: ReasonRow) -> Row:
    return Row("reason", row.reason.replace("_", " "), estimate(row.share), rejected=row.n_images)


def _told(summary: Summary, numbers: Mapping[str, str]) -> Iterable[Row]:
    """Nothing where the question was not asked."""
    found = summary.detection
    if found.together.synthetic_told.value is None:
        return
    rows = [("all reviewers", found.together), *((numbers.get(row.name, row.name), row) for row in found.by_reviewer)]
    for name, row in rows if len(found.by_reviewer) > 1 else rows[:1]:
        yield Row("synthetic images called generated", name, estimate(row.synthetic_told))
        yield Row("real images called real", name, estimate(row.real_told))
        yield Row("right on average (50 %: cannot tell)", name, estimate(row.balanced))


def _agreement(summary: Summary, numbers: Mapping[str, str]) -> Iterable[Row]:
    found = summary.agreement
    if found.percent.value is not None:
        yield Row("percent", "all reviewers alike", estimate(found.percent))
        yield Row("kappa", "all reviewers (Fleiss)", estimate(found.fleiss_kappa))
    for pair in found.pairs:
        names = f"{numbers.get(pair.first, pair.first)} and {numbers.get(pair.second, pair.second)} (Cohen)"
        if pair.cohen_kappa.n_images:
            yield Row("kappa", names, estimate(pair.cohen_kappa))
    if found.within_together.percent.value is not None:
        yield Row("percent", "one reviewer, second look as the first", estimate(found.within_together.percent))
        yield Row("kappa", "one reviewer, second look and first (Cohen)", estimate(found.within_together.cohen_kappa))


def _goal(goal: Goal) -> GoalRow:
    name = _KINDS[goal.kind] if goal.kind == "total" else f"{_KINDS[goal.kind]} {goal.value}"
    if not goal.missing:
        words = "reached"
    elif goal.to_draw is None:
        words = "not known: none was accepted" if goal.accept_rate.n_images else "not known: none is decided"
    else:
        most = "more" if goal.to_draw_high is None else f"{goal.to_draw_high:,}"
        words = f"about {goal.to_draw:,} ({goal.to_draw_low:,} to {most})"
    return GoalRow(name, goal.wanted, goal.accepted, words)
