"""Coverage: accepted images by class, severity and skin type against what is wanted, and what to draw more of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from tenfold.data.manifest import SKIN_TYPE_GROUPS
from tenfold.data.verdicts import ACCEPTED, REJECTED, UNREVIEWED
from tenfold.metrics.proportions import trials_for
from tenfold.review.consensus import Consensus
from tenfold.review.records import Item
from tenfold.review.shares import Counted, Figure, counted, share_of

NOT_TOLD = "not told"
Thing = TypeVar("Thing")
GoalKind = Literal["total", "class", "severity", "skin_type"]
WhyUnknown = Literal["", "none_asked", "none_decided", "none_accepted"]


@dataclass(frozen=True)
class Targets:
    """Accepted images wanted: in all, by class, and of every severity level and skin type group; 0 or none: any.

    `scope`: of all sets of the review together, or of each of them (each repetition of a study learns from its own).
    """

    total: int = 0
    per_class: Mapping[str, int] = field(default_factory=dict)
    per_severity: int = 0
    per_skin_type: int = 0
    scope: Literal["all_sets", "each_set"] = "all_sets"


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
    """One target: what is accepted, what is missing, and how many images to draw for it.

    `set`: the set it is counted in, "" for all together. `yield_rate`: of the decided images that were asked to be of
    this value, the share that was accepted as such (of all decided ones where no image was asked for any severity).
    `undecided`: images that may still fill it. `to_draw`: so many more asked for this value reach the target with a
    probability of one half; `to_draw_low` and `to_draw_high` with 2.5 and 97.5 %: what is not known of the rate and
    chance itself are both in it, and the undecided ones count. None where `why_unknown` says why nobody can know.
    """

    kind: GoalKind
    value: str
    set: str
    wanted: int
    accepted: int
    undecided: int
    missing: int
    yield_rate: Figure
    to_draw: int | None
    to_draw_low: int | None
    to_draw_high: int | None
    why_unknown: WhyUnknown


@dataclass(frozen=True)
class Coverage:
    """The tally, and the targets with those most wanting first."""

    rows: tuple[Tally, ...]
    goals: tuple[Goal, ...]
    accepted: int
    rejected: int
    undecided: int


@dataclass(frozen=True)
class _Image:
    """A synthetic image; `seen`: its severity as reviewers named it, `severity`: that, or else what was asked for."""

    item: Item
    severity: str
    skin_type_group: str
    verdict: str


def tally(
    items: Sequence[Item],
    decided: Sequence[Consensus],
    targets: Targets,
    severities: Mapping[str, str | None],
    levels: Sequence[str] = (),
    sets: Mapping[str, Collection[str]] | None = None,
) -> Coverage:
    """Coverage of the synthetic images.

    severities: by image id what reviewers saw, None where they cannot tell, absent where they said nothing (what was
    asked for counts then); levels: severity levels that count even where no image has them; sets: the ids that
    each set holds, of which several can share an image (None: each image is in its own alone).
    """
    by_id = {item.image_id: item for item in items}
    images = []
    for one in decided:
        item = by_id[one.image_id]
        severity = severities.get(item.image_id, item.severity) or NOT_TOLD
        images.append(_Image(item, severity, skin_group(item), one.verdict))
    cells = Counter((one.item.label, one.severity, one.skin_type_group, one.verdict) for one in images)
    keys = sorted({key[:3] for key in cells})
    rows = tuple(Tally(*key, *(cells[*key, verdict] for verdict in (ACCEPTED, REJECTED, UNREVIEWED))) for key in keys)
    goals = sorted(_goals(images, targets, levels, sets), key=lambda goal: -goal.missing)
    whole = Counter(one.verdict for one in images)
    return Coverage(rows, tuple(goals), whole[ACCEPTED], whole[REJECTED], whole[UNREVIEWED])


def by_set(images: Sequence[tuple[Item, Thing]], sets: Mapping[str, Collection[str]] | None) -> dict[str, list[Thing]]:
    """What belongs to the images of each set, in the order of names; a shared image is in each of its sets."""
    if sets is None:
        sets = {name: {item.image_id for item, _ in images if item.set == name} for name in {i.set for i, _ in images}}
    members = {name: set(ids) for name, ids in sorted(sets.items())}
    return {name: [thing for item, thing in images if item.image_id in ids] for name, ids in members.items()}


def skin_group(item: Item) -> str:
    """The skin type group that an image was asked to show."""
    if item.skin_type_group:
        return item.skin_type_group
    return SKIN_TYPE_GROUPS.get(item.skin_type, NOT_TOLD) if item.skin_type is not None else NOT_TOLD


@dataclass(frozen=True)
class _Aim:
    """A target: which accepted images count towards it, and which images were asked for it."""

    kind: GoalKind
    value: str
    wanted: int
    counts: Callable[[_Image], bool]
    was_asked: Callable[[_Image], bool]


def _goals(
    images: Sequence[_Image], targets: Targets, levels: Sequence[str], sets: Mapping[str, Collection[str]] | None
) -> Iterator[Goal]:
    is_each = targets.scope == "each_set"
    groups = by_set([(one.item, one) for one in images], sets) if is_each else {"": list(images)}
    for name, own in groups.items():
        for aim in _aims(own, targets, levels):
            yield _goal(aim, name, own)


def _aims(images: Sequence[_Image], targets: Targets, levels: Sequence[str]) -> Iterator[_Aim]:
    """Classes and skin types count as asked for; of severity reviewers have their own word."""
    if targets.total:
        yield _Aim("total", "all", targets.total, _any, _any)
    for label, wanted in sorted(targets.per_class.items()):
        if wanted:
            is_of = _is(lambda one: one.item.label, label)
            yield _Aim("class", label, wanted, is_of, is_of)
    if targets.per_severity:
        no_severity_asked = not any(one.item.severity for one in images)
        for level in sorted({one.severity for one in images} - {NOT_TOLD} | set(levels)):
            was_asked = _any if no_severity_asked else _is(lambda one: one.item.severity, level)
            yield _Aim("severity", level, targets.per_severity, _is(lambda one: one.severity, level), was_asked)
    if targets.per_skin_type:
        for group in sorted({one.skin_type_group for one in images} - {NOT_TOLD}):
            is_of = _is(lambda one: one.skin_type_group, group)
            yield _Aim("skin_type", group, targets.per_skin_type, is_of, is_of)


def _any(_one: _Image) -> bool:
    return True


def _is(value_of: Callable[[_Image], str | None], value: str) -> Callable[[_Image], bool]:
    return lambda one: value_of(one) == value


def _goal(aim: _Aim, name: str, images: Sequence[_Image]) -> Goal:
    asked = [one for one in images if aim.was_asked(one)]
    outcomes = [(one.item, one.verdict == ACCEPTED and aim.counts(one)) for one in asked if one.verdict != UNREVIEWED]
    found, undecided = counted(outcomes), len(asked) - len(outcomes)
    accepted = sum(one.verdict == ACCEPTED and aim.counts(one) for one in images)
    missing = max(0, aim.wanted - accepted)
    why: WhyUnknown = ""
    expected, fewest, most = (_draws(found, missing, undecided, chance) for chance in (0.5, 0.025, 0.975))
    if expected is None:
        why = "none_accepted" if outcomes else "none_decided" if asked else "none_asked"
    share = share_of(outcomes)
    return Goal(
        aim.kind, aim.value, name, aim.wanted, accepted, undecided, missing, share, expected, fewest, most, why
    )  # fmt: skip


def _draws(found: Counted, missing: int, undecided: int, chance: float) -> int | None:
    """More images that bring what is missing with this probability; of one source they tell less of the rate."""
    if not missing:
        return 0
    if not found.part:
        return None
    part, whole = (number * found.effective / found.whole for number in (found.part, found.whole))
    return max(0, trials_for(missing, part, whole, chance) - undecided)
