"""The review in figures: progress, accept rates, reasons, who can tell real from generated, agreement and time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.data.verdicts import ACCEPTED, REJECTED, UNREVIEWED
from tenfold.review.consensus import Consensus
from tenfold.review.coverage import NOT_TOLD, by_set, skin_group
from tenfold.review.effort import Effort, capped_seconds, review_effort
from tenfold.review.rater_agreement import RaterAgreement, rater_agreement
from tenfold.review.records import Item, Judgement
from tenfold.review.rubric import CONDITION
from tenfold.review.shares import Figure, share_of, source_of
from tenfold.review.tables import answer_text
from tenfold.review.told_apart import Detection, detection


@dataclass(frozen=True)
class Reader:
    """A person's place in the review. `total` and `decided` count places in the queue, repeats among them."""

    name: str
    role: str
    total: int
    decided: int
    faulty: int
    accept_rate: Figure
    """Of first looks at synthetic images."""
    real_accept_rate: Figure
    median_seconds: float | None
    minutes: float
    last_at: str | None


@dataclass(frozen=True)
class AcceptRow:
    """Synthetic images of one class, strategy, prompt, skin type or set; the share is of the decided ones."""

    value: str
    accepted: int
    rejected: int
    undecided: int
    share: Figure


@dataclass(frozen=True)
class ReasonRow:
    """How many rejected images somebody gave this reason for."""

    reason: str
    n_images: int
    share: Figure


@dataclass(frozen=True)
class Summary:
    """Everything about the decisions. `answers`: question -> origin of the image -> answer -> first looks.

    `n_sources`: real images that the synthetic ones were made from, one made of no image counting as its own; where
    they are fewer than `n_images`, the intervals take those of one source together. `undecided`: without faulty ones.
    `class_was_told`: reviewers saw which class was meant, so that `shown_as_asked` tells of contradiction alone.
    """

    rule: str
    n_images: int
    n_sources: int
    n_real: int
    accepted: int
    rejected: int
    undecided: int
    disputed: int
    adjudicated: int
    faulty: int
    accept_rate: Figure
    readers: tuple[Reader, ...]
    by_label: tuple[AcceptRow, ...]
    by_strategy: tuple[AcceptRow, ...]
    by_prompt: tuple[AcceptRow, ...]
    by_skin_type: tuple[AcceptRow, ...]
    by_set: tuple[AcceptRow, ...]
    reasons: tuple[ReasonRow, ...]
    shown_as_asked: Mapping[str, Figure]
    detection: Detection
    agreement: RaterAgreement
    effort: Effort
    answers: Mapping[str, Mapping[str, Mapping[str, int]]]
    class_was_told: bool = False


_Decided = tuple[Item, Consensus]


@dataclass(frozen=True)
class ReaderPlace:
    """What the store says of a reader's queue."""

    name: str
    role: str
    total: int
    decided: int
    faulty: int


def summarize(
    items: Sequence[Item],
    decided: Sequence[Consensus],
    judgements: Sequence[Judgement],
    places: Sequence[ReaderPlace],
    *,
    seed: int,
    record: Sequence[Judgement] | None = None,
    sets: Mapping[str, Collection[str]] | None = None,
) -> Summary:
    """The figures of a review at any moment; the same decisions give the same figures.

    items: real and synthetic; judgements: those that stand, of all kinds; seed: of the bootstraps; record: every
    decision ever made, whose time counts (None: those that stand are all); sets: the ids that each set
    holds, of which several can share an image (None: its own alone).
    """
    by_id = {item.image_id: item for item in items}
    known = [one for one in judgements if one.image_id in by_id]
    made = known if record is None else [one for one in record if one.image_id in by_id]
    first = [one for one in known if one.kind == "first"]
    of_reader, made_by = _by_reader(known), _by_reader(made)
    verdicts = Counter(one.verdict for one in decided)
    synthetic = [(by_id[one.image_id], one) for one in decided]
    prompts = _rows(synthetic, lambda item: item.prompt)
    return Summary(
        rule=decided[0].rule if decided else "",
        n_images=len(decided),
        n_sources=len({source_of(item) for item, _ in synthetic}),
        n_real=len(items) - len(decided),
        accepted=verdicts["accepted"],
        rejected=verdicts["rejected"],
        undecided=sum(one.verdict == UNREVIEWED and not one.is_faulty for one in decided),
        disputed=sum(one.is_disputed for one in decided),
        adjudicated=sum(one.is_adjudicated for one in decided),
        faulty=sum(one.is_faulty for one in decided),
        accept_rate=_accept_rate(synthetic),
        readers=tuple(_reader(place, of_reader[place.name], made_by[place.name], by_id) for place in places),
        by_label=_rows(synthetic, lambda item: item.label),
        by_strategy=_rows(synthetic, lambda item: item.strategy),
        by_prompt=tuple(sorted(prompts, key=lambda row: (-_at_least(row.share), row.value))),
        by_skin_type=_rows(synthetic, skin_group),
        by_set=_accept_rows(by_set([(item, (item, one)) for item, one in synthetic], sets)),
        reasons=_reasons(synthetic),
        shown_as_asked=_shown_as_asked(first, by_id),
        detection=detection(first, by_id, numpy_generator(derive_seed(seed, "review", "detection"))),
        agreement=rater_agreement(known, by_id, derive_seed(seed, "review", "agreement")),
        effort=review_effort(made, known, synthetic, numpy_generator(derive_seed(seed, "review", "effort"))),
        answers=_answers(first, by_id),
    )


def _by_reader(judgements: Iterable[Judgement]) -> dict[str, list[Judgement]]:
    found: dict[str, list[Judgement]] = defaultdict(list)
    for one in judgements:
        found[one.reviewer].append(one)
    return found


def _reader(
    place: ReaderPlace, own: Sequence[Judgement], made: Sequence[Judgement], by_id: Mapping[str, Item]
) -> Reader:
    """own: the judgements that stand; made: every decision, whose time counts."""
    timed = [(one, value) for one in made if (value := capped_seconds(one)) is not None]
    looks = [value for one, value in timed if one.verdict != "none"]

    def rate(source: str) -> Figure:
        first = ((by_id[one.image_id], one.verdict == "accept") for one in own if one.kind == "first")
        return share_of((item, is_accepted) for item, is_accepted in first if item.source == source)

    return Reader(
        name=place.name,
        role=place.role,
        total=place.total,
        decided=place.decided,
        faulty=place.faulty,
        accept_rate=rate("synthetic"),
        real_accept_rate=rate("real"),
        median_seconds=round(median(looks), 2) if looks else None,
        minutes=round(sum(value for _, value in timed) / 60, 2),
        last_at=max(one.server_time for one in own).isoformat(timespec="seconds") if own else None,
    )


def _rows(synthetic: Iterable[_Decided], value_of: Callable[[Item], str | None]) -> tuple[AcceptRow, ...]:
    groups: dict[str, list[_Decided]] = defaultdict(list)
    for item, one in synthetic:
        groups[value_of(item) or NOT_TOLD].append((item, one))
    return _accept_rows(groups)


def _accept_rows(groups: Mapping[str, Sequence[_Decided]]) -> tuple[AcceptRow, ...]:
    rows = []
    for value, own in sorted(groups.items()):
        counts = Counter(one.verdict for _, one in own)
        rows.append(AcceptRow(value, counts[ACCEPTED], counts[REJECTED], counts[UNREVIEWED], _accept_rate(own)))
    return tuple(rows)


def _accept_rate(synthetic: Iterable[_Decided]) -> Figure:
    """Of the decided images."""
    return share_of((item, one.verdict == ACCEPTED) for item, one in synthetic if one.verdict != UNREVIEWED)


def _at_least(share: Figure) -> float:
    """What prompts are ranked by: the lower end of the interval, so that one lucky image is no best prompt."""
    return -1.0 if share.low is None else share.low


def _reasons(synthetic: Sequence[_Decided]) -> tuple[ReasonRow, ...]:
    rejected = [(item, one) for item, one in synthetic if one.verdict == REJECTED and not one.is_faulty]
    given = {item.image_id: set(one.reasons) or {NOT_TOLD} for item, one in rejected}
    counts = Counter(reason for reasons in given.values() for reason in reasons)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(
        ReasonRow(reason, count, share_of((item, reason in given[item.image_id]) for item, _ in rejected))
        for reason, count in ranked
    )


def _shown_as_asked(first: Sequence[Judgement], by_id: Mapping[str, Item]) -> dict[str, Figure]:
    """By class, the share of synthetic images that most reviewers took for the class asked for; ties count as not."""
    named: dict[str, list[str]] = defaultdict(list)
    for one in first:
        if by_id[one.image_id].source == "synthetic" and one.answers.get(CONDITION) is not None:
            named[one.image_id].append(str(one.answers[CONDITION]))
    shown: dict[str, list[tuple[Item, bool]]] = defaultdict(list)
    for image_id, answers in named.items():
        item = by_id[image_id]
        shown[item.label].append((item, 2 * answers.count(item.label) > len(answers)))
    return {label: share_of(found) for label, found in sorted(shown.items())}


def _answers(first: Sequence[Judgement], by_id: Mapping[str, Item]) -> dict[str, dict[str, dict[str, int]]]:
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for one in first:
        for question, answer in one.answers.items():
            for value in answer if isinstance(answer, list | tuple) else [answer]:
                if value is not None:
                    counts[question][by_id[one.image_id].source][answer_text(value)] += 1
    return {
        question: {source: dict(sorted(found.items())) for source, found in sorted(by_source.items())}
        for question, by_source in sorted(counts.items())
    }
