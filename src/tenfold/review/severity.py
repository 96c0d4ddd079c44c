"""Severity as reviewers saw it, and the levels that they could name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tenfold.review.consensus import common_answer
from tenfold.review.records import Item, Judgement
from tenfold.review.rubric import Rubric

SEVERITY = "severity"
CANNOT_TELL = "cannot_tell"


def severities_seen(items: Sequence[Item], judgements: Sequence[Judgement]) -> dict[str, str | None]:
    """By image id, the level that most reviewers named (an adjudicator's word before theirs).

    None where they could not tell; images of which nobody said anything, or evenly different things, are not there.
    """
    known = {item.image_id for item in items}
    answers: dict[str, list[Judgement]] = defaultdict(list)
    for one in judgements:
        if one.image_id in known and one.answers.get(SEVERITY) is not None:
            answers[one.image_id].append(one)
    named = {image_id: common_answer(given, SEVERITY) for image_id, given in answers.items()}
    return {image_id: None if level == CANNOT_TELL else level for image_id, level in named.items() if level}


def severity_levels(rubric: Rubric) -> tuple[str, ...]:
    """The levels that the rubric offers, in its order; none without such a question."""
    options = next((question.options for question in rubric.questions if question.id == SEVERITY), ())
    return tuple(option.id for option in options if option.id != CANNOT_TELL)
