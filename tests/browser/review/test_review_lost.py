"""No judgement is lost: a connection, a server, a session or a disk that fails, two tabs, a damaged image."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.browser.review.needs import NO_DRIVER, needs_browser

pytest.importorskip("playwright", reason=NO_DRIVER)

from playwright.sync_api import BrowserContext, Page, Route, expect

from tenfold.review.store import DATABASE
from tests.browser.review.served import (
    LONGEST_WAIT_MS,
    Served,
    open_page,
    served_review,
    wait_for_image,
    wait_until_saved,
)

JUMPING_CLOCK = Path(__file__).with_name("jumping_clock.js")
pytestmark = needs_browser


@pytest.fixture
def page(context: BrowserContext, review: Served, name: str) -> Page:
    """The first image on the screen, and all others fetched ahead."""
    opened = open_page(context, review.link(name))
    wait_for_image(opened, 1)
    opened.wait_for_load_state("networkidle")
    return opened


def _accept(page: Page, first: int, last: int) -> None:
    for number in range(first, last + 1):
        wait_for_image(page, number)
        page.keyboard.press("a")


def _wait_not_saved(page: Page, count: int) -> None:
    page.get_by_role("button", name=f"{count} not saved").wait_for()


def test_judgements_made_without_a_connection_are_sent_when_it_returns(
    page: Page, context: BrowserContext, review: Served, name: str
) -> None:
    context.set_offline(True)
    _accept(page, 1, 4)
    page.keyboard.press("u")
    wait_for_image(page, 4)
    page.keyboard.press("r")
    _wait_not_saved(page, 6)
    assert "6 judgements are kept on this device" in page.get_by_role("alert").inner_text()
    assert not review.decisions(name)
    context.set_offline(False)
    wait_until_saved(page)
    assert [one.verdict for one in review.decisions(name)] == ["accept"] * 4 + ["none", "reject"]
    assert page.get_by_role("alert").count() == 0 or not page.get_by_role("alert").is_visible()


def test_a_killed_server_loses_nothing_even_if_the_page_is_closed_too(
    page: Page, context: BrowserContext, review: Served, name: str
) -> None:
    _accept(page, 1, 2)
    wait_until_saved(page)
    review.kill()
    _accept(page, 3, 5)
    _wait_not_saved(page, 3)
    page.close()
    review.start()
    again = open_page(context, review.address)
    wait_until_saved(again)
    wait_for_image(again, 6)
    told = review.decisions(name)
    assert len(told) == 5 and len({one.client_id for one in told}) == 5
    assert len({one.image_id for one in review.standing(name)}) == 5


def test_a_full_disk_is_told_and_nothing_is_lost(page: Page, review: Served, name: str) -> None:
    answer = {"error": "NotSaved", "what": "not saved: the disk is full", "where": "", "expected": "", "todo": ""}
    page.route("**/api/decisions", lambda route: route.fulfill(status=503, json=answer))
    _accept(page, 1, 2)
    _wait_not_saved(page, 2)
    assert "the server cannot write to its store" in page.get_by_role("alert").inner_text()
    page.get_by_role("button", name="2 not saved").click()
    dialog = page.get_by_role("dialog")
    assert "the disk is full" in dialog.inner_text()
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Keep a copy").click()
    assert Path(download.value.path()).read_text(encoding="utf-8").count('"accept"') == 2
    page.unroute("**/api/decisions")
    dialog.get_by_role("button", name="Try again now").click()
    wait_until_saved(page)
    assert len(review.decisions(name)) == 2


def test_a_refused_judgement_is_shown_and_holds_up_no_other(page: Page, review: Served, name: str) -> None:
    def refuse_first(route: Route) -> None:
        sent = (route.request.post_data_json or {})["decisions"]
        slots.update(one["slot"] for one in sent[:1] if not slots)
        if sent[0]["slot"] not in slots:
            return route.continue_()
        error = {"error": "DataError", "what": "The image was not served.", "where": "", "expected": "", "todo": ""}
        results = [{"client_id": sent[0]["client_id"], "status": "refused", "was": None, "error": error}]
        return route.fulfill(
            json={"results": results, "progress": page.evaluate("fetch('/api/progress').then(a => a.json())")}
        )

    slots: set[str] = set()
    page.route("**/api/decisions", refuse_first)
    page.keyboard.press("a")
    page.get_by_role("button", name="1 refused").wait_for()
    _accept(page, 2, 3)
    page.get_by_role("button", name="1 refused").click()
    assert "The image was not served." in page.get_by_role("dialog").inner_text()
    page.get_by_role("button", name="Remove the refused ones").click()
    wait_until_saved(page)
    assert len(review.decisions(name)) == 2


def test_a_revoked_link_keeps_what_was_judged_until_the_next_one(
    page: Page, context: BrowserContext, review: Served, name: str
) -> None:
    with review.store() as store:
        store.revoke(name)
    _accept(page, 1, 2)
    page.get_by_text("Your session has ended").wait_for()
    _wait_not_saved(page, 2)
    page.reload()
    page.get_by_role("heading", name="Please open your own link").wait_for()
    review.invite(name)
    again = open_page(context, review.link(name))
    wait_until_saved(again)
    wait_for_image(again, 3)
    assert len(review.standing(name)) == 2


def test_another_person_on_the_same_device_sends_only_the_own_ones(
    page: Page, context: BrowserContext, review: Served, name: str
) -> None:
    page.route("**/api/decisions", lambda route: route.abort())
    page.keyboard.press("a")
    _wait_not_saved(page, 1)
    page.close()
    guest = review.invite("Dr Guest")
    other = open_page(context, review.link(guest))
    wait_for_image(other, 1)
    other.keyboard.press("r")
    wait_until_saved(other)
    assert [(one.reviewer, one.verdict) for one in review.decisions(guest, name)] == [(guest, "reject")]
    other.close()
    back = open_page(context, review.link(name))
    wait_for_image(back, 2)
    wait_until_saved(back)
    assert [(one.reviewer, one.verdict) for one in review.decisions(guest, name)] == [
        (guest, "reject"), (name, "accept")
    ]  # fmt: skip


def test_two_tabs_of_one_reviewer_agree(page: Page, context: BrowserContext, review: Served, name: str) -> None:
    other = open_page(context, review.address)
    wait_for_image(other, 1)
    _accept(page, 1, 2)
    expect(other.locator(".badge")).to_have_text("You accepted it")
    wait_until_saved(page)
    other.keyboard.press("r")
    wait_for_image(other, 3)
    wait_until_saved(other)
    assert [one.verdict for one in review.decisions(name)] == ["accept", "accept", "reject"]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    wait_for_image(page, 1)
    assert page.locator(".badge").inner_text() == "You rejected it"


def test_images_that_are_gone_or_damaged_are_told_and_passed(context: BrowserContext, tmp_path: Path) -> None:
    name = "Dr Rao"
    with served_review(tmp_path / "gone", {name: "reviewer"}) as review:
        with review.store() as store:
            reviewer = next(one for one in store.reviewers() if one.name == name)
            gone, damaged = (
                review.workspace.path / store.find_slot(slot.opaque).item.path
                for slot in store.queue(reviewer.id, 1, 2)
            )
        gone.unlink()
        damaged.write_bytes(damaged.read_bytes()[:200])
        page = open_page(context, review.link(name))
        _accept(page, 1, 1)
        for number in (2, 3):
            expect(page.locator(".place")).to_have_text(f"Image {number} of 14")
            page.get_by_text("This image cannot be shown").wait_for()
            page.keyboard.press("a")
        _accept(page, 4, 14)
        page.get_by_role("heading", name="All images are judged").wait_for()
        wait_until_saved(page)
        assert len(review.standing()) == 12
        with review.store() as store:
            assert len(store.faults()) == 2


def test_a_clock_that_jumps_changes_neither_order_nor_times(
    page: Page, context: BrowserContext, review: Served, name: str
) -> None:
    page.close()
    context.add_init_script(path=JUMPING_CLOCK)
    again = open_page(context, review.address)
    _accept(again, 1, 1)
    for number, hours in enumerate([-30, 90_000, -1_000_000], 2):
        again.evaluate("hours => jumpClock(hours)", hours)
        _accept(again, number, number)
    again.keyboard.press("u")
    wait_for_image(again, 4)
    wait_until_saved(again)
    told = review.decisions(name)
    assert [one.verdict for one in told] == ["accept"] * 4 + ["none"]
    assert told[-1].undoes == told[-2].client_id
    assert all(one.seconds is not None and 0 <= one.seconds < 60 for one in told)
    assert len(review.standing(name)) == 3
    years = {str(one.client_time)[:4] for one in told}
    assert len(years) == 3, f"the clock of the page never jumped: {years}"


def test_a_locked_store_is_told_and_nothing_is_lost(page: Page, review: Served, name: str) -> None:
    """The real thing, as a backup program does it."""
    lock = sqlite3.connect(review.workspace.path / DATABASE, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    _accept(page, 1, 1)
    page.get_by_text("Not saved: the server cannot write to its store.").wait_for(timeout=3 * LONGEST_WAIT_MS)
    assert not review.decisions(name)
    lock.execute("ROLLBACK")
    lock.close()
    wait_until_saved(page)
    assert [one.verdict for one in review.decisions(name)] == ["accept"]
