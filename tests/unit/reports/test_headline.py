"""The verdict in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tenfold.evaluation.contents import Evaluation
from tenfold.reports.contents import Headline
from tenfold.reports.headline import best_control, primary_comparisons, write_headline
from tests.report_workspace import CONTROLS, LABELS, bare, make_evaluation, not_testable

NAMES = {label: label for label in LABELS}


def write(evaluation: Evaluation, **given: str) -> Headline:
    names = {label: label.replace("_", " ") for label in evaluation.labels}
    return write_headline(
        evaluation,
        names,
        title=given.get("title"),
        question=given.get("question"),
        is_phantom=False,
        trimmed=("Two seeds.",),
    )


@pytest.mark.parametrize(
    ("gain", "title", "meaning"),
    [
        (0.004, "No evidence that synthetic images help", "neither shows a benefit nor rules one out"),
        (0.03, "Synthetic images help", "needs confirming on other patients"),
        (-0.06, "Synthetic images harm", "should not be trained on"),
    ],
)
def test_each_verdict_has_its_words(gain: float, title: str, meaning: str) -> None:
    headline = write(make_evaluation(gain))
    assert headline.verdict_title == title
    assert meaning in headline.sentences[1]
    assert "95 % interval" in headline.sentences[0]


def test_the_finding_is_told_against_the_control_that_is_hardest_to_beat() -> None:
    finding = write(make_evaluation(0.004)).sentences[0]
    assert "by +0.4 points (95 % interval \u22121.7 to +2.5)" in finding
    assert "against the hardest control to beat, real + transforms" in finding


def test_not_testable_says_why_in_plain_words() -> None:
    headline = write(not_testable(make_evaluation()))
    assert headline.verdict_title == "Not testable with this run"
    assert headline.sentences[0] == "Only 2 seeds were run against real images only."


def test_few_seeds_are_told_once() -> None:
    reason = "Only 2 seeds were run against {}; at least 3 are needed. "
    told = "Not testable: " + "".join(reason.format(control) for control in CONTROLS) + "hybrid is odd."
    evaluation = not_testable(make_evaluation())
    headline = write(replace(evaluation, verdict=replace(evaluation.verdict, sentence=told)))
    assert headline.sentences[0] == ("Repetitions run: 2; at least 3 are needed. real + synthetic is odd.")


def test_a_verdict_without_any_figure_still_has_two_sentences() -> None:
    assert all(write(bare(make_evaluation())).sentences)


def test_the_author_may_give_title_and_question() -> None:
    headline = write(make_evaluation(), title="Our study", question="Does it?")
    assert (headline.title, headline.question) == ("Our study", "Does it?")


def test_notes_are_told_once_and_a_phantom_is_called_one() -> None:
    evaluation = replace(make_evaluation(), notes=("Two seeds.", "hybrid has few."))
    headline = write_headline(evaluation, NAMES, title=None, question=None, is_phantom=True, trimmed=("Two seeds.",))
    assert headline.trimmed[0].startswith("The images are computer-drawn phantoms")
    assert headline.trimmed[1:] == ("Two seeds.", "Real + synthetic has few.")


def test_many_classes_are_counted_not_listed() -> None:
    evaluation = replace(make_evaluation(), labels=tuple(f"class_{number}" for number in range(9)))
    assert "9 conditions" in write(evaluation).question


def test_primary_comparisons_keep_the_order_of_the_controls() -> None:
    evaluation = make_evaluation()
    shuffled = replace(evaluation, comparisons=tuple(reversed(evaluation.comparisons)))
    assert tuple(row.control for row in primary_comparisons(shuffled)) == CONTROLS


def test_the_best_control_has_the_highest_figure() -> None:
    assert best_control(make_evaluation()) == "real_transforms"
    assert best_control(bare(make_evaluation())) is None
