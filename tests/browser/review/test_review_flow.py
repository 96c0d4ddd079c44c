"""The review page in a real browser: people judge, change their minds, disagree, and see what came of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.review.needs import NO_DRIVER, needs_browser

pytest.importorskip("playwright", reason=NO_DRIVER)

from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.review.served import (
    DESK,
    TABLET,
    Served,
    open_page,
    served_review,
    wait_for_image,
    wait_until_saved,
)

pytestmark = needs_browser


@pytest.fixture
def page(context: BrowserContext, review: Served, name: str) -> Page:
    """The first image of a new reviewer."""
    opened = open_page(context, review.link(name))
    wait_for_image(opened, 1)
    return opened


def _open(browser: Browser, served: Served, name: str) -> Page:
    return open_page(browser.new_context(viewport=DESK), served.link(name))  # type: ignore[arg-type]


def _judge(page: Page, keys: list[str]) -> None:
    """Each entry is what is pressed for one image, from the first to the last."""
    for number, strokes in enumerate(keys, 1):
        wait_for_image(page, number)
        for stroke in strokes:
            page.keyboard.press(stroke)


def test_two_reviewers_and_an_adjudicator_judge_sixty_images(browser: Browser, tmp_path: Path) -> None:
    people = {"Dr Rao": "reviewer", "Dr Okafor": "reviewer", "Prof Lind": "adjudicator", "Lead": "lead"}
    with served_review(tmp_path / "sixty", people, n_images=60) as served:  # type: ignore[arg-type]
        rao, okafor = _open(browser, served, "Dr Rao"), _open(browser, served, "Dr Okafor")
        assert "token" not in rao.url
        _judge(rao, ["2r" if number % 5 == 0 else "o2a" for number in range(60)])
        _judge(okafor, ["a"] * 60)
        for page in (rao, okafor):
            page.get_by_role("heading", name="All images are judged").wait_for()
            wait_until_saved(page)
            expect(page.locator(".finished .warning")).to_be_hidden()
        said = served.standing()
        assert Counter((one.reviewer, one.verdict) for one in said) == {
            ("Dr Rao", "reject"): 12, ("Dr Rao", "accept"): 48, ("Dr Okafor", "accept"): 60,
        }  # fmt: skip
        assert {one.reasons for one in said if one.verdict == "reject"} == {("hallucinated_feature",)}
        assert Counter(one.answers.get("origin") for one in said if one.reviewer == "Dr Rao")["generated"] == 48
        assert all(one.seconds is not None and one.seconds < 60 for one in said)

        lind = _open(browser, served, "Prof Lind")
        assert lind.get_by_role("link", name="Disagreements").get_attribute("aria-current") == "page"
        disputed = {one.image_id for one in said if one.verdict == "reject"} & _synthetic(served)
        wait_for_image(lind, 1)
        lind.get_by_text("Reviewer 2").wait_for()
        assert {"Accepted", "Rejected"} == set(lind.locator(".opinion header span").all_inner_texts())
        assert not lind.get_by_text("Rao").count() and not lind.get_by_text("Okafor").count()
        for number in range(1, len(disputed) + 1):
            wait_for_image(lind, number)
            lind.keyboard.press("a")
        lind.get_by_role("heading", name="All images are judged").wait_for()
        wait_until_saved(lind)
        settled = [one for one in served.standing() if one.kind == "adjudication"]
        assert {one.image_id for one in settled} == disputed

        lead = _open(browser, served, "Lead")
        lead.get_by_role("heading", name="The review in figures").wait_for()
        row = lead.locator("tr", has=lead.get_by_role("rowheader", name="Dr Rao", exact=True)).first
        assert "60 of 60" in row.inner_text()
        assert lead.get_by_text(f"{len(disputed)} settled by an adjudicator").count() == 1


def test_a_judgement_is_taken_back_with_its_answers_and_given_anew(page: Page, review: Served, name: str) -> None:
    for key in ["e", "4", "Escape", "c"]:
        page.keyboard.press(key)
    page.keyboard.type("A rare variant")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    wait_for_image(page, 2)
    page.keyboard.press("u")
    wait_for_image(page, 1)
    assert page.get_by_role("textbox", name="Comment").input_value() == "A rare variant"
    assert page.get_by_role("radio", name="4").is_checked()
    assert page.locator(".badge").inner_text() == ""
    page.keyboard.press("3")
    page.keyboard.press("r")
    wait_for_image(page, 2)
    page.keyboard.press("ArrowLeft")
    wait_for_image(page, 1)
    assert page.locator(".badge").inner_text() == "You rejected it"
    wait_until_saved(page)
    told = review.decisions(name)
    assert [one.verdict for one in told] == ["accept", "none", "reject"]
    assert told[1].undoes == told[0].client_id
    assert (told[2].comment, told[2].answers, told[2].reasons) == (
        "A rare variant", {"realism": 4}, ("impossible_anatomy",)
    )  # fmt: skip
    page.reload()
    wait_for_image(page, 1)
    page.keyboard.press("u")
    expect(page.locator(".badge")).to_have_text("")
    wait_until_saved(page)
    assert not review.standing(name), "what was judged before the page was loaded anew can be taken back too"


def test_what_is_named_otherwise_than_it_is_meant_is_not_accepted(page: Page, review: Served, name: str) -> None:
    meant = page.locator(".meant b").inner_text()
    group = page.locator("fieldset", has=page.get_by_text("Which condition?"))
    other = next(one for one in group.locator(".chip span").all_inner_texts() if one != meant)
    group.locator(".chip", has_text=other).click()
    page.keyboard.press("a")
    expect(page.locator(".toast")).to_contain_text(f"meant to show {meant}, and you named {other}")
    assert page.get_by_text("Image 1 of 14").first.is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.keyboard.press("r")
    wait_for_image(page, 2)
    page.keyboard.press("g")
    expect(page.locator(".tile-caption").first).to_have_text(meant)
    wait_until_saved(page)
    [told] = review.standing(name)
    assert (told.verdict, told.reasons, told.answers["condition"]) == ("reject", ("wrong_condition",), other)


def test_a_key_held_down_judges_one_image(page: Page, review: Served, name: str) -> None:
    page.keyboard.down("a")
    wait_for_image(page, 2)
    for _ in range(5):
        page.keyboard.down("a")  # repeats, as of a key that stays down
    page.wait_for_timeout(300)
    assert page.get_by_text("Image 2 of 14").first.is_visible()
    wait_until_saved(page)
    assert len(review.decisions(name)) == 1


def test_many_are_judged_at_once_in_the_grid(page: Page, review: Served, name: str) -> None:
    page.keyboard.press("g")
    expect(page.locator(".tile img")).to_have_count(14)
    for key in ["Shift+ArrowRight", "Shift+ArrowRight", "1"]:
        page.keyboard.press(key)
    assert page.get_by_text("3 selected").is_visible()
    page.keyboard.press("r")
    expect(page.locator(".tile[data-sign=reject]")).to_have_count(3)
    page.locator(".tile").nth(5).click()
    page.locator(".tile").nth(6).click()
    page.get_by_role("button", name="Accept").click()
    expect(page.locator(".tile[data-sign=accept]")).to_have_count(2)
    page.keyboard.press("u")
    expect(page.locator(".tile[data-sign=accept]")).to_have_count(0)
    page.keyboard.press("s")
    page.keyboard.press("a")
    wait_until_saved(page)
    assert Counter(one.verdict for one in review.standing(name)) == {"reject": 3, "accept": 11}
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    wait_for_image(page, 1)
    assert page.locator(".badge").inner_text() == "You rejected it"


def test_a_hundred_thousand_images_are_scrolled_through(page: Page, review: Served) -> None:
    page.route("**/api/slots?*", _many_slots)
    page.route("**/api/image/many*", lambda route: route.fulfill(status=410, json={"what": "not drawn"}))
    page.goto(review.address + "/#/grid")
    page.reload()
    page.get_by_text("100,000 images").wait_for()
    page.locator("#slot-0").wait_for()
    assert page.locator(".tile").count() < 150
    page.keyboard.press("End")
    page.locator("#slot-99999").wait_for()
    assert page.locator("#slot-99999").get_attribute("aria-label") == "Image 100,000, open"
    assert page.locator(".tile").count() < 150
    assert page.locator(".windowed").get_attribute("aria-activedescendant") == "slot-99999"


def test_fingers_judge_on_a_tablet(browser: Browser, review: Served, name: str) -> None:
    with browser.new_context(viewport=TABLET, has_touch=True) as context:  # type: ignore[arg-type]
        page = open_page(context, review.link(name))
        wait_for_image(page, 1)
        page.locator(".group-reasons .chip", has_text="Hallucinated feature").tap()
        page.get_by_role("button", name="Reject").tap()
        wait_for_image(page, 2)
        page.get_by_role("button", name="Accept").tap()
        wait_for_image(page, 3)
        _swipe(page, 500, 200)
        wait_for_image(page, 4)
        _swipe(page, 200, 500)
        wait_for_image(page, 3)
        page.get_by_role("button", name="Undo").tap()
        wait_for_image(page, 2)
        wait_until_saved(page)
    assert [(one.verdict, one.reasons) for one in review.decisions(name)] == [
        ("reject", ("hallucinated_feature",)), ("accept", ()), ("none", ())
    ]  # fmt: skip


def _swipe(page: Page, start: int, end: int) -> None:
    session = page.context.new_cdp_session(page)
    for kind, x in (("touchStart", start), ("touchMove", (start + end) // 2), ("touchMove", end)):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": 300}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(300)  # a browser takes a tap right after a swipe for the end of the swipe


def _many_slots(route: Route) -> None:
    asked = {name: value[0] for name, value in parse_qs(urlsplit(route.request.url).query).items()}
    start, count = int(asked["start"]), int(asked["count"])
    slots: list[dict[str, object]] = [
        {"slot": f"many{position:06}", "position": position, "verdict": None, "client_id": None, "reasons": [],
         "answers": {}, "comment": "", "is_faulty": False}
        for position in range(start, min(start + count, 100_000))
    ]  # fmt: skip
    route.fulfill(json={"kind": "queue", "total": 100_000, "start": start, "plan_version": 1, "slots": slots})


def _synthetic(served: Served) -> set[str]:
    with served.store() as store:
        return {item.image_id for item in store.items() if item.source == "synthetic"}
