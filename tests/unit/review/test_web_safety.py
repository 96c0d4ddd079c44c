"""Attacks and accidents at the page's door: tokens, other sites, strange hosts, paths, bodies, a store that is shut."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import InputError
from tenfold.core.workspace import Workspace
from tenfold.review import database
from tenfold.review.store import DATABASE
from tenfold.review.times import utc_now
from tenfold.review.web.schemas import MAX_BODY_BYTES, MAX_DECISIONS
from tenfold.review.web.security import check_address, is_loopback, loopback_place, remote_place
from tenfold.review.web.server import Listening, bind, check_listening, page_address
from tests.review_page import Page, decision, look, review_page, slots_of

ALL_ROUTES = [
    "/api/me", "/api/progress", "/api/rubric", "/api/guides", "/api/slots", "/api/image/" + "0" * 32, "/api/dashboard",
    "/api/grid", "/api/compare/" + "0" * 16, "/api/opinions/" + "0" * 32,
]  # fmt: skip


@pytest.fixture
def page(workspace: Workspace) -> Iterator[Page]:
    with review_page(workspace) as made:
        yield made


def _error(answer: Any) -> tuple[int, str]:
    assert set(answer.json()) >= {"error", "what", "where", "expected", "todo"}
    return answer.status_code, answer.json()["error"]


def test_wrong_revoked_and_expired_tokens_are_refused_each_with_its_reason(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = page.client()
    for wrong in ("x", "0" * 43, "ann", page.tokens["ann"][:-1], page.tokens["ann"] + "a", "é\u0000'; --"):
        answer = stranger.post("/api/session", json={"token": wrong})
        assert _error(answer) == (401, "TokenRefused")
        assert "set-cookie" not in answer.headers
    bea = page.client("ann")
    old = page.tokens["ann"]
    page.invite("ann")
    assert _error(stranger.post("/api/session", json={"token": old})) == (401, "TokenRefused")
    assert _error(bea.get("/api/me")) == (401, "NotSignedIn"), "a new link ends the sessions of the old one"

    ann = page.client("ann")
    page.store.revoke("ann")
    assert "revoked" in stranger.post("/api/session", json={"token": page.tokens["ann"]}).json()["what"]
    assert _error(ann.get("/api/slots")) == (401, "NotSignedIn")

    page.invite("ben", days=1)
    ben = page.client("ben")
    monkeypatch.setattr(page.store, "_now", lambda: utc_now() + timedelta(days=2))
    assert "expired" in stranger.post("/api/session", json={"token": page.tokens["ben"]}).json()["what"]
    assert _error(ben.get("/api/me")) == (401, "NotSignedIn")


@pytest.mark.parametrize("route", ALL_ROUTES)
def test_nothing_is_told_without_a_session(page: Page, route: str) -> None:
    stranger = page.client()
    assert _error(stranger.get(route)) == (401, "NotSignedIn")
    ann = page.store.person_id(page.store.reviewers()[0].id)
    stranger.cookies.set(f"tenfold_review_{ann}", page.tokens["ann"])
    assert _error(stranger.get(route)) == (401, "NotSignedIn"), "a link's token is no session"


def test_reviewers_and_adjudicators_stay_blinded(page: Page) -> None:
    page.invite("ada", "adjudicator")
    image_id = next(iter(page.items))
    for name in ("ann", "ada"):
        client = page.client(name)
        for route in ("/api/dashboard", "/api/grid", f"/api/compare/{image_id}"):
            assert _error(client.get(route)) == (403, "NotAllowed")
        assert _error(client.get(f"/api/image/{image_id}")) == (404, "NotFound")
    slot = slots_of(page.client("ann"))[0]
    assert _error(page.client("ann").get(f"/api/opinions/{slot}")) == (403, "NotAllowed")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:8766"},
        {"origin": "https://127.0.0.1:8765"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_sites_post_is_refused(page: Page, headers: dict[str, str]) -> None:
    ann = page.client("ann")
    slot = slots_of(ann)[0]
    look(ann, slot)
    body = {"decisions": [decision(slot)]}
    assert _error(ann.post("/api/decisions", json=body, headers=headers)) == (403, "WrongOrigin")
    assert _error(ann.post("/api/session/end", json={}, headers=headers)) == (403, "WrongOrigin")
    assert page.store.decisions() == []
    assert ann.post("/api/decisions", json=body).status_code == 200


def test_a_forms_post_and_a_rebound_name_are_refused(page: Page) -> None:
    ann = page.client("ann")
    body = json.dumps({"decisions": [decision("0" * 32)]})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = ann.post("/api/decisions", content=body, headers={"content-type": kind})
        assert _error(answer) == (415, "WrongType")
    for host in ("evil.example", "127.0.0.1:9999", "127.0.0.1:8765.evil.example", ""):
        assert _error(ann.get("/api/me", headers={"host": host})) == (403, "WrongHost")
    assert ann.get("/api/health", headers={"host": "localhost:8765"}).json() == {"ok": True}


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2f..%2fstore.py", "/static//etc/passwd",
        "/static/%2fetc%2fpasswd", "/static/....//app.py", "/static/js/..%5c..%5capp.py", "/static/", "/static/js",
        "/static/index.html%00.js", "/docs", "/openapi.json", "/redoc", "/api", "/api/",
    ],
)  # fmt: skip
def test_addresses_name_the_pages_own_files_only(page: Page, path: str) -> None:
    assert _error(page.client("ann").get(path)) == (404, "NotFound")


@pytest.mark.parametrize(
    "opaque",
    ["..", "../../review.sqlite", "%2e%2e%2freview.sqlite", "..%2f..%2fworkspace.json", "a%00b", "0" * 32, "0" * 16,
     "0" * 5000, "%F0%9F%A4%96" * 8, "' OR 1=1 --"],
)  # fmt: skip
def test_an_image_id_is_no_path(page: Page, opaque: str) -> None:
    for client in (page.client("ann"), page.client()):
        answer = client.get(f"/api/image/{opaque}")
        assert answer.status_code in (401, 404, 422)
        assert "SQLite" not in answer.text and str(page.workspace.path) not in answer.text


def test_malformed_oversized_and_misshapen_bodies_are_told_apart(page: Page) -> None:
    ann = page.client("ann")

    def post(body: bytes | str, **headers: str) -> tuple[int, str]:
        return _error(ann.post("/api/decisions", content=body, headers={"content-type": "application/json", **headers}))

    slot = slots_of(ann)[0]
    for malformed in ("", "{", "[1]", "null", '"x"', '{"decisions": NaN}', b"\xff\xfe{}", "[" * 100_000, "9" * 5000):
        assert post(malformed) == (400, "MalformedJson")
    many = [decision(slot) for _ in range(MAX_DECISIONS + 1)]
    long_ones = [decision(slot, comment="x" * 1900) for _ in range(MAX_DECISIONS)]
    assert post(json.dumps({"decisions": many})) == (413, "TooLarge")
    assert post(json.dumps({"decisions": long_ones})) == (413, "TooLarge")
    assert post(b" " * (MAX_BODY_BYTES + 1)) == (413, "TooLarge")

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 16384

    told = ann.post("/api/decisions", content=chunks(), headers={"content-type": "application/json"})
    assert _error(told) == (413, "TooLarge"), "a body without a length is counted as it comes"

    wrong = {
        "client_id": ["short", "x" * 65, "with space", "tailing-newline\n", 7, None],
        "slot": ["", "../../x/y", 3],
        "verdict": ["maybe", None, 1],
        "reasons": ["poor_quality", ["x" * 65], ["a"] * 10, [1]],
        "answers": [[], {"realism": {"deep": 1}}, {"x" * 65: 1}, {"a": None}],
        "comment": ["x" * 2001, 5, "\ud800"],
        "seconds": ["3", True, []],
        "client_time": ["x" * 41, 0],
        "undoes": ["x", 1],
        "unknown": [1],
    }
    for name, values in wrong.items():
        for value in values:
            body = json.dumps({"decisions": [{**decision(slot), name: value}]})
            assert post(body) == (422, "BadInput"), (name, value)
    assert post("{}") == post('{"decisions": []}') == post('{"decisions": {}}') == (422, "BadInput")
    told = ann.post("/api/decisions", json={"decisions": [decision(slot, verdict="maybe")]}).json()
    assert told["faults"][0]["where"] == "decisions.0.verdict"
    assert page.store.decisions() == []


def test_every_answer_carries_the_same_guard(page: Page) -> None:
    ann = page.client("ann")
    answers = [
        ann.get("/"), ann.get("/api/me"), ann.get("/nowhere"), ann.put("/api/me", json={}),
        page.client().get("/api/me"), ann.get(f"/api/image/{slots_of(ann)[0]}"),
    ]  # fmt: skip
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers
    assert answers[0].headers["content-type"].startswith("text/html")
    assert {answer.headers["cache-control"] for answer in answers[1:2] + answers[4:]} == {"private, no-store"}
    assert answers[3].status_code == 405


def test_a_locked_store_saves_nothing_says_so_and_takes_it_later(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    ann = page.client("ann")
    first, second = slots_of(ann)[:2]
    look(ann, first)
    page.store._database._writer = None  # the next write opens a connection with the short patience
    body = {"decisions": [decision(first)]}
    with closing(sqlite3.connect(page.workspace.path / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = ann.post("/api/decisions", json=body)
        assert _error(answer) == (503, "NotSaved")
        assert answer.headers["retry-after"] == "2"
        assert str(page.workspace.path) not in answer.text
        assert _error(ann.get(f"/api/image/{second}")) == (503, "NotSaved")
        other.execute("ROLLBACK")
    assert ann.post("/api/decisions", json=body).json()["results"][0]["status"] == "saved"
    assert ann.get(f"/api/image/{second}").status_code == 200
    assert len(page.store.decisions()) == 1


def test_a_fault_of_the_server_tells_nothing_of_its_inside(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"secret of {page.workspace.path}")

    monkeypatch.setattr(page.store, "queue", broken)
    answer = page.client("ann").get("/api/slots")
    assert _error(answer) == (500, "ServerFault")
    assert "secret" not in answer.text


def test_other_machines_need_tls(tmp_path: Path) -> None:
    for refused in (
        Listening(host="0.0.0.0"),
        Listening(host="192.168.1.5"),
        Listening(host="::"),
        Listening(is_remote=True),
        Listening(is_remote=True, certfile=tmp_path / "only.pem"),
        Listening(is_behind_proxy=True),
        Listening(is_behind_proxy=True, address="https://a.example", certfile=tmp_path / "x", keyfile=tmp_path / "y"),
        Listening(address="https://a.example"),
    ):
        with pytest.raises(InputError) as caught:
            check_listening(refused)
        assert caught.value.todo
    (tmp_path / "bad.pem").write_text("nothing")
    with pytest.raises(InputError, match="TLS files cannot be used"):
        check_listening(Listening(is_remote=True, certfile=tmp_path / "bad.pem", keyfile=tmp_path / "bad.pem"))
    check_listening(Listening())
    check_listening(Listening(host="localhost"))
    check_listening(Listening(is_behind_proxy=True, address="https://a.example"))
    assert Listening(is_behind_proxy=True).bound_host == "127.0.0.1"
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "[::1]", "10.0.0.1", "example.org")] == [True] * 3 + [
        False
    ] * 2


@pytest.mark.parametrize(
    "address",
    [
        "http://a.example", "a.example", "https://", "https://a.example/path", "https://u@a.example", "https://a.example:port",
        "https://a.example?x=1", "https://[::1", "https://a b", "https://a\nb", "https://a:0", "https://a..b",
    ],
)  # fmt: skip
def test_an_address_that_is_no_https_origin_is_refused(address: str) -> None:
    with pytest.raises(InputError):
        remote_place(address)


def test_an_address_is_written_as_browsers_send_it() -> None:
    assert remote_place("https://bücher.example/").hosts() == {"xn--bcher-kva.example"}
    assert remote_place("https://[0:0::1]:9").hosts() == {"[::1]:9"}
    for good in ("https://a.example", "http://127.0.0.1:8765", "http://[::1]:8765", "http://localhost:1"):
        check_address(good)
    for bad in ("http://a.example", "javascript:alert(1)", "a.example", ""):
        with pytest.raises(InputError):
            check_address(bad)


def test_a_proxy_may_name_the_port_and_shout_the_scheme(workspace: Workspace) -> None:
    with review_page(workspace, place=remote_place("https://review.example")) as page:
        assert page.client().get("/api/health", headers={"host": "Review.example:443"}).status_code == 200
        assert _error(page.client().get("/api/health", headers={"host": "review.example:444"})) == (403, "WrongHost")


def test_a_taken_port_is_told() -> None:
    with bind(Listening(port=0)) as first:
        port = first.getsockname()[1]
        assert first.proto == socket.IPPROTO_TCP, "or every answer waits 40 ms for Nagle's algorithm"
        first.listen()
        with pytest.raises(InputError, match="in use"):
            bind(Listening(port=port))
        assert page_address(Listening(), port) == f"http://127.0.0.1:{port}"
    assert page_address(Listening(is_behind_proxy=True, address="https://A.example:443/"), 80) == "https://a.example"


def test_behind_a_proxy_everything_is_under_tls(workspace: Workspace) -> None:
    with review_page(workspace, place=remote_place("https://review.example")) as page:
        ann = page.client("ann")
        cookie = page.client().post("/api/session", json={"token": page.tokens["ann"]}).headers["set-cookie"]
        assert cookie.startswith("__Host-tenfold_review_") and "; Secure" in cookie
        assert ann.get("/api/me").headers["strict-transport-security"]
        assert _error(ann.get("http://review.example/api/me")) == (403, "NotEncrypted")
        assert loopback_place(1).cookie == "tenfold_review"
