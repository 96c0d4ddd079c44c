"""What the page is told when something fails: once, shortly, by its own name, and nothing in the server's window."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message

from tenfold.core.errors import StorageError
from tenfold.core.workspace import Workspace
from tests.review_page import ADDRESS, Page, decision, review_page, slots_of


@pytest.fixture
def page(workspace: Workspace) -> Iterator[Page]:
    with review_page(workspace) as made:
        yield made


def test_a_half_sent_body_ends_quietly(page: Page) -> None:
    ann = page.client("ann")
    names = {"cookie": "; ".join(f"{one.name}={one.value}" for one in ann.cookies.jar), "content-length": "500"}
    headers = {"host": ADDRESS.partition("//")[2], "origin": ADDRESS, "content-type": "application/json", **names}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/api/decisions", "raw_path": b"/api/decisions", "query_string": b"", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8765),
    }  # fmt: skip
    received: Iterator[Message] = iter([
        {"type": "http.request", "body": b'{"decisions": [', "more_body": True}, {"type": "http.disconnect"},
    ])  # fmt: skip
    sent: list[Message] = []

    async def receive() -> Message:
        return next(received)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(page.app(scope, receive, send))  # it raised ClientDisconnect, which uvicorn prints
    assert sent[0]["status"] == 400 and b"Incomplete" in sent[1]["body"]
    assert page.store.decisions() == []


def test_what_is_not_saved_or_not_read_is_told_once_by_its_own_name(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = page.client("ann")
    slot = slots_of(ann)[0]

    def fails(what: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise StorageError(what, where=str(page.workspace.path)) from sqlite3.OperationalError("locked")

        return fail

    monkeypatch.setattr(page.store, "record", fails("not saved: the disk is full"))
    told = ann.post("/api/decisions", json={"decisions": [decision(slot)]})
    assert (told.status_code, told.json()["error"]) == (503, "NotSaved")
    assert told.json()["what"] == "not saved: the disk is full"
    monkeypatch.setattr(page.store, "record", fails("the disk is full"))
    told = ann.post("/api/decisions", json={"decisions": [decision(slot)]})
    assert told.json()["what"] == "not saved: the disk is full"
    monkeypatch.setattr(page.store, "queue", fails("not read: the database is locked"))
    told = ann.get("/api/slots")
    assert (told.status_code, told.json()["error"]) == (503, "NotRead")
    assert told.json()["what"] == "not read: the database is locked" and "saved" not in told.text
    assert str(page.workspace.path) not in told.text and told.headers["retry-after"] == "2"


def test_long_names_that_were_sent_are_not_sent_back_at_length(page: Page) -> None:
    ann = page.client("ann")
    slot = slots_of(ann)[0]
    for body in (
        {"decisions": [decision(slot, **{f"{n:02}" + "x" * 5000: 1 for n in range(40)})]},
        {"decisions": [decision(slot)], **{f"{n:02}" + "y" * 5000: 1 for n in range(40)}},
        {"decisions": [decision(slot, answers={f"{n:02}" + "z" * 5000: 1 for n in range(40)})]},
    ):
        answer = ann.post("/api/decisions", json=body)
        assert answer.status_code == 422 and len(answer.content) < 8000
        assert 0 < len(answer.json()["faults"]) <= 20
