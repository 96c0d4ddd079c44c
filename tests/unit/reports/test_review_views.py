"""The review's section: figures with intervals, nobody named, and a banner where nobody looked."""

from __future__ import annotations

from pathlib import Path

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

ITEMS = [*made_up_items(12), *made_up_items(4, source="real")]


def _facts(judgements: list[Judgement], *, auto_accept: bool = False) -> dict[str, object]:
    decided = decide(ITEMS, judgements, "any_reject")
    names = ("Dr Ann <b>", "Dr Bob")
    counts = {name: sum(one.reviewer == name for one in judgements) for name in names}
    places = [ReaderPlace(name, "reviewer", 16, counts[name], 0) for name in names]
    severities = {item.image_id: item.severity for item in ITEMS}
    return {
        "facts": {"sets": ["drawn"], "auto_accept": auto_accept},
        "summary": to_plain(summarize(ITEMS, decided, judgements, places, seed=1)),
        "coverage": to_plain(tally(ITEMS, decided, Targets(total=100), severities)),
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


def _read(folder: Path, judgements: list[Judgement], *, auto_accept: bool = False) -> ReviewView | None:
    workspace = Workspace.create(folder / "w", name="w", root_seed=1, data_license="none")
    facts = _facts(judgements, auto_accept=auto_accept)
    write_json_atomic(workspace.resolve("review/results/summary.json"), facts)
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
    assert "about 138" in page  # (100 - 8) / (8 / 12)


def test_where_nobody_looked_a_banner_says_so(tmp_path: Path) -> None:
    review = _read(tmp_path, [], auto_accept=True)
    assert review is not None and review.banner is not None
    page = _page(review)
    assert "Unreviewed. Nobody looked" in page and "--auto-accept" in page and "Did they agree" not in page


def test_part_of_it_unreviewed_is_counted(tmp_path: Path) -> None:
    review = _read(tmp_path, _judgements()[:5], auto_accept=True)
    assert review is not None and "7 of the 12" in (review.banner or "")


def test_no_review_is_said_to_be_missing(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w", name="w", root_seed=1, data_license="none")
    assert read_review(workspace, ["drawn"]) is None
    write_json_atomic(workspace.resolve("review/results/summary.json"), _facts(_judgements()))
    assert read_review(workspace, ["another"]) is None
    assert "nobody reviewed" in _page(None)


def test_a_damaged_summary_is_told(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w", name="w", root_seed=1, data_license="none")
    path = workspace.resolve("review/results/summary.json")
    write_json_atomic(path, _facts(_judgements()))
    damaged = read_json(path)
    del damaged["summary"]["by_label"]
    write_json_atomic(path, damaged)
    with pytest.raises(DataError, match="decisions are kept elsewhere"):
        read_review(workspace, ["drawn"])


def test_the_figure_is_the_same_again() -> None:
    facts = _judgements()
    decided = decide(ITEMS, facts, "any_reject")
    summary = summarize(ITEMS, decided, facts, [], seed=1)
    coverage = tally(ITEMS, decided, Targets(), {})
    first, second = (review_view(summary, coverage, ["drawn"], auto_accept=False) for _ in range(2))
    assert accept_rate_figure(first.accept_rates) == accept_rate_figure(second.accept_rates)
