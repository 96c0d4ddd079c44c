"""Addresses that somebody typed, in a browser: none of them is a fault of the page."""

from __future__ import annotations

import pytest

from tests.browser.review.needs import NO_DRIVER, needs_browser

pytest.importorskip("playwright", reason=NO_DRIVER)

from playwright.sync_api import Browser

from tests.browser.review.served import DESK, N_IMAGES, Served, open_page

pytestmark = needs_browser


def test_an_address_that_cannot_be_read_leads_to_all_images(browser: Browser, shared: Served) -> None:
    shared.invite("Any lead", "lead")
    with browser.new_context(viewport=DESK) as context:  # type: ignore[arg-type]
        page = open_page(context, shared.link("Any lead"))  # a fault of its scripts is one of the test
        for address in ("#/compare/%", "#/compare/%E0%A4%A", "#/items/%"):
            page.evaluate("address => { location.hash = address; }", address)
            page.get_by_text(f"{N_IMAGES} images").wait_for()
            page.evaluate("() => { location.hash = '#/dashboard'; }")
            page.get_by_text(f"{N_IMAGES} images").wait_for(state="hidden")
