"""Decisions as Label Studio's JSON tasks, with the labeling interface that they fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tenfold.review.consensus import Consensus
from tenfold.review.records import Item, Judgement
from tenfold.review.tables import answer_text


def label_studio_tasks(
    items: Sequence[Item], decisions: Sequence[Judgement], decided: Sequence[Consensus]
) -> list[dict[str, Any]]:
    """One task an image that somebody judged, one annotation a judgement that stands (`decisions`: all ever made).

    `data.image` is relative to the workspace: in Label Studio, add the workspace as local storage. Verdict, reasons and
    answers are choices named `verdict`, `reasons` and as the rubric's questions; a comment is a text area.
    """
    given: dict[str, list[Judgement]] = defaultdict(list)
    for one in standing(decisions):
        given[one.image_id].append(one)
    verdict_of = {one.image_id: one.verdict for one in decided}
    return [
        {
            "data": {
                "image": f"/data/local-files/?d={item.path}",
                "image_id": item.image_id,
                "label": item.label,
                "source": item.source,
                "set": item.set,
                "prompt": item.prompt,
            },
            "meta": {"consensus": verdict_of.get(item.image_id)},
            "annotations": [_annotation(one) for one in given[item.image_id]],
        }
        for item in sorted(items, key=lambda item: item.image_id)
        if item.image_id in given
    ]


def standing(decisions: Sequence[Judgement]) -> list[Judgement]:
    """Of decisions in the order of arrival, those that stand: the last of each place in a queue, not taken back."""
    undone = {one.undoes for one in decisions if one.undoes}
    last: dict[tuple[str, str, str], Judgement] = {}
    for one in decisions:
        if one.verdict != "none" and one.client_id not in undone:
            last[one.reviewer, one.image_id, one.kind] = one
    return sorted(last.values(), key=lambda one: one.number)


def _annotation(one: Judgement) -> dict[str, Any]:
    results = [_choices("verdict", [one.verdict])]
    if one.reasons:
        results.append(_choices("reasons", list(one.reasons)))
    for question, answer in sorted(one.answers.items()):
        if answer is not None:
            values = answer if isinstance(answer, list | tuple) else [answer]
            results.append(_choices(question, [answer_text(value) for value in values]))
    if one.comment:
        text = {"text": [one.comment]}
        results.append({"from_name": "comment", "to_name": "image", "type": "textarea", "value": text})
    annotation: dict[str, Any] = {
        "unique_id": one.client_id,
        "created_username": one.reviewer,
        "created_at": one.server_time.isoformat(timespec="milliseconds"),
        "lead_time": one.seconds,
        "was_cancelled": False,
        "ground_truth": one.kind == "adjudication",
        "result": results,
    }
    return annotation


def _choices(name: str, values: Sequence[str]) -> Mapping[str, Any]:
    return {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": list(values)}}
