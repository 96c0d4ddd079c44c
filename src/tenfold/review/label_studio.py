"""Decisions as Label Studio's JSON tasks, and the labeling interface that they fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from tenfold.review.consensus import Consensus
from tenfold.review.records import Item, Judgement
from tenfold.review.rubric import Question, Rubric
from tenfold.review.tables import answer_text


def label_studio_tasks(
    items: Sequence[Item], decisions: Sequence[Judgement], decided: Sequence[Consensus]
) -> list[dict[str, Any]]:
    """One task an image that somebody judged, one annotation a judgement that stands (`decisions`: all ever made).

    `data.image` is relative to the workspace: in Label Studio, add the workspace as local storage. Verdict, reasons and
    answers are choices named `verdict`, `reasons` and as the rubric's questions, scales are ratings, and a comment is a
    text area: as in `label_studio_config`.
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
            results.append(_result(question, answer))
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


def label_studio_config(rubric: Rubric, labels: Sequence[str]) -> str:
    """The labeling interface of the tasks, as Label Studio's XML; labels: the classes that a question may offer."""
    parts = [
        _choices_tag("verdict", ("accept", "reject"), is_many=False),
        _choices_tag("reasons", [reason.id for reason in rubric.reasons], is_many=True),
    ]
    for question in rubric.questions:
        parts += [f"  <Header value={quoteattr(question.text)}/>", _question_tag(question, labels)]
    parts.append('  <TextArea name="comment" toName="image"/>')
    return "\n".join(["<View>", '  <Image name="image" value="$image"/>', *parts, "</View>", ""])


def _question_tag(question: Question, labels: Sequence[str]) -> str:
    if question.kind == "scale":
        return f'  <Rating name={quoteattr(question.id)} toName="image" maxRating="{question.levels}"/>'
    offered = [option.id for option in question.options] or list(labels)
    values = ["yes", "no"] if question.kind == "yes_no" else offered
    return _choices_tag(question.id, values, is_many=question.kind == "many")


def _choices_tag(name: str, values: Sequence[str], *, is_many: bool) -> str:
    choice = "multiple" if is_many else "single-radio"
    rows = [f"    <Choice value={quoteattr(value)}/>" for value in values]
    return "\n".join([f'  <Choices name={quoteattr(name)} toName="image" choice="{choice}">', *rows, "  </Choices>"])


def _result(question: str, answer: Any) -> Mapping[str, Any]:
    """An answer to one of the rubric's questions; whole numbers are those of a scale."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        return {"from_name": question, "to_name": "image", "type": "rating", "value": {"rating": answer}}
    values = answer if isinstance(answer, list | tuple) else [answer]
    return _choices(question, [answer_text(value) for value in values])


def _choices(name: str, values: Sequence[str]) -> Mapping[str, Any]:
    return {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": list(values)}}
