"""The report stage, on a made-up finished study."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import DataError
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.evaluation.contents import Evaluation, OriginRow
from tenfold.reports.config import ReportConfig
from tenfold.reports.run import run
from tests.report_workspace import (
    LABELS,
    SET,
    bare,
    make_evaluation,
    make_report_workspace,
    not_testable,
    write_run_record,
)

MOST_BYTES = 5_000_000
TIMINGS = re.compile(r'<section id="timings".*?</section>', re.DOTALL)


def make_report(workspace: Workspace, **settings: Any) -> Result:
    with SerialExecutor() as executor:
        return run(ReportConfig(**settings), workspace, executor, NullProgress())


def page_of(workspace: Workspace) -> str:
    return (workspace.path / "report/report.html").read_text(encoding="utf-8")


def plain_text(page: str) -> str:
    """What a reader sees, as one line."""

    class Text(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.parts: list[str] = []
            self.hidden = 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.hidden += tag == "style"

        def handle_endtag(self, tag: str) -> None:
            self.hidden -= tag == "style"

        def handle_data(self, data: str) -> None:
            if not self.hidden:
                self.parts.append(data)

    reader = Text()
    reader.feed(page)
    return " ".join(" ".join(reader.parts).split())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_report_workspace(tmp_path_factory.mktemp("original") / "study").path


@pytest.fixture
def study(tmp_path: Path, original: Path) -> Workspace:
    """A study of its own for each test."""
    return Workspace.open(shutil.copytree(original, tmp_path / "study"))


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory, original: Path) -> Workspace:
    """A study with its report, to be looked at only."""
    workspace = Workspace.open(shutil.copytree(original, tmp_path_factory.mktemp("reported") / "study"))
    summary = make_report(workspace).summary
    assert summary["verdict"] == "no_evidence"
    assert summary["page_bytes"] < MOST_BYTES
    return workspace


def test_the_page_answers_first_and_holds_every_section(reported: Workspace) -> None:
    text = plain_text(page_of(reported))
    for words in (
        "No evidence that synthetic images help",
        "+0.4 points (95 % interval \u22121.7 to +2.5)",
        "test images 240",
        "Research evidence, not a medical device",
        "The images are computer-drawn phantoms",
        "Beside each stands the real training image",
        "Headroom. With other real images in the place of the synthetic ones, macro AUROC differs by +9.1 points",
        "Sensitivity falls: scaly patch of skin.",
        "V-VI too few",
        "The sealed rows and the scored rows have the same hash",
        "CC0 1.0 (made-up images)",
        "tenfold run recipe.yaml --workspace NEW_FOLDER",
        "Level at which partitions are disjoint",
        "For the authors:",
    ):
        assert words in text


def test_the_report_holds_every_estimate_with_its_counts(reported: Workspace) -> None:
    report = read_json(reported.path / "report/report.json")
    assert Evaluation.from_json(report["evaluation"]) == make_evaluation()
    first = report["evaluation"]["comparisons"][0]["difference"]
    assert {"value", "low", "high", "n_images", "n_patients"} <= set(first)
    assert report["gallery"]["classes"][0]["label"] == LABELS[0]
    assert report["data"]["n_quarantined"] == 3
    assert "seconds" not in json.dumps(report)


def test_the_same_study_gives_the_same_bytes_but_for_the_timings(tmp_path: Path, study: Workspace) -> None:
    other = make_report_workspace(tmp_path / "elsewhere" / "again")
    record = read_json(other.path / "studies/main/run.json")
    slower = {**record, "seconds": 999.0, "started_at": "2027-01-01T00:00:00Z", "finished_at": "2028-01-01T00:00:00Z"}
    write_json_atomic(other.path / "studies/main/run.json", slower)
    for workspace in (study, other):
        make_report(workspace)
    assert sha256_file(study.path / "report/report.json") == sha256_file(other.path / "report/report.json")
    assert page_of(study) != page_of(other)
    assert TIMINGS.sub("", page_of(study)) == TIMINGS.sub("", page_of(other))


def test_a_finished_report_is_recognized_and_a_new_evaluation_makes_it_anew(study: Workspace) -> None:
    assert not make_report(study).was_finished
    assert make_report(study).was_finished
    write_json_atomic(study.path / "evaluation/main/evaluation.json", make_evaluation(0.03).to_json())
    again = make_report(study)
    assert (again.was_finished, again.summary["verdict"]) == (False, "helps")


def test_nothing_on_the_page_is_loaded_from_anywhere(reported: Workspace) -> None:
    page = page_of(reported)
    loaded = re.findall(r"""(?:src|href|srcset|action|poster|data)\s*=\s*["']([^"']*)""", page)
    assert loaded
    assert all(address.startswith(("data:image/", "#")) for address in loaded)
    for forbidden in ("url(", "@import", "<script", "<link", "<iframe", "http://", "https://"):
        assert forbidden not in page


def test_every_image_has_words_and_every_header_a_scope(reported: Workspace) -> None:
    page = page_of(reported)
    images = re.findall(r"<img[^>]*>", page)
    assert len(images) > 20
    assert all(re.search(r'alt="[^"]{5,}"', image) for image in images)
    headers = re.findall(r"<th\b[^>]*>", page)
    assert [header for header in headers if "scope=" not in header] == ["<th>"] * page.count("<tfoot")


def test_what_users_typed_is_shown_as_text(study: Workspace) -> None:
    make_report(study, title="<script>alert(1)</script>", question="Is 1 < 2 & 3?", trimmed=("<b>bold</b>",))
    page = page_of(study)
    assert "<script" not in page and "<b>bold" not in page
    assert "Is 1 &lt; 2 &amp; 3?" in page


def test_the_folders_of_whoever_ran_it_stay_out(study: Workspace) -> None:
    write_run_record(study, "intake", "data/intake", {"source": "/data/someone/private/ham5"})
    make_report(study)
    for name in ("report.html", "report.json"):
        text = (study.path / "report" / name).read_text(encoding="utf-8")
        assert "someone" not in text and str(study.path) not in text
    assert "ham5" in plain_text(page_of(study))


@pytest.mark.parametrize(("gain", "title"), [(0.03, "Synthetic images help"), (-0.06, "Synthetic images harm")])
def test_other_verdicts(tmp_path: Path, gain: float, title: str) -> None:
    workspace = make_report_workspace(tmp_path / "study", make_evaluation(gain))
    make_report(workspace)
    assert title in plain_text(page_of(workspace))


def test_a_banner_stands_above_the_answer_where_origin_gives_a_class_away(tmp_path: Path) -> None:
    evaluation = make_evaluation()
    origins = (OriginRow("synthetic_only", 8, LABELS[0], 20.0, 0.0, 0.0), *evaluation.origins)
    workspace = make_report_workspace(tmp_path / "study", replace(evaluation, origins=origins))
    make_report(workspace)
    page = page_of(workspace)
    assert "Origin gives the class away in" in (text := plain_text(page)) and "one class is all synthetic" in text
    assert page.index('id="origin-banner"') < page.index('id="verdict"')


def test_an_evaluation_without_its_primary_comparison_is_reported(tmp_path: Path) -> None:
    workspace = make_report_workspace(tmp_path / "study", not_testable(make_evaluation()))
    make_report(workspace)
    text = plain_text(page_of(workspace))
    assert "Only 2 seeds were run against real images only." in text
    assert "Not shown: the evaluation holds no primary comparison." in text


def test_an_evaluation_with_nothing_but_its_verdict_is_reported(tmp_path: Path) -> None:
    workspace = make_report_workspace(tmp_path / "study", bare(make_evaluation()))
    make_report(workspace)
    text = plain_text(page_of(workspace))
    for reason in (
        "the evaluation holds no learning curve", "no real-image equivalents were estimated",
        "the evaluation holds no confusion matrix at this size", "the evaluation holds no table of origins",
    ):  # fmt: skip
        assert f"Not shown: {reason}." in text


def test_without_patient_ids_groups_are_counted_as_groups(study: Workspace) -> None:
    path = study.path / "data/manifest.parquet"
    write_manifest(read_manifest(path).assign(patient_id=None), path)
    make_report(study)
    text = plain_text(page_of(study))
    assert "Images kept 90 of 45 groups" in text and "test groups 131" in text
    assert "Groups stay on one side of the split" in text
    assert not re.search(r"\d patients|test patients \d|Patients stay", text)
    assert read_json(study.path / "report/report.json")["unit"] == "group"


def _without_skin_types(workspace: Workspace) -> None:
    path = workspace.path / "data/manifest.parquet"
    manifest = read_manifest(path)
    write_manifest(manifest.assign(skin_type=None, skin_type_group=None), path)


def _without_a_picture(workspace: Workspace) -> None:
    for path in (workspace.path / f"synthetic/{SET}/images").iterdir():
        path.write_bytes(b"damaged")


def _without(*names: str) -> Callable[[Workspace], None]:
    def remove(workspace: Workspace) -> None:
        for name in names:
            path = workspace.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_without_skin_types, ["skin types: no skin types are recorded in the data"]),
        (_without_a_picture, ["not readable"]),
        (
            _without("synthetic", "data/quarantine.csv", "classifiers", "recipe.yaml"),
            [
                "Not shown: the study has no synthetic set with pictures.",
                "Not shown: no audit of this study's synthetic sets was found.",
                "Not shown: there is no data/quarantine.csv.",
                "No record of a classifier was found.",
                "Not shown: the workspace holds no recipe.",
            ],
        ),
        (
            _without("audits", "data/splits.json", "models"),
            [
                "Not shown: the nearest training images: no audit of the set",
                "There is no sealed split to compare with.",
                "No generator was fitted in this study.",
            ],
        ),
        (_without("studies"), ["Not shown: the study has no synthetic set with pictures."]),
        (_without("data/manifest.parquet"), ["Not shown: there is no data/manifest.parquet."]),
    ],
)
def test_what_is_missing_is_said_and_the_rest_is_shown(
    study: Workspace, damage: Callable[[Workspace], None], words: list[str]
) -> None:
    damage(study)
    make_report(study)
    text = plain_text(page_of(study))
    assert [part for part in words if part not in text] == []
    assert "No evidence that synthetic images help" in text


def test_without_an_evaluation_there_is_no_report(study: Workspace) -> None:
    shutil.rmtree(study.path / "evaluation")
    with pytest.raises(DataError, match="no evaluation to report"):
        make_report(study)
    assert not (study.path / "report/report.html").exists()


def test_a_damaged_evaluation_is_an_error_that_names_the_file(study: Workspace) -> None:
    path = study.path / "evaluation/main/evaluation.json"
    content = read_json(path)
    del content["verdict"]
    write_json_atomic(path, content)
    with pytest.raises(DataError, match="damaged") as caught:
        make_report(study)
    assert caught.value.where == str(path)


def test_the_command_of_the_author_is_printed(study: Workspace) -> None:
    make_report(study, command="tenfold demo")
    assert "tenfold demo" in plain_text(page_of(study))
