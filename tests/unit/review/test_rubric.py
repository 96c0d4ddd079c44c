"""The rubric: the shipped one, faults with file and line, and answers that fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import DataError, FaultsError, InputError
from tenfold.review.rubric import MAX_OPTIONS, MAX_QUESTIONS, check_answers, load_rubric, read_rubric

GOOD = """\
questions:
  - id: realism
    text: How realistic?
    kind: scale
    levels: 7
  - id: artifacts
    text: Which?
    kind: many
    options: [{id: blur, text: Blur}, {id: seam, text: Seam}]
reasons:
  - {key: 1, id: blurred, text: Blurred}
classes:
  df: {text: "A firm nodule.", guides: [guides/df.png]}
"""


def fault(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_rubric(text.encode(), "my.yaml")
    return caught.value


def test_the_shipped_rubric_asks_what_the_study_counts() -> None:
    rubric = load_rubric()
    kinds = {question.id: question.kind for question in rubric.questions}
    assert kinds == {
        "accurate": "yes_no",
        "condition": "choice",
        "severity": "choice",
        "realism": "scale",
        "artifacts": "many",
        "origin": "choice",
    }
    assert [reason.key for reason in rubric.reasons] == list(range(1, 10))
    assert "hallucinated_feature" in {reason.id for reason in rubric.reasons}
    [artifacts] = [question for question in rubric.questions if question.id == "artifacts"]
    assert "Hallucinated feature" in {option.text for option in artifacts.options}


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rubric.yaml"
    path.write_text("\ufeff" + GOOD, encoding="utf-8")
    rubric = load_rubric(path)
    assert rubric.questions[0].levels == 7 and rubric.classes["df"].guides == ("guides/df.png",)


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ("    kind: scale", "    kind: scala", "my.yaml:4:5", "questions.0.kind"),
        ("    levels: 7", "    levels: many", "my.yaml:5:5", "questions.0.levels"),
        ("    levels: 7", "    levles: 7", "my.yaml:5:5", "questions.0.levles: Extra inputs"),
        ("    text: Which?\n", "", "my.yaml:6:5", "questions.1.text: Field required"),
        ("{id: seam", "{id: a seam", "my.yaml:9:40", "questions.1.options.1.id: letters, digits"),
        ("[{id: blur, text: Blur}, {id: seam, text: Seam}]", "[]", "my.yaml:6:5", "of kind many needs options"),
        ("{key: 1,", "{key: 10,", "my.yaml:11:6", "reasons.0.key: "),
        ("reasons:\n", "reasons:\n  - {key: 1, id: other, text: Other}\n", "my.yaml:12:6", "reasons.1.key: 1 is given"),
        ("id: artifacts", "id: realism", "my.yaml:6:5", "questions.1.id: 'realism' is given"),
        ("    levels: 7", "    key: r", "my.yaml:2:5", "the key 'r' is the page's own"),
        ("text: Blurred", "text: no", "my.yaml:11:27", "reasons.0.text: Input should be a valid string"),
        ("    levels: 7", "    kind: scale", "my.yaml:5:5", "the key 'kind' is given twice"),
        ("id: realism\n    text: How realistic?\n    kind: scale\n    levels: 7",
         "id: origin\n    text: Real?\n    kind: yes_no", "my.yaml:2:5", "must offer exactly `real` and `generated`"),
        ("classes:\n", "classes:\n\tx: y\n", "my.yaml:13:1", "not plain YAML"),
        ("classes:\n", "classes: [\n", "my.yaml:14:1", "not plain YAML"),
        ("{id: seam", "{id: blur", "my.yaml:9:40", "questions.1.options.1.id: 'blur' is given more than once"),
        ("text: Blurred", "text: !!python/name:os.system x", "my.yaml:11:33", "not plain YAML"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line(old: str, new: str, where: str, what: str) -> None:
    assert old in GOOD
    error = fault(GOOD.replace(old, new, 1))
    assert error.where == where and what in error.what


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("x: a\x00b\n", "my.yaml:14:5"),
        ("x: 1\ny: a\x07b\n", "my.yaml:15:5"),
        ("x: 2025-13-45\n", "my.yaml:14:4"),
        ("x:\n  - " + "1" * 5000 + "\n", "my.yaml:15:5"),
        ("x:\n  - " + "[" * 5000 + "\n", "my.yaml:15:23"),
        ("x: !!timestamp now\n", "my.yaml:14:4"),
        ("5: x\n", "my.yaml:14:1"),
        ("yes: x\n", "my.yaml:14:1"),
        ("~: x\n", "my.yaml:14:1"),
        ("  1: {text: x}\n", "my.yaml:14:3"),
        ("  no: {text: x}\n", "my.yaml:14:3"),
        ("  2020-01-01: {text: x}\n", "my.yaml:14:3"),
        ("  1:\n    text: x\n    txt: y\n", "my.yaml:16:5"),
        ('  a: {guides: [g.png, "a\\0b"]}\n', "my.yaml:14:23"),
        ("  a: {guides: [g.png, " + "x" * 5000 + "]}\n", "my.yaml:14:23"),
    ],
)
def test_every_fault_is_told_with_its_own_line(more: str, where: str) -> None:
    error = fault(GOOD + more)
    assert where in str(error), str(error)
    assert error.where in (where, "") and len(str(error)) < 1000


def test_a_class_that_is_read_as_a_number_is_to_be_quoted() -> None:
    assert "put it in quotes" in fault(GOOD + "  1: {text: x}\n").what
    assert "1" in read_rubric((GOOD + "  '1': {text: x}\n").encode(), "my.yaml").classes


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("{key: 1,", '{key: "1",', "my.yaml:11:6"),
        ("{key: 1,", "{key: 1.0,", "my.yaml:11:6"),
        ("{key: 1,", "{key: yes,", "my.yaml:11:6"),
        ("    levels: 7", '    levels: "7"', "my.yaml:5:5"),
        ("    levels: 7", "    is_required: 1", "my.yaml:5:5"),
        ("text: Blurred", 'text: " "', "my.yaml:11:27"),
        ("text: Blurred", 'text: "\u200b"', "my.yaml:11:27"),
        ("text: Blurred", 'text: "a\\nb"', "my.yaml:11:27"),
        ("text: Blurred", 'text: "a\\u202eb"', "my.yaml:11:27"),
        ("text: Blurred", 'text: "a\\u0007b"', "my.yaml:11:27"),
        ("    levels: 7", '    low: "a\\u2066b"', "my.yaml:5:5"),
        ("text: Blur}", 'text: "a\\rb"}', "my.yaml:9:26"),
        ('text: "A firm nodule."', 'text: "A firm \\u202bnodule."', "my.yaml:13:8"),
    ],
)
def test_what_is_no_number_or_cannot_be_read_is_refused(old: str, new: str, where: str) -> None:
    assert old in GOOD
    assert fault(GOOD.replace(old, new, 1)).where == where


def test_definitions_may_have_lines_and_blanks_around_texts_go() -> None:
    text = GOOD.replace("text: Blurred", 'text: " Blurred "').replace('"A firm nodule."', '"A firm\\nnodule.\\n"')
    rubric = read_rubric(text.encode(), "my.yaml")
    assert (rubric.reasons[0].text, rubric.classes["df"].text) == ("Blurred", "A firm\nnodule.")


def _many(questions: int, options: int) -> str:
    offered = ", ".join(f"{{id: o{n}, text: O}}" for n in range(options))
    asked = "".join(f"  - {{id: q{n}, text: Q, kind: many, options: [{offered}]}}\n" for n in range(questions))
    return f"reasons:\n  - {{key: 1, id: b, text: B}}\nquestions:\n{asked}"


def test_a_rubric_that_loads_can_be_answered() -> None:
    from tenfold.review.web.schemas import DecisionIn
    from tests.review_page import decision

    rubric = read_rubric(_many(MAX_QUESTIONS, MAX_OPTIONS).encode(), "my.yaml")
    answers = {one.id: [option.id for option in one.options] for one in rubric.questions}
    check_answers(rubric, [], answers)
    sent = DecisionIn.model_validate(decision("0" * 32, answers=answers))
    assert dict(sent.answers) == answers
    assert fault(_many(MAX_QUESTIONS + 1, 1)).where == "my.yaml:3:1"
    assert fault(_many(1, MAX_OPTIONS + 1)).where == "my.yaml:4:35"
    labels = [f"class {n}" for n in range(100)]
    every = read_rubric(_many(1, 1).replace("options: [{id: o0, text: O}]", "options_from: classes").encode(), "m")
    check_answers(every, [], {"q0": labels}, labels)
    assert DecisionIn.model_validate(decision("0" * 32, answers={"q0": labels})).answers["q0"] == labels
    with pytest.raises(DataError) as caught:
        check_answers(every, [], {"q0": [*labels, "x"]}, labels)
    assert len(caught.value.what) < 200


def test_all_faults_are_told_at_once() -> None:
    error = fault(GOOD.replace("kind: scale", "kind: x").replace("key: 1", "key: 0"))
    assert isinstance(error, FaultsError)
    assert [one.where for one in error.errors] == ["my.yaml:4:5", "my.yaml:11:6"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the rubric is empty"),
        ("# nothing\n", "the rubric is empty"),
        ("- a\n", "the rubric is no mapping"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: 2025-13-45\n", "not plain YAML"),
        ("a: \x07\n", "not plain YAML"),
        ("{[a, b]: c}\n", "not plain YAML"),
        ("questions: []\n", "reasons: Field required"),
    ],
)
def test_what_is_no_rubric_is_told(text: str, what: str) -> None:
    error = fault(text)
    assert what in error.what and error.where.startswith("my.yaml")


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_rubric(tmp_path / "none.yaml")
    with pytest.raises(DataError, match="cannot be read"):
        load_rubric(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"reasons:\n  - Gr\xf6\xdfe\n")
    with pytest.raises(DataError, match="not UTF-8") as caught:
        load_rubric(tmp_path / "latin.yaml")
    assert caught.value.where.endswith("latin.yaml:2")
    (tmp_path / "large.yaml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(DataError, match="too large"):
        load_rubric(tmp_path / "large.yaml")


def test_answers_of_the_rubric_are_taken() -> None:
    answers = {
        "accurate": False,
        "condition": "vasc",
        "severity": "mild",
        "realism": 5,
        "artifacts": ["blur", "color"],
        "origin": "generated",
    }
    check_answers(load_rubric(), ["poor_quality", "other"], answers, ["df", "vasc"])
    check_answers(load_rubric(), [], {})


@pytest.mark.parametrize(
    ("reasons", "answers"),
    [
        (["nonsense"], {}),
        ([], {"nonsense": 1}),
        ([], {"accurate": 1}),
        ([], {"accurate": None}),
        ([], {"condition": "mel"}),
        ([], {"condition": ["df"]}),
        ([], {"realism": 0}),
        ([], {"realism": 6}),
        ([], {"realism": True}),
        ([], {"realism": 2.5}),
        ([], {"artifacts": "blur"}),
        ([], {"artifacts": ["blur", "blur"]}),
        ([], {"artifacts": [{}]}),
        ([], {"origin": "synthetic"}),
    ],
)
def test_other_answers_are_refused(reasons: list[str], answers: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        check_answers(load_rubric(), reasons, answers, ["df", "vasc"])
