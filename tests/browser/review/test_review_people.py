"""Several links in one browser, all open: everybody's judgements are their own, and what waits for another is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.review.needs import NO_DRIVER, needs_browser

pytest.importorskip("playwright", reason=NO_DRIVER)

from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.review.served import (
    Served,
    open_page,
    served_review,
    wait_for_image,
    wait_until_saved,
)

pytestmark = needs_browser


@pytest.fixture
def lead(request: pytest.FixtureRequest, review: Served) -> str:
    """A lead of the test's own, with a link to the dashboard."""
    return review.invite(f"Lead {request.node.name}"[:60], "lead")


def _accept(page: Page, first: int, last: int) -> None:
    for number in range(first, last + 1):
        wait_for_image(page, number)
        page.keyboard.press("a")


def _wait_not_saved(page: Page, count: int) -> None:
    page.get_by_role("button", name=f"{count} not saved").wait_for()


def _try_again(page: Page) -> None:
    """As the browser does by itself when it comes back to the network."""
    page.evaluate("dispatchEvent(new Event('online'))")


def test_judge_link_and_dashboard_link_are_open_at_the_same_time(
    context: BrowserContext, review: Served, name: str, lead: str
) -> None:
    judging = open_page(context, review.link(name))
    wait_for_image(judging, 1)
    figures = open_page(context, review.link(lead))
    figures.locator(".card").first.wait_for()

    _accept(judging, 1, 3)
    wait_until_saved(judging)
    assert [one.verdict for one in review.decisions(name)] == ["accept"] * 3
    for page, sign in ((figures, ".card"), (judging, ".stage-image")):
        page.reload()
        page.locator(sign).first.wait_for()
    context.set_offline(True)
    _accept(judging, 4, 5)
    _wait_not_saved(judging, 2)
    context.set_offline(False)
    wait_until_saved(judging)
    assert len(review.standing(name)) == 5 and not review.decisions(lead)

    third = context.new_page()
    third.goto(review.address)
    expect(third.get_by_role("heading", name="Who is at this page?")).to_be_visible()
    third.get_by_role("button", name=name).click()
    wait_for_image(third, 6)

    figures.once("dialog", lambda dialog: dialog.accept())
    figures.locator(".menu-button").click()
    figures.get_by_role("button", name="Sign out").click()
    _accept(judging, 6, 7)
    wait_until_saved(judging)
    expect(judging.get_by_role("alert")).to_be_hidden()
    assert len(review.standing(name)) == 7


def test_a_link_that_is_pasted_into_another_persons_page_leaves_what_waits_to_its_owner(
    context: BrowserContext, review: Served, name: str, lead: str
) -> None:
    page = open_page(context, review.link(name))
    wait_for_image(page, 1)
    page.wait_for_load_state("networkidle")
    page.route("**/api/decisions", lambda route: route.abort())
    _accept(page, 1, 2)
    _wait_not_saved(page, 2)
    page.goto(review.link(lead))  # the address of the page itself but for what stands behind the #
    page.locator(".card").first.wait_for()
    page.locator(".pill").click()
    expect(page.get_by_role("dialog")).to_contain_text("2 judgements of another person or study wait")
    page.unroute("**/api/decisions")
    page.goto(review.link(name))
    wait_for_image(page, 3)
    wait_until_saved(page)
    page.keyboard.press("u")
    expect(page.locator(".toast")).to_contain_text("Image 2 is open again")
    wait_until_saved(page)
    assert [(one.reviewer, one.verdict) for one in review.decisions(name, lead)] == [
        (name, "accept"), (name, "accept"), (name, "none")
    ]  # fmt: skip


def test_another_review_at_the_same_address_gets_nothing_of_what_waits(context: BrowserContext, tmp_path: Path) -> None:
    who = "Dr Rao"
    with served_review(tmp_path / "a", {who: "reviewer"}) as first, served_review(tmp_path / "b") as second:
        second.kill()
        second.invite(who)
        page = open_page(context, first.link(who))
        wait_for_image(page, 1)
        page.wait_for_load_state("networkidle")
        first.kill()
        _accept(page, 1, 2)
        _wait_not_saved(page, 2)

        second.port = first.port
        second.start()
        _try_again(page)
        expect(page.get_by_role("alert")).to_contain_text("Another review is served at this address now.")
        expect(page.get_by_role("alert")).to_contain_text("2 judgements are kept on this device")
        other = open_page(context, second.link(who))
        wait_for_image(other, 1)
        other.keyboard.press("r")
        wait_until_saved(other)
        assert [one.verdict for one in second.decisions()] == ["reject"]
        page.reload()
        expect(page.get_by_role("heading", name="Another review is served here now")).to_be_visible()
        second.kill()

        first.start()
        page.reload()
        wait_for_image(page, 3)
        wait_until_saved(page)
        assert [one.verdict for one in first.decisions()] == ["accept", "accept"]


def test_a_judgement_of_an_image_that_is_not_in_the_queue_is_never_given_up(
    context: BrowserContext, review: Served, name: str
) -> None:
    """As after a store was replaced by an older copy of it."""
    page = open_page(context, review.link(name))

    def lose_first(route: Route) -> None:
        sent = (route.request.post_data_json or {})["decisions"]
        lost.update(one["client_id"] for one in sent[:1] if not lost)
        if sent[0]["client_id"] not in lost:
            return route.continue_()
        error = {
            "error": "DataError",
            "what": "this image is not in your queue",
            "where": "",
            "expected": "",
            "todo": "",
        }
        results = [{"client_id": sent[0]["client_id"], "status": "not_in_queue", "was": None, "error": error}]
        return route.fulfill(json={"results": results, "progress": {"total": 14, "decided": 0, "faulty": 0}})

    lost: set[str] = set()
    page.route("**/api/decisions", lose_first)
    _accept(page, 1, 1)
    expect(page.get_by_role("alert")).to_contain_text("does not find the image in your queue")
    for number in (2, 3):
        wait_for_image(page, number)
        with page.expect_response("**/api/decisions"):
            page.keyboard.press("a")
    _wait_not_saved(page, 1)
    assert len(review.decisions(name)) == 2, "it holds up no other"
    page.unroute("**/api/decisions")
    page.get_by_role("button", name="1 not saved").click()
    assert page.get_by_role("button", name="Remove those not in my queue").is_visible()
    page.get_by_role("button", name="Try again now").click()
    wait_until_saved(page)
    assert len(review.standing(name)) == 3


def test_an_image_that_is_not_found_is_not_called_faulty(context: BrowserContext, review: Served, name: str) -> None:
    page = context.new_page()
    page.route("**/api/image/*", lambda route: route.fulfill(status=404, json={"error": "NotFound", "what": "gone"}))
    page.goto(review.link(name))
    expect(page.locator(".fault")).to_contain_text("does not find this image for you at present")
    page.unroute("**/api/image/*")
    page.keyboard.press("ArrowRight")
    wait_for_image(page, 2)
    page.keyboard.press("ArrowLeft")
    wait_for_image(page, 1)
    expect(page.locator(".fault")).to_have_count(0)


def test_what_the_browser_cannot_keep_hides_nothing_of_what_it_kept(
    context: BrowserContext, review: Served, name: str
) -> None:
    page = open_page(context, review.link(name))
    wait_for_image(page, 1)
    page.wait_for_load_state("networkidle")
    context.set_offline(True)
    _accept(page, 1, 2)
    _wait_not_saved(page, 2)
    page.evaluate("() => { IDBObjectStore.prototype.add = () => { throw new Error('quota') } }")
    _accept(page, 3, 4)
    _wait_not_saved(page, 4)
    expect(page.get_by_role("alert")).to_contain_text("please leave it open")
    page.evaluate("() => { IDBObjectStore.prototype.delete = () => { throw new Error('full') } }")
    page.evaluate("() => { IDBObjectStore.prototype.getAll = () => { throw new Error('closed') } }")
    _accept(page, 5, 5)
    _wait_not_saved(page, 5)
    context.set_offline(False)
    wait_until_saved(page)
    assert [one.verdict for one in review.decisions(name)] == ["accept"] * 5
