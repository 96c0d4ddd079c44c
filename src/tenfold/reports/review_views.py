"""The review on the page: what people accepted, why not, whether they agreed, and whether they could tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.files import read_json
from tenfold.core.plain import from_plain
from tenfold.core.workspace import Workspace
from tenfold.evaluation.contents import Estimate
from tenfold.reports import wording
from tenfold.reports.figures import canvas, svg_text
from tenfold.reports.palette import FAINT, INK
from tenfold.review.coverage import Coverage, Goal, WhyUnknown
from tenfold.review.run import result_summaries
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
    """The review of a study's sets. `banner` says what is not judged; None where nothing went on without people.

    Reviewers are numbered, in the order of their invitations: the page names nobody. `n_sources`: as in `Summary`.
    """

    sets: tuple[str, ...]
    rule: str
    banner: str | None
    n_images: int
    n_sources: int
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
    is_by_set: bool
    """Whether each set has targets of its own."""


def read_review(workspace: Workspace, sets: Collection[str]) -> ReviewView | None:
    """The finished review of any of these synthetic sets; None where there is none.

    Raises:
        DataError: its summary is damaged or of another version.
    """
    found = result_summaries(workspace, sets)
    if not found:
        return None
    path = workspace.resolve(found[0])
    try:
        plain = read_json(path)
        summary = from_plain(Summary, plain["summary"])
        coverage = from_plain(Coverage, plain["coverage"])
        return review_view(summary, coverage, plain["facts"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"the review's summary is damaged or of another version: {type(error).__name__} {error}",
            where=str(path),
            todo=f"Remove the folder {path.parent} and run the recipe again; the decisions are kept elsewhere.",
        ) from error


def review_view(summary: Summary, coverage: Coverage, facts: Mapping[str, Any]) -> ReviewView:
    """The figures of a review as the page shows them; facts: those of its summary.json."""
    numbers = {reader.name: f"reviewer {number}" for number, reader in enumerate(summary.readers, 1)}
    return ReviewView(
        sets=tuple(facts["sets"]),
        rule=_RULES.get(summary.rule, summary.rule),
        banner=_banner(facts),
        n_images=summary.n_images,
        n_sources=summary.n_sources,
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
        is_by_set=any(goal.set for goal in coverage.goals),
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


def _banner(facts: Mapping[str, Any]) -> str | None:
    """What was not judged when the run went on without people."""
    if not facts["wait_bypassed"]:
        return None
    unlooked, disputed, count = facts["unlooked"], facts["disputed_open"], facts["n_images"]
    parts = ["The run was told to go on without people (--auto-accept)."]
    if unlooked == count:
        parts.append("Nobody looked at the synthetic images that classifiers learned from.")
    elif unlooked:
        parts.append(f"Nobody looked at {unlooked:,} of the {count:,} synthetic images that classifiers learned from.")
    if disputed:
        parts.append(f"On {wording.counted(disputed, 'image')} reviewers differ, and nobody settled it: kept out.")
    if not unlooked and facts["reviewers_finished"] < facts["reviewers_needed"]:
        needed = wording.counted(facts["reviewers_needed"], "reviewer")
        parts.append(f"{facts['reviewers_finished']:,} of the {needed} asked for had finished.")
    return " ".join(["Unreviewed." if unlooked else "Not fully reviewed.", *parts])


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
        both = f"{row.synthetic_told.n_images:,} synthetic and {row.real_told.n_images:,} real images"
        yield Row("right on average (50 %: cannot tell)", f"{name}, {both}", estimate(row.balanced))


def _agreement(summary: Summary, numbers: Mapping[str, str]) -> Iterable[Row]:
    found = summary.agreement
    if found.percent.value is not None:
        yield Row("percent", "all reviewers alike", estimate(found.percent))
        yield Row("kappa", "all reviewers (Fleiss)", estimate(found.fleiss_kappa))
    for pair in found.pairs:
        names = f"{numbers.get(pair.first, pair.first)} and {numbers.get(pair.second, pair.second)} (Cohen)"
        if pair.cohen_kappa.n_images:
            yield Row("kappa", names, estimate(pair.cohen_kappa))
    together = found.within_together
    if together.percent.value is not None:
        yield Row("percent", "second look as the first, all reviewers", estimate(together.percent))
        yield Row("kappa", "second look and first, each reviewer's own chance", estimate(together.cohen_kappa))
    for own in found.within if len(found.within) > 1 else ():
        yield Row("kappa", f"second look and first, {numbers.get(own.first, own.first)}", estimate(own.cohen_kappa))


_UNKNOWN: Mapping[WhyUnknown, str] = {
    "none_asked": "not known: no image was asked for it",
    "none_decided": "not known: none is decided",
    "none_accepted": "not known: none was accepted",
}


def _goal(goal: Goal) -> GoalRow:
    name = _KINDS[goal.kind] if goal.kind == "total" else f"{_KINDS[goal.kind]} {goal.value}"
    if not goal.missing:
        words = "reached"
    elif goal.to_draw is None:
        words = _UNKNOWN[goal.why_unknown]
    else:
        words = f"about {goal.to_draw:,} ({goal.to_draw_low:,} to {goal.to_draw_high:,})"
    return GoalRow(f"{name}, set {goal.set}" if goal.set else name, goal.wanted, goal.accepted, words)
