"""Consensus: from single judgements to one verdict an image, by a rule that is stated before the review."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import pandas as pd

from tenfold.data.verdicts import ACCEPTED, REJECTED, UNREVIEWED, Review
from tenfold.review.records import Item, Judgement
from tenfold.review.tables import typed_table

_COLUMNS = {
    "image_id": "string", "sha256": "string", "set": "string", "label": "string", "verdict": "string",
    "rule": "string", "n_reviewers": "Int64", "n_accept": "Int64", "n_reject": "Int64", "reasons": "string",
    "is_disputed": "boolean", "is_adjudicated": "boolean", "is_faulty": "boolean", "is_kept_out": "boolean",
}  # fmt: skip

Rule = Literal["any_reject", "majority", "adjudicated"]


@dataclass(frozen=True)
class Consensus:
    """What was decided of one synthetic image. `reasons`: for rejecting it, each as often as it was given.

    `is_disputed`: its reviewers disagreed at their first look; `is_faulty`: its file cannot be shown; `is_kept_out`: no
    classifier learns from it, as it is rejected or faulty, or a rejection stands that nobody has settled.
    """

    image_id: str
    sha256: str
    set: str
    label: str
    verdict: Review
    rule: Rule
    n_reviewers: int
    n_accept: int
    n_reject: int
    reasons: tuple[str, ...]
    is_disputed: bool
    is_adjudicated: bool
    is_faulty: bool
    is_kept_out: bool = False


def decide(
    items: Sequence[Item],
    judgements: Sequence[Judgement],
    rule: Rule,
    faulty: Collection[str] = (),
    rejected_before: Collection[str] = (),
) -> list[Consensus]:
    """The verdict on every synthetic item, in the items' order.

    Every reviewer counts once, with the first look; repeats tell of the reviewer, not of the image. any_reject: one
    reject rejects, also one at a second look. majority: more accepts than rejects accept, a tie rejects. adjudicated:
    what all say, else what the adjudicator says, and unreviewed until then: kept out, as a rejection stands.

    Args:
        faulty: images that cannot be shown: kept out, which is nobody's rejection.
        rejected_before: images that were drawn anew, and rejected before: kept out until the new ones are judged.
    """
    looks, words = _first_looks(judgements), _adjudications(judgements)
    counted = _with_second_thoughts(looks, judgements) if rule == "any_reject" else looks
    unshown, before = set(faulty), set(rejected_before)
    return [
        _decided(
            item,
            counted.get(item.image_id, []),
            words.get(item.image_id) if is_split(looks.get(item.image_id, [])) else None,
            rule,
            is_disputed=is_split(looks.get(item.image_id, [])),
            is_faulty=item.image_id in unshown,
            was_rejected=item.image_id in before,
        )
        for item in items
        if item.source == "synthetic"
    ]


def is_split(judgements: Sequence[Judgement]) -> bool:
    """Whether these first looks at one image disagree."""
    return len({one.verdict for one in judgements}) > 1


def common_answer(judgements: Sequence[Judgement], question: str) -> str | None:
    """What most reviewers answered to a question at their first look, an adjudicator before them; None without one or
    in a tie."""
    final = [one for one in judgements if one.kind == "adjudication" and one.answers.get(question) is not None]
    asked = [max(final, key=lambda one: one.number)] if final else [one for one in judgements if one.kind == "first"]
    given = Counter(str(one.answers[question]) for one in asked if one.answers.get(question) is not None)
    ranked = given.most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def consensus_table(decided: Sequence[Consensus]) -> pd.DataFrame:
    """One row an image, by image id: ``review/consensus.parquet``; reasons as a JSON list."""
    rows = [{**asdict(one), "reasons": json.dumps(list(one.reasons))} for one in decided]
    return typed_table(sorted(rows, key=lambda row: str(row["image_id"])), _COLUMNS)


def _decided(
    item: Item,
    looks: Sequence[Judgement],
    word: Judgement | None,
    rule: Rule,
    *,
    is_disputed: bool,
    is_faulty: bool,
    was_rejected: bool,
) -> Consensus:
    """`word`: an adjudicator's, where the reviewers differ."""
    counts = Counter[str](one.verdict for one in looks)
    counted = [*looks, word] if word is not None and rule == "adjudicated" else looks
    verdict = _verdict(counts, word, rule)
    if is_faulty and verdict == ACCEPTED:
        verdict = UNREVIEWED
    is_open = verdict == UNREVIEWED and (is_faulty or was_rejected or counts["reject"] > 0)
    return Consensus(
        image_id=item.image_id,
        sha256=item.sha256,
        set=item.set,
        label=item.label,
        verdict=verdict,
        rule=rule,
        n_reviewers=len(looks),
        n_accept=counts["accept"],
        n_reject=counts["reject"],
        reasons=tuple(reason for one in counted if one.verdict == "reject" for reason in one.reasons),
        is_disputed=is_disputed,
        is_adjudicated=word is not None and rule == "adjudicated",
        is_faulty=is_faulty,
        is_kept_out=is_open or verdict == REJECTED,
    )


def _verdict(counts: Counter[str], word: Judgement | None, rule: Rule) -> Review:
    if rule == "adjudicated" and word is not None:
        return ACCEPTED if word.verdict == "accept" else REJECTED
    if not counts:
        return UNREVIEWED
    if not counts["reject"]:
        return ACCEPTED
    if rule == "any_reject" or not counts["accept"]:
        return REJECTED
    if rule == "majority":
        return ACCEPTED if counts["accept"] > counts["reject"] else REJECTED
    return UNREVIEWED


def _first_looks(judgements: Sequence[Judgement]) -> dict[str, list[Judgement]]:
    """By image, the first look of each reviewer."""
    found: dict[str, dict[str, Judgement]] = {}
    for one in sorted(judgements, key=lambda one: one.number):
        if one.kind == "first":
            found.setdefault(one.image_id, {}).setdefault(one.reviewer, one)
    return {image_id: list(by_reviewer.values()) for image_id, by_reviewer in found.items()}


def _with_second_thoughts(
    looks: Mapping[str, Sequence[Judgement]], judgements: Sequence[Judgement]
) -> dict[str, list[Judgement]]:
    """The first looks, with a reviewer's rejection at a second look in the place of the first."""
    found = {image_id: {one.reviewer: one for one in own} for image_id, own in looks.items()}
    for one in sorted(judgements, key=lambda one: one.number):
        if one.kind == "repeat" and one.verdict == "reject":
            own = found.setdefault(one.image_id, {})
            if one.reviewer not in own or own[one.reviewer].verdict != "reject":
                own[one.reviewer] = one
    return {image_id: list(by_reviewer.values()) for image_id, by_reviewer in found.items()}


def _adjudications(judgements: Sequence[Judgement]) -> dict[str, Judgement]:
    """By image, the adjudicator's latest word."""
    ordered = sorted((one for one in judgements if one.kind == "adjudication"), key=lambda one: one.number)
    return {one.image_id: one for one in ordered}
