"""The intake page and its stage, on made-up facts: it answers first, escapes everything and loads nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import DataError
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.intake.contents import IntakeFacts
from tenfold.reports.config import IntakePageConfig
from tenfold.reports.intake_render import SECTION_NAMES
from tenfold.reports.intake_run import run_intake_page
from tests.intake_facts import (
    LONG,
    SCRIPT,
    confounded,
    healthy,
    make_intake_workspace,
    many_classes,
    nothing_kept,
    without_patients,
)

MOST_BYTES = 6_000_000
FACTS: dict[str, Callable[[], IntakeFacts]] = {
    "healthy": healthy,
    "confounded": confounded,
    "no_patients": lambda: without_patients(healthy()),
    "many": many_classes,
    "nothing": nothing_kept,
}


class Reader(HTMLParser):
    """Tags, attributes and text of a page, as a browser would take them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.parts: list[str] = []
        self.in_style = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.in_style += tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.in_style -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self.in_style:
            self.parts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())


def make_page(workspace: Workspace, **settings: Any) -> Result:
    with SerialExecutor() as executor:
        return run_intake_page(IntakePageConfig(**settings), workspace, executor, NullProgress())


def page_of(workspace: Workspace) -> str:
    return (workspace.path / "data/report/intake.html").read_text(encoding="utf-8")


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    made = {}
    for name, facts in FACTS.items():
        workspace = make_intake_workspace(tmp_path_factory.mktemp("intake") / name, facts())
        assert make_page(workspace).summary["page_bytes"] < MOST_BYTES
        made[name] = page_of(workspace)
    return made


def test_a_confounded_set_is_told_at_the_top(pages: dict[str, str]) -> None:
    text = read(pages["confounded"]).text
    for words in (
        "Can this data carry the study?", "Not ready for a study",
        "No: covid19 can be told from file facts alone (AUROC 0.98).", "stop Confounds. covid19 can be told",
        "images kept 184", "known patients 171", "test images, planned 46", "24.0 points",
        "not a medical device", "4 images allow no test of their own", "190 rows in = 184 kept + 6 set aside",
        "All file facts together confound", "0.968 to 0.992", "mostly image size and compression.",
        "different labels", "patient 2 of this cluster", "Missing file 2 images/z.jpg, line 77",
        "not checked too few images of viral_pneumonia", "AUROC: viral_pneumonia against all others",
    ):  # fmt: skip
        assert words in text
    assert "Mustermann" not in pages["confounded"]


def test_a_healthy_set_shows_every_part(pages: dict[str, str]) -> None:
    text = read(pages["healthy"]).text
    for words in (
        "Nothing found that stands in the way", "Training", "test images, sealed 861", "V-VI too few",
        "None of 12 tests tells a class from file facts.", "looks like melanoma.", "estimated from color 300", 
        "its name “dx” usually means label", "7 clusters, the 2 worst shown.",
        "Nothing vanished.", "10 of 1 240 images",
    ):  # fmt: skip
        assert words in text
    assert "\u221218" in text  # ITA of type VI with a true minus


def test_without_patient_ids_nothing_is_called_a_patient(pages: dict[str, str]) -> None:
    text = read(pages["no_patients"]).text
    assert "groups; patients not known" in text
    assert "images of one patient may lie on both sides" in text
    assert not re.search(r"\d patients|Patients", text)
    assert "Not shown: the data holds no skin types" in text


def test_an_import_that_kept_nothing_is_still_a_page(pages: dict[str, str]) -> None:
    text = read(pages["nothing"]).text
    assert "Not shown: no image was kept" in text
    # What nobody looked for is not said to be absent.
    assert "Not shown: duplicates were not looked for" in text and "None found" not in text
    assert "Not shown: single images were not checked" in text and "None stands out" not in text
    assert "16 577 rows in = 0 kept + 16 577 set aside" in text


@pytest.mark.parametrize("name", FACTS)
def test_every_section_is_there_and_every_link_has_a_place(pages: dict[str, str], name: str) -> None:
    reader = read(pages[name])
    ids = [value for _, attribute, value in reader.attributes if attribute == "id"]
    assert set(SECTION_NAMES) <= set(ids) and len(ids) == len(set(ids))
    links = {value for tag, attribute, value in reader.attributes if (tag, attribute) == ("a", "href")}
    assert {link.removeprefix("#") for link in links} <= set(ids)


@pytest.mark.parametrize("name", FACTS)
def test_nothing_is_loaded_from_anywhere_and_nothing_runs(pages: dict[str, str], name: str) -> None:
    reader = read(pages[name])
    loaded = [value for _, attribute, value in reader.attributes if attribute in ("src", "href", "srcset", "action")]
    assert all(value.startswith(("data:image/", "#")) for value in loaded)
    assert not {"script", "link", "iframe", "object", "form"} & set(reader.tags)
    assert not [attribute for _, attribute, _ in reader.attributes if attribute.startswith("on")]
    for forbidden in ("url(", "@import", "<script", "http://", "https://"):
        assert forbidden not in pages[name]
    assert "default-src 'none'" in pages[name]


@pytest.mark.parametrize("name", FACTS)
def test_pictures_have_words_and_headers_a_scope(pages: dict[str, str], name: str) -> None:
    images = re.findall(r"<img[^>]*>", pages[name])
    assert name == "nothing" or len(images) > 20
    assert all(re.search(r'alt="[^"]{5,}"', image) for image in images)
    headers = re.findall(r"<th\b[^>]*>", pages[name])
    assert all("scope=" in header or header == "<th>" for header in headers)
    assert headers.count("<th>") == pages[name].count("<tfoot")


def test_what_came_with_the_data_is_shown_as_text(pages: dict[str, str]) -> None:
    page, reader = pages["many"], read(pages["many"])
    assert SCRIPT in reader.text and LONG in reader.text
    assert "naïve & <b>bold</b>" in reader.text and "皮膚線維腫" in reader.text
    assert "<bdi>ë\u202egnorw</bdi>" in page  # a letter that turns the direction of text stays in its cage
    assert page.count("&lt;script&gt;") > 100


def test_much_data_stays_readable(pages: dict[str, str]) -> None:
    text = read(pages["many"]).text
    for words in (
        "312 clusters, the 24 worst shown.", "Show the other 28 classes", "Show the other 108 tests",
        "Show the other 28 subgroups", "and 2 800 more columns", "6 of 41 images",
    ):  # fmt: skip
        assert words in text
    assert "picture not readable" in text  # a path out of the workspace shows nothing


def test_a_picture_outside_the_workspace_is_not_shown(tmp_path: Path) -> None:
    facts = replace(healthy(), montage={"nevus": ("../outside.png", "data/images/none.png", "\0")})
    workspace = make_intake_workspace(tmp_path / "workspace", facts)
    inside = next((workspace.path / "data/images").iterdir())
    (tmp_path / "outside.png").write_bytes(inside.read_bytes())
    make_page(workspace)
    montage = page_of(workspace).partition("What the classes look like")[2].partition("<section")[0]
    assert "<img" not in montage and montage.count("picture not readable") == 3


def test_rows_that_do_not_add_up_are_not_hidden(tmp_path: Path) -> None:
    workspace = make_intake_workspace(tmp_path / "workspace", replace(healthy(), n_rows_in=4330))
    make_page(workspace)
    assert "These numbers do not add up" in read(page_of(workspace)).text


def test_the_same_facts_give_the_same_bytes_and_new_facts_a_new_page(tmp_path: Path) -> None:
    one = make_intake_workspace(tmp_path / "one", healthy())
    two = make_intake_workspace(tmp_path / "two", healthy())
    assert not make_page(one).was_finished
    assert make_page(one).was_finished
    make_page(two)
    for name in ("intake.html", "intake.json"):
        first, second = ((place.path / "data/report" / name).read_bytes() for place in (one, two))
        assert first == second
        assert str(tmp_path).encode() not in first
    write_json_atomic(one.path / "data/checks/summary.json", confounded().to_json())
    again = make_page(one)
    assert (again.was_finished, again.summary["state"]) == (False, "stop")
    assert again.summary["answer"] == confounded().answer
    assert read_json(one.path / "data/report/intake.json")["facts"]["state"] == "stop"


def test_the_authors_title_is_escaped(tmp_path: Path) -> None:
    workspace = make_intake_workspace(tmp_path / "workspace", healthy())
    make_page(workspace, title=SCRIPT)
    assert f"Intake of {SCRIPT}" in read(page_of(workspace)).text
    assert "<script" not in page_of(workspace)


def test_without_checks_the_error_says_what_to_run(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace", name="empty", root_seed=1, data_license="none")
    with pytest.raises(DataError, match="no facts to show") as caught:
        make_page(workspace)
    assert "tenfold data check" in str(caught.value.todo)


@pytest.mark.parametrize("damage", [{"state": "ok"}, [], {**healthy().to_json(), "classes": [1]}])
def test_damaged_facts_are_an_error_that_names_the_file(tmp_path: Path, damage: Any) -> None:
    workspace = make_intake_workspace(tmp_path / "workspace", healthy())
    write_json_atomic(workspace.path / "data/checks/summary.json", damage)
    with pytest.raises(DataError, match="damaged or of another version") as caught:
        make_page(workspace)
    assert caught.value.where is not None and caught.value.where.endswith("summary.json")


def test_a_class_whose_patients_nobody_told_has_no_number_of_them(tmp_path: Path) -> None:
    facts = healthy()
    classes = (replace(facts.classes[0], n_patients=0), *facts.classes[1:])
    workspace = make_intake_workspace(tmp_path / "workspace", replace(facts, classes=classes))
    make_page(workspace)
    assert 'data-label="patients">not known</td>' in page_of(workspace)
