"""Several people in one browser: each keeps a session, and no request is taken for another person or another review."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tenfold.core.workspace import Workspace
from tenfold.review.times import utc_now
from tenfold.review.web import session_routes
from tenfold.review.web.security import SESSION_DAYS
from tenfold.review.web.sessions import PERSON_HEADER
from tests.review_page import Page, decision, look, review_page, slots_of


@pytest.fixture
def page(workspace: Workspace) -> Iterator[Page]:
    with review_page(workspace) as made:
        made.invite("eve", "lead")
        yield made


def _sign_in(client: TestClient, page: Page, name: str) -> dict[str, str]:
    """The header by which this person's page tells whose it is."""
    client.headers.pop(PERSON_HEADER, None)
    return {PERSON_HEADER: client.post("/api/session", json={"token": page.tokens[name]}).json()["person"]}


def test_two_links_of_one_browser_stay_apart(page: Page) -> None:
    browser = page.client()
    ann, eve = _sign_in(browser, page, "ann"), _sign_in(browser, page, "eve")
    assert browser.get("/api/me", headers=ann).json()["name"] == "ann"
    assert browser.get("/api/me", headers=eve).json()["name"] == "eve"
    assert browser.get("/api/dashboard", headers=ann).status_code == 403
    slot = browser.get("/api/slots", headers=ann).json()["slots"][0]["slot"]
    assert browser.get(f"/api/image/{slot}", headers=ann).status_code == 200
    sent = {"decisions": [decision(slot)]}
    told = browser.post("/api/decisions", json=sent, headers=eve).json()["results"][0]
    assert told["status"] == "not_in_queue" and not page.store.decisions()
    assert browser.post("/api/decisions", json=sent, headers=ann).json()["results"][0]["status"] == "saved"
    assert [one.reviewer for one in page.store.decisions()] == ["ann"]

    assert browser.post("/api/session/end", json={}, headers=eve).json() == {"ok": True}
    assert browser.get("/api/me", headers=eve).status_code == 401
    assert browser.get("/api/me", headers=ann).status_code == 200, "who signs out signs out nobody else"


def test_nothing_is_taken_from_several_people_when_none_is_named(page: Page) -> None:
    browser = page.client()
    assert browser.get("/api/people").json() == {"people": []}
    ann = _sign_in(browser, page, "ann")
    slot = slots_of(browser)[0]
    look(browser, slot)
    _sign_in(browser, page, "eve")
    told = browser.get("/api/people").json()["people"]
    assert [(one["name"], one["role"]) for one in told] == [("ann", "reviewer"), ("eve", "lead")]
    assert told[0]["person"] == ann[PERSON_HEADER]
    answer = browser.post("/api/decisions", json={"decisions": [decision(slot)]})
    assert (answer.status_code, answer.json()["error"]) == (409, "SeveralPeople")
    assert not page.store.decisions()


def test_a_session_is_of_the_person_whose_cookie_it_is(page: Page) -> None:
    browser = page.client()
    ann, eve = _sign_in(browser, page, "ann"), _sign_in(browser, page, "eve")
    place = page.app.state.review.settings.place.cookie
    session = browser.cookies[f"{place}_{eve[PERSON_HEADER]}"]
    forger = page.client()
    forger.cookies.set(f"{place}_{ann[PERSON_HEADER]}", session)
    assert forger.get("/api/me", headers=ann).status_code == 401
    assert forger.get("/api/people").json() == {"people": []}
    for wrong in ("../x", "é", "0" * 31, "0" * 5000, "0" * 32):
        assert browser.get("/api/me", headers={PERSON_HEADER: wrong.encode()}).status_code == 409, "of no review here"
    assert "0" * 32 not in ann.values()


def test_another_review_at_the_same_address_takes_nothing(page: Page, tmp_path: Path) -> None:
    browser = page.client()
    ann = _sign_in(browser, page, "ann")
    other_place = Workspace.create(tmp_path / "other", name="other", root_seed=7, data_license="none")
    with review_page(other_place) as other:
        there = other.client()
        there.cookies = browser.cookies  # of one host: ports share them
        answer = there.get("/api/me", headers=ann)
        assert (answer.status_code, answer.json()["error"]) == (409, "AnotherReview")
        assert other.store.person_id(1) != page.store.person_id(1)
        own = _sign_in(there, other, "ann")
        assert there.get("/api/me", headers=own).json()["person"] == own[PERSON_HEADER]
    assert browser.get("/api/me", headers=ann).status_code == 200


def test_a_session_ends_after_some_weeks_however_long_the_link_is_valid(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.invite("bea", days=3000)
    answer = page.client().post("/api/session", json={"token": page.tokens["bea"]})
    assert f"Max-Age={SESSION_DAYS * 86400};" in answer.headers["set-cookie"]
    bea = page.client("bea")
    for days, status in ((SESSION_DAYS - 1, 200), (SESSION_DAYS + 1, 401)):
        monkeypatch.setattr(page.store, "_now", lambda days=days: utc_now() + timedelta(days=days))
        assert bea.get("/api/me").status_code == status


def test_an_image_that_cannot_be_read_for_a_moment_is_no_fault(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenfold.review.web import images

    def away(_path: Path) -> bytes:
        raise OSError(errno.ESTALE, "Stale file handle")

    ann = page.client("ann")
    slot = slots_of(ann)[-1]  # of which no view was made ahead
    with monkeypatch.context() as patch:
        patch.setattr(images, "image_bytes", away)
        answer = ann.get(f"/api/image/{slot}")
    assert (answer.status_code, answer.json()["error"]) == (503, "NotNow")
    assert page.store.faults() == []
    assert ann.get(f"/api/image/{slot}").status_code == 200


def test_what_a_translation_lacks_is_said_in_english(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    english = json.loads((session_routes.STATIC / "text.en.json").read_bytes())
    (tmp_path / "text.en.json").write_text(json.dumps(english))
    (tmp_path / "text.de.json").write_text(json.dumps({"judge.accept": "Annehmen"}))
    monkeypatch.setattr(session_routes, "STATIC", tmp_path)
    german = page.client().get("/api/text", params={"lang": "de"}).json()
    assert german == {**english, "language": "de", "judge.accept": "Annehmen"}
    assert page.client().get("/api/text", params={"lang": "fr"}).json() == english
