"""The rubric: questions, reject reasons and class definitions from YAML, with faults told by file and line."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StringConstraints, ValidationError, model_validator

from tenfold.core.config import StageConfig
from tenfold.core.errors import DataError, Faults
from tenfold.review.yaml_places import KeyPath, Placed, read_placed

DEFAULT_RUBRIC = "default_rubric.yaml"
ORIGIN = "origin"
"""The question "real or generated?"; the summary reads its answers ``real`` and ``generated``."""

CONDITION = "condition"
"""The question "which condition?"; its answers are the classes."""

LONGEST_ID, MAX_QUESTIONS, MAX_OPTIONS, MAX_CLASSES = 60, 64, 32, 1000
"""What a rubric may have, and so what one answer of the page may hold; a question can also offer all classes."""

_LETTERS_OF_THE_PAGE = set("arucgip")
_LARGEST_BYTES = 1_000_000
_LONGEST_SCALE = 10
_LONGEST_REPEATED = 80
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They make a text read otherwise than it is written."""


def _is_id(text: str) -> str:
    if not text.replace("_", "a").isalnum() or not text.isascii() or len(text) > LONGEST_ID:
        raise ValueError(f"letters, digits and _ only, at most {LONGEST_ID}")
    return text


def _is_legible(text: str, allowed: str = "") -> str:
    for character in text:
        kind = unicodedata.category(character)
        if (kind in ("Cc", "Cs", "Zl", "Zp") and character not in allowed) or character in _REORDERING:
            raise ValueError(
                f"the character U+{ord(character):04X} is not allowed, as are line breaks, control characters and "
                "marks that turn the direction of text"
            )
    if text and all(unicodedata.category(one)[0] in "CZ" for one in text):
        raise ValueError("the text is blank")
    return text


def _is_legible_text(text: str) -> str:
    return _is_legible(text, allowed="\n\t")


Id = Annotated[str, AfterValidator(_is_id)]
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400), AfterValidator(_is_legible)
]
Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100), AfterValidator(_is_legible)]
Definition = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000), AfterValidator(_is_legible_text)]
GuideName = Annotated[str, StringConstraints(min_length=1, max_length=400), AfterValidator(_is_legible)]


class Option(StageConfig):
    """One answer of a question."""

    id: Id
    text: Text


class Question(StageConfig):
    """`choice`: one option; `many`: any options; `scale`: 1 to `levels`; `yes_no`: true or false.

    A choice with `options_from: classes` offers the classes of the queue. `key` opens the question on the page.
    """

    id: Id
    text: Text
    kind: Literal["choice", "scale", "many", "yes_no"]
    options: tuple[Option, ...] = Field((), max_length=MAX_OPTIONS)
    options_from: Literal["classes"] | None = None
    levels: int = Field(5, ge=2, le=_LONGEST_SCALE, strict=True)
    low: Label = ""
    high: Label = ""
    key: Annotated[str, Field(pattern=r"^[a-z]$")] | None = None
    is_required: StrictBool = False

    @model_validator(mode="after")
    def _is_askable(self) -> Self:
        offers = self.kind in ("choice", "many")
        if offers and not self.options and self.options_from is None:
            raise ValueError(f"a question of kind {self.kind} needs options")
        if not offers and (self.options or self.options_from):
            raise ValueError(f"a question of kind {self.kind} has no options")
        if self.options and self.options_from:
            raise ValueError("options and options_from exclude each other")
        if self.key in _LETTERS_OF_THE_PAGE:
            raise ValueError(
                f"the key {self.key!r} is the page's own, as are a, r, u, c (comment), g (grid), i (guide), p (pause)"
            )
        if self.id == ORIGIN and {option.id for option in self.options} != {"real", "generated"}:
            raise ValueError("the question `origin` must offer exactly `real` and `generated`: the report counts these")
        return self


class Reason(StageConfig):
    """A reason to reject, on the digit key."""

    key: int = Field(ge=1, le=9, strict=True)
    id: Id
    text: Text


class ClassDefinition(StageConfig):
    """What a class looks like; `guides` are images beside the rubric or in the workspace."""

    text: Definition = ""
    guides: tuple[GuideName, ...] = ()


class Rubric(StageConfig):
    """What reviewers are asked."""

    questions: tuple[Question, ...] = Field((), max_length=MAX_QUESTIONS)
    reasons: tuple[Reason, ...] = Field(min_length=1, max_length=9)
    classes: dict[str, ClassDefinition] = Field(default_factory=dict, max_length=MAX_CLASSES)


def load_rubric(path: str | Path | None = None) -> Rubric:
    """The rubric of a YAML file, or the shipped one.

    Raises:
        DataError: no such file, or a fault in it, with file, line and column; several are a FaultsError.
    """
    return load_placed_rubric(path)[0]


def load_placed_rubric(path: str | Path | None = None) -> tuple[Rubric, Callable[[KeyPath], str]]:
    """`load_rubric`, and what tells where in the file (``file:line:column``) a part of the rubric stands."""
    shipped = resources.files("tenfold.review") / DEFAULT_RUBRIC
    content = shipped.read_bytes() if path is None else _bytes(Path(path))
    rubric, source = _read(content, DEFAULT_RUBRIC if path is None else str(path))
    return rubric, source.place


def read_rubric(content: bytes, name: str) -> Rubric:
    """The rubric of YAML in UTF-8; `name` stands for the file in messages. Raises as `load_rubric` does."""
    return _read(content, name)[0]


def _read(content: bytes, name: str) -> tuple[Rubric, Placed]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError("the rubric is not UTF-8", where=f"{name}:{line}", expected="YAML saved as UTF-8") from None
    source = read_placed(text, name)
    if not isinstance(source.data, dict):
        raise DataError(
            "the rubric is empty" if source.data is None else "the rubric is no mapping",
            where=source.place(()),
            expected="reasons, questions and classes",
            todo="Begin with a copy of the shipped one.",
        )
    faults = Faults()
    try:
        rubric = Rubric.model_validate(source.data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        for fault in details:
            # A list whose only item is refused is then also found too short: once is enough.
            inner = [other for other in details if other["loc"][: len(fault["loc"])] == fault["loc"]]
            if fault["type"] != "too_short" or len(inner) == 1:
                faults.add(_fault(source, fault["loc"], fault["msg"]))
        faults.raise_if_any()
        raise
    for location, value in _doubles(rubric):
        faults.add(_fault(source, location, f"{value!r} is given more than once"))
    faults.raise_if_any()
    return rubric, source


def check_answers(
    rubric: Rubric, reasons: Sequence[str], answers: Mapping[str, Any], labels: Sequence[str] = ()
) -> None:
    """Raise DataError when a reason, question or answer is not the rubric's; `labels`: the classes of the queue.

    What is missing is no fault: a reviewer may be interrupted, and the page asks for what is required.
    """
    known = {reason.id for reason in rubric.reasons}
    if strange := [reason for reason in reasons if reason not in known]:
        raise DataError(
            f"{strange[0]!r} is no reason of the rubric", where="reasons", expected=", ".join(sorted(known))
        )
    questions = {question.id: question for question in rubric.questions}
    for name, answer in answers.items():
        if name not in questions:
            raise DataError(f"{name!r} is no question of the rubric", where="answers", expected=", ".join(questions))
        expected = _mismatch(questions[name], answer, labels)
        if expected:
            shown = repr(answer)
            if len(shown) > _LONGEST_REPEATED:
                shown = f"{shown[:_LONGEST_REPEATED]}..."
            raise DataError(f"{name} cannot be {shown}", where=f"answers.{name}", expected=expected)


def _mismatch(question: Question, answer: Any, labels: Sequence[str]) -> str:
    """What was expected; empty when the answer fits."""
    offered = list(labels) if question.options_from else [option.id for option in question.options]
    match question.kind:
        case "yes_no":
            return "" if isinstance(answer, bool) else "true or false"
        case "scale":
            fits = type(answer) is int and 1 <= answer <= question.levels
            return "" if fits else f"a whole number from 1 to {question.levels}"
        case "choice":
            return "" if isinstance(answer, str) and answer in offered else f"one of {', '.join(offered)}"
        case "many":
            fits = isinstance(answer, list) and all(isinstance(one, str) and one in offered for one in answer)
            return "" if fits and len(set(answer)) == len(answer) else f"a list of some of {', '.join(offered)}"


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"the rubric cannot be read: {error.strerror}",
            where=str(path),
            expected="a YAML file",
            todo="See review.rubric.",
        ) from error
    if len(content) > _LARGEST_BYTES:
        raise DataError("the rubric is too large", where=str(path), expected=f"at most {_LARGEST_BYTES:,} bytes")
    return content


def _fault(source: Placed, location: tuple[int | str, ...], message: str) -> DataError:
    key = ".".join(str(part) for part in location) or "the rubric"
    if location[-1:] == ("[key]",) or message == "Keys should be strings":
        key, message = "a key", "it is read as a number, a date or yes/no, not as a name: put it in quotes"
    return DataError(f"{key}: {message.removeprefix('Value error, ')}", where=source.place(location))


def _doubles(rubric: Rubric) -> Iterator[tuple[tuple[int | str, ...], str | int]]:
    """Places of ids and keys that an earlier one has already."""
    seen: set[tuple[object, ...]] = set()

    def is_double(*what: object) -> bool:
        if what in seen:
            return True
        seen.add(what)
        return False

    for number, question in enumerate(rubric.questions):
        if is_double("question", question.id):
            yield ("questions", number, "id"), question.id
        if question.key and is_double("key", question.key):
            yield ("questions", number, "key"), question.key
        for place, option in enumerate(question.options):
            if is_double("option", number, option.id):
                yield ("questions", number, "options", place, "id"), option.id
    for number, reason in enumerate(rubric.reasons):
        if is_double("reason", reason.id):
            yield ("reasons", number, "id"), reason.id
        if is_double("digit", reason.key):
            yield ("reasons", number, "key"), reason.key
