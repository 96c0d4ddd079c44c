"""Time on an image, rests and pauses, and what lies at hand: seen in a browser whose clock a test moves."""

from __future__ import annotations

import pytest

from tests.browser.review.needs import NO_DRIVER, needs_browser

pytest.importorskip("playwright", reason=NO_DRIVER)

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.review.served import (
    N_IMAGES,
    Served,
    open_page,
    wait_for_image,
    wait_until_saved,
)

pytestmark = needs_browser


@pytest.fixture
def page(context: BrowserContext, review: Served, name: str) -> Page:
    """The first image, at a time that only the test moves on."""
    opened = open_page(context, review.link(name), with_clock=True)
    wait_for_image(opened, 1)
    return opened


def test_seconds_on_the_image_are_kept_and_pauses_are_not_counted(page: Page, review: Served, name: str) -> None:
    page.clock.fast_forward(20_000)
    page.keyboard.press("p")
    expect(page.get_by_role("dialog")).to_contain_text("No time is counted")
    page.clock.fast_forward(600_000)
    page.keyboard.press("p")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.clock.fast_forward(10_000)
    page.keyboard.press("a")
    wait_for_image(page, 2)
    page.clock.fast_forward(5_000)
    page.keyboard.press("a")
    wait_for_image(page, 3)
    wait_until_saved(page)
    first, second = [one.seconds for one in review.decisions(name)]
    assert first == pytest.approx(30, abs=4) and second == pytest.approx(5, abs=4)


def test_a_rest_is_hinted_at_after_a_long_stint_and_not_after_a_break(page: Page) -> None:
    rest = page.locator(".rest")
    page.clock.fast_forward(50 * 60_000)
    page.keyboard.press("a")  # the minutes before were a break: nobody judged
    for number in range(2, 8):
        wait_for_image(page, number)
        page.clock.fast_forward(150_000)
        page.keyboard.press("a")
    wait_for_image(page, 8)
    page.keyboard.press("g")
    expect(page.locator(".tile img")).to_have_count(N_IMAGES)
    expect(rest).to_be_hidden()
    for _ in range(11):
        page.clock.fast_forward(150_000)
        page.keyboard.press("Home")
        page.keyboard.press("a")
    expect(rest).to_contain_text("A short rest keeps the eye even.")
    page.get_by_role("button", name="Later").click()
    expect(rest).to_be_hidden()


def test_definitions_and_guide_images_are_at_hand(page: Page) -> None:
    page.keyboard.press("i")
    drawer = page.get_by_role("complementary", name="Definitions and guides")
    expect(drawer.get_by_role("heading", name="mole")).to_be_visible()
    pictures = drawer.get_by_role("button", name="guide image")
    expect(pictures.locator("img").first).to_be_visible()
    small = pictures.first.bounding_box()
    pictures.first.click()
    large = pictures.first.bounding_box()
    assert small is not None and large is not None and large["width"] > 3 * small["width"]
    page.keyboard.press("a")
    wait_for_image(page, 2)  # the keys still judge
    expect(drawer).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
