"""Everybody can use the review page: by keyboard alone, with a screen reader, in both themes, on every width."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from tests.browser.review.needs import NO_DRIVER, needs_browser

pytest.importorskip("playwright", reason=NO_DRIVER)
pytest.importorskip("axe_playwright_python", reason=NO_DRIVER)

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from tests.browser.review.served import (
    DERIVED,
    DESK,
    PHONE,
    TABLET,
    Served,
    open_page,
    wait_for_image,
    wait_until_saved,
)

pytestmark = needs_browser

RAO, LIND, LEAD = "Dr Rao", "Prof Lind", "Lead"
VIEWS = {
    "judge": (RAO, "#/judge/2", ".stage-image"),
    "grid": (RAO, "#/grid", ".tile img"),
    "adjudicate": (LIND, "#/adjudicate/1", ".opinion"),
    "items": (LEAD, "#/items", ".tile img"),
    "compare": (LEAD, "#/items", ".tile img"),
    "dashboard": (LEAD, "#/dashboard", ".card"),
}
GROUND = {"light": "rgb(241, 243, 244)", "dark": "rgb(20, 24, 27)"}
LEAST_TARGET_PX = 44
SMALL_TARGETS = f"""() => [...document.querySelectorAll("button, a[href], select, textarea, input")]
    .map((one) => one.closest(".chip, .slider") ?? one).filter((one) => one.checkVisibility())
    .filter((one) => one.getBoundingClientRect().height < {LEAST_TARGET_PX} - 0.5)
    .map((one) => `${{one.getAttribute("aria-label") ?? one.innerText}}: ${{one.getBoundingClientRect().height}} px`)"""
FOCUS = """() => {
    const one = document.activeElement, shown = one.closest(".chip") ?? one;
    const isSeen = getComputedStyle(shown).outlineStyle !== "none" && shown.getBoundingClientRect().width > 0;
    return [one.ariaLabel || one.innerText || one.value || one.tagName, isSeen];
}"""


@dataclass
class Screens:
    """Pages of the people of one review, opened once each."""

    browser: Browser
    served: Served
    asked: set[str] = field(default_factory=set)
    _pages: dict[tuple[str, bool], Page] = field(default_factory=dict)

    def show(self, view: str, size: dict[str, int] = DESK) -> Page:
        """The view, settled, on a screen of that size; a desk's has no touch."""
        name, address, sign = VIEWS[view]
        has_touch = size != DESK
        if (name, has_touch) not in self._pages:
            context = self.browser.new_context(viewport=size, has_touch=has_touch, reduced_motion="reduce")  # type: ignore[arg-type]
            context.on("request", lambda request: self.asked.add(request.url))
            self._pages[name, has_touch] = open_page(context, self.served.link(name))
        page = self._pages[name, has_touch]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.goto(f"{self.served.address}/{address}")
        page.locator(sign).first.wait_for()
        if view == "compare":
            page.locator(".tile", has_text=DERIVED).first.click()
            page.locator(".strip img").first.wait_for()
        page.wait_for_load_state("networkidle")
        return page

    def close(self) -> None:
        for page in self._pages.values():
            page.context.close()


@pytest.fixture(scope="module")
def screens(browser: Browser, shared: Served) -> Iterator[Screens]:
    """Two reviewers have judged the first of their images, and differ; of one image an audit found something."""
    for name in (RAO, "Dr Okafor"):
        shared.invite(name)
    shared.invite(LIND, "adjudicator")
    shared.invite(LEAD, "lead")
    shared.judge(RAO, [("accept", (), {})] * 12)
    shared.judge("Dr Okafor", [("reject", ("poor_quality",), {"realism": 2})] * 12)
    made = Screens(browser, shared)
    yield made
    made.close()


def _faults(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}" for one in found]


def _check(page: Page) -> None:
    """Nothing for axe to say in either theme."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == GROUND[theme]
        assert not _faults(page), theme


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_fault(screens: Screens, view: str) -> None:
    page = screens.show(view)
    _check(page)
    if view == "dashboard":
        assert page.locator(".scroll[tabindex='0']").count() > 5, "wide tables scroll by keyboard too"


def _open_help(page: Page) -> None:
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()


def _open_guides(page: Page) -> None:
    page.keyboard.press("i")
    page.locator(".guide-image img").first.wait_for()


def _pause(page: Page) -> None:
    page.keyboard.press("p")
    page.get_by_role("dialog").wait_for()


def _lose_link(page: Page) -> None:
    page.context.set_offline(True)
    page.evaluate("fetch('/api/health').catch(() => 0)")
    page.keyboard.press("r")
    page.get_by_role("alert").wait_for()
    page.get_by_role("button", name="1 not saved").click()


def _damage(page: Page) -> None:
    page.route("**/api/image/*", lambda route: route.fulfill(status=410, json={"what": "gone"}))
    page.reload()
    page.locator(".fault").wait_for()


def _finish(page: Page) -> None:
    page.route("**/api/slots?*", lambda route: route.fulfill(json=_nothing_left))
    page.goto("about:blank")
    page.go_back()
    page.locator(".finished").wait_for()


def _sign_out(page: Page) -> None:
    page.route("**/api/me", lambda route: route.fulfill(status=401, json={"what": "the link was revoked"}))
    page.reload()
    page.locator(".alone-card").wait_for()


_nothing_left = {"kind": "queue", "total": 0, "start": 0, "plan_version": 1, "slots": []}


@pytest.mark.parametrize("act", [_open_help, _open_guides, _pause, _lose_link, _damage, _finish, _sign_out])
def test_axe_finds_no_fault_in_what_comes_up(browser: Browser, screens: Screens, act: Callable[[Page], None]) -> None:
    served = screens.served
    guest = served.invite(f"Dr {act.__name__}")
    with browser.new_context(viewport=DESK, reduced_motion="reduce") as context:  # type: ignore[arg-type]
        page = open_page(context, served.link(guest))
        wait_for_image(page, 1)
        act(page)
        _check(page)


@pytest.mark.parametrize("size", [DESK, TABLET, PHONE], ids=["desk", "tablet", "phone"])
def test_every_view_fits_its_screen_and_asks_nobody_else(screens: Screens, size: dict[str, int]) -> None:
    for view in VIEWS:
        page = screens.show(view, size)
        width, height = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        assert width <= size["width"] and height <= size["height"], view
        if view in ("judge", "adjudicate", "grid"):
            for button in ("Accept", "Reject"):
                box = page.locator(".verdict", has_text=button).bounding_box()
                assert box is not None and box["y"] + box["height"] <= size["height"], view
        if view in ("judge", "adjudicate"):
            shown = page.locator(".stage").bounding_box()
            assert shown is not None and shown["width"] * shown["height"] > 0.42 * size["width"] * size["height"], view
        if size != DESK:
            assert not page.evaluate(SMALL_TARGETS), view
    own = urlsplit(screens.served.address).netloc
    assert {urlsplit(url).netloc for url in screens.asked if not url.startswith("blob:")} == {own}


def test_a_keyboard_alone_judges_and_every_stop_is_seen(screens: Screens) -> None:
    page = screens.show("judge")
    names: list[str] = []
    for _ in range(80):
        page.keyboard.press("Tab")
        name, is_seen = page.evaluate(FOCUS)
        if names.count("Accept") and name == "Accept":
            break
        assert is_seen or name == "BODY" or "Tenfold" in name, f"no ring around {name}"
        names.append(name.split("\n")[0])
    assert {"One by one", "Grid", "Reject", "Accept", "Keys and help", "Brightness"} <= set(names)
    page.locator(".verdict-accept").focus()
    page.keyboard.press("Enter")
    wait_for_image(page, 13)
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    wait_until_saved(page)
    assert [one.verdict for one in screens.served.decisions(RAO)] == ["accept"] * 13
    assert page.locator("#spoken").get_attribute("aria-live") == "polite"
    expect(page.locator("#spoken")).to_contain_text("Image 13 of 14")


def test_an_image_is_looked_at_closely(screens: Screens) -> None:
    page = screens.show("judge")
    before = page.locator(".stage-image").bounding_box()
    for key in ["+", "+", "+", "]", "Shift+ArrowRight"]:
        page.keyboard.press(key)
    after = page.locator(".stage-image").bounding_box()
    assert before is not None and after is not None
    assert after["width"] == pytest.approx(before["width"] * 1.4**3, rel=0.01)
    assert page.evaluate("getComputedStyle(document.querySelector('.stage-image')).filter") == "brightness(1.1)"
    assert page.locator(".zoom-text").inner_text() == "274%"
    page.keyboard.press("0")
    assert page.locator(".stage-image").bounding_box() == before
    page.locator(".stage-frame").dblclick()
    assert page.locator(".zoom-text").inner_text() == "300%"
    page.keyboard.press("0")
