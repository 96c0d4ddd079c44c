"""What only the lead sees, in a browser: every image by origin, comparisons, and the review in figures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.review.needs import NO_DRIVER, needs_browser

pytest.importorskip("playwright", reason=NO_DRIVER)

from playwright.sync_api import Browser, Page, expect

from tests.browser.review.served import (
    DERIVED,
    DESK,
    N_IMAGES,
    N_REAL,
    Served,
    Words,
    open_page,
)

pytestmark = needs_browser

RAO, OKAFOR, LEAD = "Dr Rao", "Dr Okafor", "Lead"


@pytest.fixture(scope="module")
def page(browser: Browser, shared: Served) -> Iterator[Page]:
    """The lead's, once two reviewers have judged all: they disagree on some, and say what is generated."""
    accepted: Words = ("accept", (), {"origin": "generated"})
    rejected: Words = ("reject", ("hallucinated_feature",), {"origin": "real"})
    for name, words in ((RAO, (accepted, accepted, rejected)), (OKAFOR, (rejected, rejected, accepted))):
        shared.invite(name)
        shared.judge(name, [words[number % 3] for number in range(N_IMAGES)])
    shared.invite(LEAD, "lead")
    with browser.new_context(viewport=DESK) as context:  # type: ignore[arg-type]
        yield open_page(context, shared.link(LEAD))


def test_every_image_is_found_by_origin_and_verdict(page: Page) -> None:
    page.get_by_role("link", name="All images").click()
    page.get_by_text(f"{N_IMAGES} images").wait_for()
    page.get_by_label("Origin").select_option("real")
    page.get_by_text(f"{N_REAL} images").wait_for()
    assert {text.split("\n")[1].split(" · ")[0] for text in page.locator(".tile").all_inner_texts()} == {"Real"}
    page.get_by_label("Origin").select_option("")
    page.get_by_label("Verdict").select_option("accepted")
    expect(page.locator(".grid-count")).not_to_have_text(f"{N_IMAGES} images")
    assert {one.get_attribute("data-sign") for one in page.locator(".tile").all()} <= {"accepted", "disputed"}
    page.get_by_label("Verdict").select_option("")
    page.get_by_text(f"{N_IMAGES} images").wait_for()


def test_an_image_is_compared_with_its_source_its_nearest_and_what_audits_found(page: Page) -> None:
    page.get_by_role("link", name="All images").click()
    page.locator(".tile", has_text=DERIVED).click()
    strip = page.locator(".strip button")
    expect(strip).to_have_count(2)
    expect(strip.nth(0)).to_contain_text("Source")
    expect(strip.nth(1)).to_contain_text("similarity 0.97")
    sides = page.locator(".side")
    expect(sides.nth(0).get_by_alt_text("This image")).to_be_visible()
    expect(sides.nth(1).get_by_alt_text("Source")).to_be_visible()
    page.keyboard.press("2")
    expect(sides.nth(1).get_by_alt_text("Nearest 1")).to_be_visible()
    for _ in range(2):
        page.keyboard.press("+")
    widths = [side.locator(".stage-image").bounding_box() for side in sides.all()]
    assert widths[0] is not None and widths[1] is not None
    assert widths[0]["width"] == pytest.approx(widths[1]["width"], rel=0.02), "both sides zoom together"
    flags = page.locator(".flag")
    expect(flags).to_have_count(2)
    expect(page.locator(".flag.is-flagged")).to_contain_text("memorization flagged0.97nearer than training images")
    expect(page.locator(".compare-panel")).to_contain_text(RAO)
    before = page.url
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda address: address != before)
    page.keyboard.press("Escape")
    page.get_by_text(f"{N_IMAGES} images").wait_for()


def test_the_dashboard_shows_every_figure_with_its_interval_and_count(page: Page) -> None:
    page.get_by_role("link", name="Dashboard").click()
    page.get_by_role("heading", name="The review in figures").wait_for()
    told = json.loads(page.evaluate("fetch('/api/dashboard').then((answer) => answer.text())"))
    summary = told["summary"]
    shown = page.locator("main").inner_text().replace("\xa0", " ")
    assert "Where reviewers differ, the adjudicator decides." in shown
    for one in summary["readers"]:
        if one["name"] in (RAO, OKAFOR):
            row = page.locator("tr", has=page.get_by_role("rowheader", name=one["name"], exact=True)).first
            words = row.inner_text()
            assert f"{N_IMAGES} of {N_IMAGES}" in words
            for key in ("accept_rate", "real_accept_rate"):
                assert f"{_words(one[key])}, n = {one[key]['n_images']}" in words
            assert f"{one['median_seconds']:.1f}" in words
    for group in ("by_label", "by_strategy", "by_skin_type", "by_prompt"):
        assert summary[group]
        for row in summary[group]:
            assert row["value"] in shown and _words(row["share"]) in shown
    assert summary["reasons"]
    for row in summary["reasons"]:
        assert _words(row["share"]) in shown
    assert "Hallucinated feature" in shown
    found = summary["detection"]
    for one in (found["together"], *found["by_reviewer"], *found["by_label"]):
        for key in ("balanced", "synthetic_told", "real_told"):
            assert _words(one[key]) in shown, (one["name"], key)
    agreed = summary["agreement"]
    assert _words(agreed["percent"]) in shown and f"{agreed['fleiss_kappa']['value']:.2f}" in shown
    price = summary["effort"]["minutes_per_accepted"]
    tile = page.locator(".figure", has_text="minutes per accepted image").inner_text()
    assert f"{price['value']:.2f}" in tile and f"n = {price['n_images']}" in tile
    tile = page.locator(".figure", has_text="told apart right").inner_text()
    together = found["together"]
    assert f"n = {together['balanced']['n_images']}" in tile
    assert f"({together['synthetic_told']['n_images']} synthetic, {together['real_told']['n_images']} real)" in tile
    assert "not how others would judge" in shown
    is_alike = summary["n_sources"] < summary["n_images"]
    assert ("take those of one source together" in shown) == is_alike


def test_the_dashboard_says_what_to_generate_more_of(page: Page) -> None:
    def with_goals(route: Any) -> None:
        told = route.fetch().json()
        rate = {"value": 0.5, "low": 0.3, "high": 0.7, "n_images": 12, "method": "Wilson"}
        told["coverage"]["goals"] = [
            {"kind": "severity", "value": "mild", "set": "first", "wanted": 50, "accepted": 8, "undecided": 0,
             "missing": 42, "yield_rate": rate, "to_draw": 84, "to_draw_low": 60, "to_draw_high": 140,
             "why_unknown": ""},
            {"kind": "severity", "value": "moderate", "set": "first", "wanted": 50, "accepted": 0, "undecided": 0,
             "missing": 50, "yield_rate": rate, "to_draw": None, "to_draw_low": None, "to_draw_high": None,
             "why_unknown": "none_asked"},
            {"kind": "total", "value": "", "set": "first", "wanted": 10, "accepted": 10, "undecided": 0, "missing": 0,
             "yield_rate": rate, "to_draw": 0, "to_draw_low": 0, "to_draw_high": 0, "why_unknown": ""},
        ]  # fmt: skip
        told["summary"] |= {"shown_as_asked": {"mole": rate}, "class_was_told": True}
        route.fulfill(json=told)

    page.route("**/api/dashboard", with_goals)
    page.goto("about:blank")
    page.go_back()
    page.get_by_text("Severity mild, set first: 42 are missing; draw about 84 more (60 to 140).").wait_for()
    page.get_by_text("Severity moderate, set first: 50 are missing; no image was asked for it").wait_for()
    page.get_by_text("Each set has these targets of its own.").wait_for()
    expect(page.get_by_role("heading", name="Not contradicted")).to_be_visible()
    assert "They were told it" in page.locator("main").inner_text()
    row = page.locator("tr", has=page.get_by_role("rowheader", name="Severity mild"))
    assert "8 of 50" in row.inner_text() and "84 (60 to 140)" in row.inner_text()
    assert "10 of 10" in page.locator("tr", has=page.get_by_role("rowheader", name="All images")).inner_text()
    page.unroute("**/api/dashboard")


def _words(figure: dict[str, Any]) -> str:
    """As the page writes a share."""
    if figure["value"] is None:
        return "no figure yet"
    if figure["low"] is None:
        return f"{_percent(figure['value'])} (too few for an interval)"
    return f"{_percent(figure['value'])} ({_percent(figure['low'])} to {_percent(figure['high'])})"


def _percent(share: float) -> str:
    """Halves go up, as a browser writes them."""
    return f"{math.floor(100 * share + 0.5)}%"
