"""The review in figures: progress, accept rates, reasons, who can tell real from generated, agreement and time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.review.consensus import Consensus
from tenfold.review.coverage import NOT_TOLD, skin_group
from tenfold.review.effort import Effort, capped_seconds, review_effort
from tenfold.review.rater_agreement import RaterAgreement, rater_agreement
from tenfold.review.records import Item, Judgement
from tenfold.review.rubric import CONDITION
from tenfold.review.shares import Figure, wilson_share
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
    """Everything about the decisions. `answers`: question -> origin of the image -> answer -> first looks."""

    rule: str
    n_images: int
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
) -> Summary:
    """The figures of a review at any moment; the same decisions give the same figures.

    items: real and synthetic; judgements: those that stand, of all kinds; seed: of the bootstraps.
    """
    by_id = {item.image_id: item for item in items}
    known = [one for one in judgements if one.image_id in by_id]
    first = [one for one in known if one.kind == "first"]
    of_reader: dict[str, list[Judgement]] = defaultdict(list)
    for one in known:
        of_reader[one.reviewer].append(one)
    verdicts = Counter(one.verdict for one in decided)
    prompts = _rows(decided, lambda one: by_id[one.image_id].prompt)
    return Summary(
        rule=decided[0].rule if decided else "",
        n_images=len(decided),
        n_real=len(items) - len(decided),
        accepted=verdicts["accepted"],
        rejected=verdicts["rejected"],
        undecided=verdicts["unreviewed"],
        disputed=sum(one.is_disputed for one in decided),
        adjudicated=sum(one.is_adjudicated for one in decided),
        faulty=sum(one.is_faulty for one in decided),
        accept_rate=wilson_share(verdicts["accepted"], verdicts["accepted"] + verdicts["rejected"]),
        readers=tuple(_reader(place, of_reader[place.name], by_id) for place in places),
        by_label=_rows(decided, lambda one: one.label),
        by_strategy=_rows(decided, lambda one: by_id[one.image_id].strategy),
        by_prompt=tuple(sorted(prompts, key=lambda row: (-_at_least(row.share), row.value))),
        by_skin_type=_rows(decided, lambda one: skin_group(by_id[one.image_id])),
        by_set=_rows(decided, lambda one: one.set),
        reasons=_reasons(decided),
        shown_as_asked=_shown_as_asked(first, by_id),
        detection=detection(first, by_id, numpy_generator(derive_seed(seed, "review", "detection"))),
        agreement=rater_agreement(known, by_id, derive_seed(seed, "review", "agreement")),
        effort=review_effort(known, decided, numpy_generator(derive_seed(seed, "review", "effort"))),
        answers=_answers(first, by_id),
    )


def _reader(place: ReaderPlace, own: Sequence[Judgement], by_id: Mapping[str, Item]) -> Reader:
    seconds = [value for one in own if (value := capped_seconds(one)) is not None]

    def rate(source: str) -> Figure:
        looks = [one for one in own if one.kind == "first" and by_id[one.image_id].source == source]
        return wilson_share(sum(one.verdict == "accept" for one in looks), len(looks))

    return Reader(
        name=place.name,
        role=place.role,
        total=place.total,
        decided=place.decided,
        faulty=place.faulty,
        accept_rate=rate("synthetic"),
        real_accept_rate=rate("real"),
        median_seconds=round(median(seconds), 2) if seconds else None,
        minutes=round(sum(seconds) / 60, 2),
        last_at=max(one.server_time for one in own).isoformat(timespec="seconds") if own else None,
    )


def _rows(decided: Iterable[Consensus], value_of: Callable[[Consensus], str | None]) -> tuple[AcceptRow, ...]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in decided:
        counts[value_of(one) or NOT_TOLD][one.verdict] += 1
    return tuple(
        AcceptRow(
            value=value,
            accepted=found["accepted"],
            rejected=found["rejected"],
            undecided=found["unreviewed"],
            share=wilson_share(found["accepted"], found["accepted"] + found["rejected"]),
        )
        for value, found in sorted(counts.items())
    )


def _at_least(share: Figure) -> float:
    """What prompts are ranked by: the lower end of the interval, so that one lucky image is no best prompt."""
    return -1.0 if share.low is None else share.low


def _reasons(decided: Sequence[Consensus]) -> tuple[ReasonRow, ...]:
    rejected = [one for one in decided if one.verdict == "rejected" and not one.is_faulty]
    counts = Counter(reason for one in rejected for reason in set(one.reasons))
    if without := sum(not one.reasons for one in rejected):
        counts[NOT_TOLD] += without
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(ReasonRow(reason, count, wilson_share(count, len(rejected))) for reason, count in ranked)


def _shown_as_asked(first: Sequence[Judgement], by_id: Mapping[str, Item]) -> dict[str, Figure]:
    """By class, the share of synthetic images that most reviewers took for the class asked for; ties count as not."""
    named: dict[str, list[str]] = defaultdict(list)
    for one in first:
        if by_id[one.image_id].source == "synthetic" and one.answers.get(CONDITION) is not None:
            named[one.image_id].append(str(one.answers[CONDITION]))
    shown: dict[str, list[bool]] = defaultdict(list)
    for image_id, answers in named.items():
        label = by_id[image_id].label
        shown[label].append(2 * answers.count(label) > len(answers))
    return {label: wilson_share(sum(found), len(found)) for label, found in sorted(shown.items())}


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
