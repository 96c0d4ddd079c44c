"""Severity as reviewers saw it, or where they said nothing, as it was asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tenfold.review.consensus import common_answer
from tenfold.review.records import Item, Judgement
from tenfold.review.rubric import Rubric

SEVERITY = "severity"
CANNOT_TELL = "cannot_tell"


def severities_seen(items: Sequence[Item], judgements: Sequence[Judgement]) -> dict[str, str | None]:
    """By image id, the level that most reviewers named (an adjudicator's word before theirs), else the one asked for.

    None where they could not tell, or disagree evenly and none was asked for.
    """
    answers: dict[str, list[Judgement]] = defaultdict(list)
    for one in judgements:
        if one.answers.get(SEVERITY) is not None:
            answers[one.image_id].append(one)
    found: dict[str, str | None] = {}
    for item in items:
        seen = common_answer(answers.get(item.image_id, ()), SEVERITY)
        found[item.image_id] = None if seen == CANNOT_TELL else seen or item.severity
    return found


def severity_levels(rubric: Rubric) -> tuple[str, ...]:
    """The levels that the rubric offers, in its order; none without such a question."""
    options = next((question.options for question in rubric.questions if question.id == SEVERITY), ())
    return tuple(option.id for option in options if option.id != CANNOT_TELL)
