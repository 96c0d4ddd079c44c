"""Consensus: from single judgements to one verdict an image, by a rule that is stated before the review."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import pandas as pd

from tenfold.data.verdicts import ACCEPTED, REJECTED, UNREVIEWED, Review
from tenfold.review.records import Item, Judgement
from tenfold.review.tables import typed_table

_COLUMNS = {
    "image_id": "string", "sha256": "string", "set": "string", "label": "string", "verdict": "string",
    "rule": "string", "n_reviewers": "Int64", "n_accept": "Int64", "n_reject": "Int64", "reasons": "string",
    "is_disputed": "boolean", "is_adjudicated": "boolean", "is_faulty": "boolean",
}  # fmt: skip

Rule = Literal["any_reject", "majority", "adjudicated"]


@dataclass(frozen=True)
class Consensus:
    """What was decided of one synthetic image. `reasons`: for rejecting it, each as often as it was given.

    `is_disputed`: its reviewers disagreed at their first look; `is_faulty`: its file could not be shown.
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


def decide(
    items: Sequence[Item], judgements: Sequence[Judgement], rule: Rule, faulty: Collection[str] = ()
) -> list[Consensus]:
    """The verdict on every synthetic item, in the items' order.

    Every reviewer counts once, with the first look; repeats tell of the reviewer, not of the image. any_reject: one
    reject rejects. majority: more accepts than rejects accept, a tie rejects. adjudicated: what all say, else what the
    adjudicator says, and unreviewed until then. An image that could not be shown is rejected.
    """
    looks, words = _first_looks(judgements), _adjudications(judgements)
    unshown = set(faulty)
    return [
        _decided(item, looks.get(item.image_id, []), words.get(item.image_id), rule, is_faulty=item.image_id in unshown)
        for item in items
        if item.source == "synthetic"
    ]


def is_split(judgements: Sequence[Judgement]) -> bool:
    """Whether these first looks at one image disagree."""
    return len({one.verdict for one in judgements}) > 1


def undecided_disputes(items: Sequence[Item], judgements: Sequence[Judgement]) -> list[str]:
    """Ids of the synthetic images on which reviewers disagree and no adjudicator has spoken, in the items' order."""
    looks, words = _first_looks(judgements), _adjudications(judgements)
    return [
        item.image_id
        for item in items
        if item.source == "synthetic" and item.image_id not in words and is_split(looks.get(item.image_id, []))
    ]


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
    item: Item, looks: Sequence[Judgement], word: Judgement | None, rule: Rule, *, is_faulty: bool
) -> Consensus:
    counts = Counter[str](one.verdict for one in looks)
    counted = [*looks, word] if word is not None and rule == "adjudicated" else looks
    verdict: Review = REJECTED if is_faulty else _verdict(counts, word, rule)
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
        is_disputed=is_split(looks),
        is_adjudicated=word is not None and rule == "adjudicated",
        is_faulty=is_faulty,
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


def _adjudications(judgements: Sequence[Judgement]) -> dict[str, Judgement]:
    """By image, the adjudicator's latest word."""
    ordered = sorted((one for one in judgements if one.kind == "adjudication"), key=lambda one: one.number)
    return {one.image_id: one for one in ordered}
