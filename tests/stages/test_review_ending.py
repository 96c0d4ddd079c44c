"""A served review that is ended by a signal, and connections that ask nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tenfold.core.workspace import Workspace
from tenfold.review.run import DECISIONS
from tenfold.review.web.connections import GuardedProtocol, most_connections
from tenfold.review.web.server import Listening, page_address, place_of
from tests.review_workspace import make_review_workspace


@pytest.fixture
def reviewed(tmp_path: Path) -> Iterator[Workspace]:
    yield make_review_workspace(tmp_path / "w")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(reviewed: Workspace, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tenfold", "review", "serve", str(reviewed.path), "--json", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        assert json.loads(served.stdout.readline())["address"].startswith("http://127.0.0.1:")
        served.send_signal(number)
        assert served.wait(30) == 130
    assert (reviewed.path / DECISIONS).is_file(), "the tables are written at the end"


def test_a_pipe_in_an_images_place_is_its_fault_and_holds_nothing_up(reviewed: Workspace) -> None:
    for place in reviewed.path.glob("synthetic/drawn/images/*.png"):
        place.unlink()
        os.mkfifo(place)
    command = [sys.executable, "-m", "tenfold", "review", "serve", str(reviewed.path), "--json", "--port", "0"]
    words = ["--set", "real_fraction=0"]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            told = json.loads(served.stdout.readline())
            link = next(one["link"] for one in told["people"] if one["role"] == "reviewer")
            address, _, token = link.partition("/#token=")
            with httpx.Client(base_url=address, headers={"origin": address}, timeout=20) as client:
                client.post("/api/session", json={"token": token})
                for slot in client.get("/api/slots").json()["slots"][:9]:
                    assert client.get(f"/api/image/{slot['slot']}").status_code == 410
            served.send_signal(signal.SIGTERM)
            assert served.wait(30) == 130
        finally:
            served.kill()


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: a", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"]
)
@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_a_request_that_does_not_come_to_its_end_is_cut(sent: bytes, first: bytes) -> None:
    import uvicorn

    class Hasty(GuardedProtocol):
        seconds = 0.2

    async def app(_scope: object, receive: object, send: object) -> None:
        more = True
        while more:
            told = await receive()  # type: ignore[operator]
            more = told["type"] == "http.request" and told["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"ok"})  # type: ignore[operator]

    async def talk() -> bytes:
        config = uvicorn.Config(app, http=Hasty, lifespan="off", log_level="critical", ws="none")  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        running = asyncio.create_task(server._serve([bound]))
        while not server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        writer.write(first)
        answer = await reader.readuntil(b"ok") if first else b""
        writer.write(sent)
        await asyncio.sleep(0)
        try:
            answer += await asyncio.wait_for(reader.read(), timeout=10 if sent or not first else 0.6)
        finally:
            writer.close()
            server.should_exit = True
            await running
            bound.close()
        return answer

    if first and not sent:  # an answered connection that waits for the next request is no stranger
        with pytest.raises(TimeoutError):
            asyncio.run(talk())
        return
    assert asyncio.run(talk()).endswith(b"ok" if first else b"")


def test_strangers_leave_room_for_files() -> None:
    import resource

    assert 8 <= most_connections() < max(9, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


@pytest.mark.parametrize(
    ("host", "address"),
    [
        (None, "http://127.0.0.1:81"),
        ("::1", "http://[::1]:81"),
        ("[::1]", "http://[::1]:81"),
        ("127.0.0.2", "http://127.0.0.2:81"),
    ],
)
def test_the_link_names_the_host_that_listens(host: str | None, address: str) -> None:
    asked = Listening(host=host)
    assert page_address(asked, 81) == address
    assert address in place_of(asked, 81).origins
