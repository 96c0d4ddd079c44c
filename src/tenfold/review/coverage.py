"""Coverage: accepted images by class, severity and skin type against what is wanted, and what to draw more of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tenfold.data.manifest import SKIN_TYPE_GROUPS
from tenfold.review.consensus import Consensus
from tenfold.review.records import Item
from tenfold.review.shares import Figure, wilson_share

NOT_TOLD = "not told"
GoalKind = Literal["total", "class", "severity", "skin_type"]


@dataclass(frozen=True)
class Targets:
    """Accepted images wanted: in all, by class, and of every severity level and skin type group; 0 or none: any."""

    total: int = 0
    per_class: Mapping[str, int] = field(default_factory=dict)
    per_severity: int = 0
    per_skin_type: int = 0


@dataclass(frozen=True)
class Tally:
    """One cell of class x severity x skin type group, in images."""

    label: str
    severity: str
    skin_type_group: str
    accepted: int
    rejected: int
    undecided: int


@dataclass(frozen=True)
class Goal:
    """One target: what is accepted, what is missing, and how many images to draw for it at the accept rate seen.

    `to_draw` counts on what is still undecided at the same rate; its range goes by the rate's interval. None where
    nothing was decided or accepted yet, so that no rate is known.
    """

    kind: GoalKind
    value: str
    wanted: int
    accepted: int
    undecided: int
    missing: int
    accept_rate: Figure
    to_draw: int | None
    to_draw_low: int | None
    to_draw_high: int | None


@dataclass(frozen=True)
class Coverage:
    """The tally, and the targets with those most wanting first. `advice` says in words what to draw more of."""

    rows: tuple[Tally, ...]
    goals: tuple[Goal, ...]
    accepted: int
    rejected: int
    undecided: int
    advice: tuple[str, ...]


@dataclass(frozen=True)
class _Counted:
    label: str
    severity: str
    skin_type_group: str
    verdict: str


def tally(
    items: Sequence[Item],
    decided: Sequence[Consensus],
    targets: Targets,
    severities: Mapping[str, str | None],
    levels: Sequence[str] = (),
) -> Coverage:
    """Coverage of the synthetic images.

    severities: by image id what reviewers saw, or where they said nothing what was asked for; levels: severity levels
    that count even where no image has them.
    """
    by_id = {item.image_id: item for item in items}
    counted = [
        _Counted(
            label=one.label,
            severity=severities.get(one.image_id) or NOT_TOLD,
            skin_type_group=skin_group(by_id[one.image_id]),
            verdict=one.verdict,
        )
        for one in decided
    ]
    cells = Counter(counted)
    keys = sorted({(one.label, one.severity, one.skin_type_group) for one in counted})
    rows = tuple(
        Tally(*key, *(cells[_Counted(*key, verdict)] for verdict in ("accepted", "rejected", "unreviewed")))
        for key in keys
    )
    goals = sorted(_goals(counted, targets, levels), key=lambda goal: -goal.missing)
    whole = Counter(one.verdict for one in counted)
    advice = tuple(_advice(goal) for goal in goals if goal.missing)
    return Coverage(rows, tuple(goals), whole["accepted"], whole["rejected"], whole["unreviewed"], advice)


def skin_group(item: Item) -> str:
    """The skin type group that an image was asked to show."""
    if item.skin_type_group:
        return item.skin_type_group
    return SKIN_TYPE_GROUPS.get(item.skin_type, NOT_TOLD) if item.skin_type is not None else NOT_TOLD


def _goals(counted: Sequence[_Counted], targets: Targets, levels: Sequence[str]) -> Iterable[Goal]:
    if targets.total:
        yield _goal("total", "all", targets.total, counted)
    for label, wanted in sorted(targets.per_class.items()):
        if wanted:
            yield _goal("class", label, wanted, [one for one in counted if one.label == label])
    by: list[tuple[GoalKind, int, Callable[[_Counted], str], Sequence[str]]] = [
        ("severity", targets.per_severity, lambda one: one.severity, levels),
        ("skin_type", targets.per_skin_type, lambda one: one.skin_type_group, ()),
    ]
    for kind, wanted, value_of, always in by:
        if wanted:
            values = {value_of(one) for one in counted} - {NOT_TOLD} | set(always)
            for value in sorted(values):
                yield _goal(kind, value, wanted, [one for one in counted if value_of(one) == value])


def _goal(kind: GoalKind, value: str, wanted: int, counted: Sequence[_Counted]) -> Goal:
    found = Counter(one.verdict for one in counted)
    accepted, undecided = found["accepted"], found["unreviewed"]
    rate = wilson_share(accepted, accepted + found["rejected"])
    missing = max(0, wanted - accepted)
    fewest, expected, most = (_to_draw(missing, undecided, share) for share in (rate.high, rate.value, rate.low))
    return Goal(kind, value, wanted, accepted, undecided, missing, rate, expected, fewest, most)


def _to_draw(missing: int, undecided: int, rate: float | None) -> int | None:
    if not missing:
        return 0
    if not rate:
        return None
    return max(0, math.ceil(round(missing / rate - undecided, 9)))


def _advice(goal: Goal) -> str:
    name = {"total": "images", "class": goal.value, "severity": f"severity {goal.value}",
            "skin_type": f"skin type {goal.value}"}[goal.kind]  # fmt: skip
    have = f"{name}: {goal.accepted:,} of {goal.wanted:,} accepted"
    if goal.to_draw == 0:
        return f"{have}; the {goal.undecided:,} undecided ones should do at the accept rate so far."
    if goal.to_draw is None:
        why = "none was accepted" if goal.accept_rate.n_images else "none is decided"
        return f"{have}; {goal.missing:,} are missing, and as {why} so far nobody can say how many to draw."
    most = f"{goal.to_draw_low:,} to {goal.to_draw_high:,}" if goal.to_draw_high is not None else "at least that"
    return f"{have}; draw about {goal.to_draw:,} more ({most})."
