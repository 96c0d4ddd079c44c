"""The review's section: figures with intervals, nobody named, and a banner where nobody looked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import DataError
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.plain import to_plain
from tenfold.core.workspace import Workspace
from tenfold.reports.pictures import data_address
from tenfold.reports.review_views import SHARE, ReviewView, accept_rate_figure, read_review, review_view
from tenfold.reports.templating import page_environment
from tenfold.review.consensus import decide
from tenfold.review.coverage import Targets, tally
from tenfold.review.records import Judgement
from tenfold.review.summary import ReaderPlace, summarize
from tests.review_workspace import judgement, made_up_items

SUMMARY = "review/results/main/summary.json"
ITEMS = [*made_up_items(12), *made_up_items(4, source="real")]


FINISHED = {
    "sets": ["drawn"], "n_images": 12, "wait_bypassed": False, "unlooked": 0, "disputed_open": 0,
    "reviewers_finished": 2, "reviewers_needed": 2,
}  # fmt: skip
BYPASSED = {**FINISHED, "wait_bypassed": True, "reviewers_finished": 0}


def _contents(judgements: list[Judgement], facts: Mapping[str, Any] = FINISHED) -> dict[str, object]:
    decided = decide(ITEMS, judgements, "any_reject")
    names = ("Dr Ann <b>", "Dr Bob")
    counts = {name: sum(one.reviewer == name for one in judgements) for name in names}
    places = [ReaderPlace(name, "reviewer", 16, counts[name], 0) for name in names]
    return {
        "facts": facts,
        "summary": to_plain(summarize(ITEMS, decided, judgements, places, seed=1)),
        "coverage": to_plain(tally(ITEMS, decided, Targets(total=100), {})),
    }


def _judgements() -> list[Judgement]:
    return [
        judgement(
            item.image_id, "reject" if n < 4 - number else "accept", name,
            answers={"origin": "generated" if n % 2 else "real"}, reasons=("wrong_condition",) if n < 2 else (),
        )
        for number, name in enumerate(("Dr Ann <b>", "Dr Bob"))
        for n, item in enumerate(ITEMS)
    ]  # fmt: skip


def _read(folder: Path, judgements: list[Judgement], facts: Mapping[str, Any] = FINISHED) -> ReviewView | None:
    workspace = Workspace.create(folder / "w", name="w", root_seed=1, data_license="none")
    write_json_atomic(workspace.resolve(SUMMARY), _contents(judgements, facts))
    return read_review(workspace, ["drawn", "other"])


def _page(review: ReviewView | None) -> str:
    text = '{% import "macros.html.j2" as m with context %}{% include "review.html.j2" %}'
    contents = {"review": review, "missing": {}}
    address = data_address(accept_rate_figure(review.accept_rates).encode(), "image/svg+xml") if review else ""
    template = page_environment().from_string(text)
    return template.render(contents=contents, share_metric=SHARE, accept_rates_address=address)


def test_the_section_shows_the_figures_and_names_nobody(tmp_path: Path) -> None:
    review = _read(tmp_path, _judgements())
    assert review is not None and (review.accepted, review.rejected, review.banner) == (8, 4, None)
    page = _page(review)
    assert "66.7 %" in page and "wrong condition" in page and "Fleiss" in page and "cannot tell" in page
    assert "reviewer 1 and reviewer 2" in page and "Ann" not in page and "Bob" not in page
    assert "about 139 (103 to 241)" in page and "of all sets of the review together" in page
    assert "with these reviewers" in page and "images as independent" in page
    assert "all reviewers, 12 synthetic and 4 real images" in page


def test_each_reviewers_steadiness_is_shown(tmp_path: Path) -> None:
    again = [
        judgement(item.image_id, "reject" if n < 5 else "accept", name, "repeat")
        for name in ("Dr Ann <b>", "Dr Bob")
        for n, item in enumerate(ITEMS)
    ]
    page = _page(_read(tmp_path, [*_judgements(), *again]))
    for words in ("own chance", "second look and first, reviewer 1", "second look and first, reviewer 2"):
        assert words in page


def test_images_of_few_sources_are_told(tmp_path: Path) -> None:
    contents = _contents(_judgements())
    contents["summary"]["n_sources"] = 3  # type: ignore[index]
    workspace = Workspace.create(tmp_path / "w", name="w", root_seed=1, data_license="none")
    write_json_atomic(workspace.resolve(SUMMARY), contents)
    page = _page(read_review(workspace, ["drawn"]))
    assert "made from 3 source images" in page and "images as independent" not in page


def test_where_nobody_looked_a_banner_says_so(tmp_path: Path) -> None:
    review = _read(tmp_path, [], {**BYPASSED, "unlooked": 12})
    assert review is not None and review.banner is not None
    page = _page(review)
    assert "Unreviewed." in page and "--auto-accept" in page and "Did they agree" not in page
    assert "Nobody looked at the synthetic images" in page and "differ" not in review.banner


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"unlooked": 7}, "Unreviewed. | at 7 of the 12 synthetic images that classifiers learned from"),
        ({"disputed_open": 1, "reviewers_finished": 2}, "Not fully reviewed. | On 1 image reviewers differ"),
        ({"unlooked": 2, "disputed_open": 3}, "at 2 of the 12 | On 3 images reviewers differ, and nobody settled it"),
        ({"reviewers_finished": 1}, "Not fully reviewed. | 1 of the 2 reviewers asked for had finished"),
    ],
)
def test_a_banner_says_what_was_not_judged(tmp_path: Path, facts: dict[str, int], words: str) -> None:
    review = _read(tmp_path, _judgements(), {**BYPASSED, **facts})
    assert review is not None and all(part in (review.banner or "") for part in words.split(" | "))
    assert ("Nobody looked" in (review.banner or "")) == ("unlooked" in facts)


def test_no_review_is_said_to_be_missing(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w", name="w", root_seed=1, data_license="none")
    assert read_review(workspace, ["drawn"]) is None
    write_json_atomic(workspace.resolve(SUMMARY), _contents(_judgements()))
    assert read_review(workspace, ["another"]) is None
    assert "nobody reviewed" in _page(None)


def test_a_damaged_summary_is_told(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w", name="w", root_seed=1, data_license="none")
    path = workspace.resolve(SUMMARY)
    write_json_atomic(path, _contents(_judgements()))
    damaged = read_json(path)
    del damaged["summary"]["by_label"]
    write_json_atomic(path, damaged)
    with pytest.raises(DataError, match="decisions are kept elsewhere"):
        read_review(workspace, ["drawn"])


def test_targets_say_their_set_and_why_nothing_is_known() -> None:
    items = [replace(item, set=("first", "second")[n % 2]) for n, item in enumerate(made_up_items(12))]
    decided = decide(items, [judgement(item.image_id) for item in items if item.set == "first"], "any_reject")
    coverage = tally(items, decided, Targets(total=5, per_severity=9, scope="each_set"), {}, ("moderate",))
    view = review_view(summarize(items, decided, [], [], seed=1), coverage, FINISHED)
    rows = {row.name: row.to_draw for row in view.goals}
    assert view.is_by_set and rows["in all, set first"] == "reached"
    assert rows["in all, set second"] == "not known: none is decided"
    assert rows["severity moderate, set first"] == "not known: no image was asked for it"


def test_the_figure_is_the_same_again() -> None:
    facts = _judgements()
    decided = decide(ITEMS, facts, "any_reject")
    summary = summarize(ITEMS, decided, facts, [], seed=1)
    coverage = tally(ITEMS, decided, Targets(), {})
    first, second = (review_view(summary, coverage, FINISHED) for _ in range(2))
    assert accept_rate_figure(first.accept_rates) == accept_rate_figure(second.accept_rates)
