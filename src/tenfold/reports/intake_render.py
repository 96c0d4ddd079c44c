"""The intake page's contents to one self-contained HTML page: pictures and figures inside it, nothing loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from jinja2 import Environment

from tenfold.reports import wording
from tenfold.reports.intake_contents import STATE_TITLES, IntakeContents, section_of
from tenfold.reports.intake_figures import skin_tone_plot
from tenfold.reports.intervals import Scale
from tenfold.reports.pictures import data_address, workspace_picture
from tenfold.reports.templating import page_environment

SECTION_NAMES = {
    "answer": "The answer",
    "checks": "The checks",
    "classes": "Classes and splits",
    "confounds": "Confounds",
    "power": "What the test can see",
    "duplicates": "Duplicates",
    "suspects": "Images to look at",
    "skin": "Skin types",
    "rows": "Rows and columns",
}
AUROC_SCALE = Scale(0.4, 1.04, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
_SPLIT_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}
_FACT_NAMES = {"all": "All file facts together"}
_LONGEST_NAME = 64
_NAME_HEAD, _NAME_TAIL = 44, 16


def render_intake_page(contents: IntakeContents, folder: Path) -> str:
    """The page. Picture paths are relative to `folder`, the workspace; one that cannot be read is named instead."""
    page = (
        _environment()
        .get_template("intake.html.j2")
        .render(
            contents=contents,
            facts=contents.facts,
            totals=contents.totals,
            picture=partial(workspace_picture, folder.resolve()),
            ita_address=_ita_address(contents),
        )
    )
    return page if page.endswith("\n") else page + "\n"


def brief(text: str) -> str:
    """The text, its middle left out when it is very long.

    >>> brief("a" * 60 + "b" * 60)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa … bbbbbbbbbbbbbbbb'
    """
    return text if len(text) <= _LONGEST_NAME else f"{text[:_NAME_HEAD]} … {text[-_NAME_TAIL:]}"


def fact_name(facts: str) -> str:
    """A kind of file facts in words.

    >>> fact_name("all"), fact_name("image size"), fact_name("attr.origin")
    ('All file facts together', 'Image size', 'Column “origin”')
    """
    if facts.startswith("attr."):
        return f"Column “{facts.removeprefix('attr.')}”"
    return _FACT_NAMES.get(facts, wording.capital(facts.replace("_", " ")))


def gist(sentence: str, answer: str) -> str:
    """The first of a check's sentences; where the answer holds it already, those after it, which say what to do.

    >>> [gist("2 files are blank. Look at them.", answer) for answer in ("Yes", "No: 2 files are blank.")]
    ['2 files are blank', 'Look at them.']
    """
    first, _, rest = sentence.partition(". ")
    return rest if rest and first in answer else first


def degrees(value: float) -> str:
    """An angle with one decimal.

    >>> degrees(-3.04)
    '\u22123.0'
    """
    return f"{value:.1f}".replace("-", wording.MINUS)


def subgroup_value(attribute: str, value: str) -> str:
    """A subgroup's value in words; one of the source's own columns as it stands there.

    >>> subgroup_value("site", "lower_leg"), subgroup_value("attr.archive", "nih_8")
    ('lower leg', 'nih_8')
    """
    own = attribute.startswith("attr.") and value.strip()
    return value if own else wording.attribute_value(attribute, value)


def split_name(split: str) -> str:
    """A split in words."""
    return _SPLIT_NAMES.get(split, split)


def share(part: float, whole: float) -> float:
    """Percent of the whole, 0 of nothing."""
    return round(100 * part / whole, 2) if whole else 0.0


def cut(rows: Sequence[object], most: int) -> tuple[Sequence[object], Sequence[object]]:
    """The first rows and the others; one row alone is not hidden."""
    return (rows, ()) if len(rows) <= most + 1 else (rows[:most], rows[most:])


@cache
def _environment() -> Environment:
    environment = page_environment()
    words: tuple[Callable[..., object], ...] = (brief, degrees, gist, fact_name, split_name, subgroup_value)
    environment.filters |= {function.__name__: function for function in words}
    environment.globals |= {
        "section_names": SECTION_NAMES,
        "state_titles": STATE_TITLES,
        "auroc_scale": AUROC_SCALE,
        "section_of": section_of,
        "share": share,
        "cut": cut,
    }
    return environment


def _ita_address(contents: IntakeContents) -> str | None:
    if not contents.ita or contents.facts.skin_tone is None:
        return None
    svg = skin_tone_plot(contents.ita, contents.facts.skin_tone.ita_by_type)
    return data_address(svg.encode("utf-8"), "image/svg+xml")
