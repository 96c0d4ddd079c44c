"""Many reviewers at one server: a server process that can be killed, and people who judge over real connections."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.review_page import decision

_SERVER = """
import sys, time
from tenfold.core.workspace import Workspace
from tenfold.recipes.review_page import page_settings
from tenfold.review.config import ReviewConfig
from tenfold.review.store import DATABASE, Store
from tenfold.review.web.app import create_app
from tenfold.review.web.security import loopback_place
from tenfold.review.web.server import Listening, bind, serve
workspace, port = Workspace.open(sys.argv[1]), int(sys.argv[2])
asked = Listening(port=port)
with Store.open(workspace.path / DATABASE) as store, bind(asked) as bound:
    settings = page_settings(store, workspace, ReviewConfig(), loopback_place(port))
    app = create_app(store, workspace, settings)
    told = f"ready {settings.side_px} {settings.tick_seconds:.3f} {settings.spacing_seconds:.4f}"
    serve(app, bound, asked, lambda: print(told, flush=True))
"""


@dataclass
class ReviewServer:
    """A server process that is killed and started again on one port. `told`: view's side and time allowed for it."""

    place: Path
    port: int
    process: subprocess.Popen[str] | None = None
    told: tuple[str, ...] = ()

    def start(self) -> None:
        """Serve; returns once the page answers."""
        command = [sys.executable, "-c", _SERVER, str(self.place), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.told = tuple(self.process.stdout.readline().split())
        assert self.told[:1] == ("ready",)

    def stop(self, how: signal.Signals) -> None:
        """Send a signal, and wait for the end."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(30)


@dataclass
class Person:
    """A reviewer at a browser: one connection, which is opened again whenever it is lost."""

    port: int
    token: str
    cookie: str = ""
    slots: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    resent: int = 0
    times: dict[str, list[float]] = field(default_factory=lambda: {"image": [], "decision": []})
    """Seconds that each kind of answer took."""
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def sign_in(self) -> None:
        """Open the link and read the queue."""
        await self.ask("POST", "/api/session", {"token": self.token})
        self.slots = [slot["slot"] for slot in (await self.ask("GET", "/api/slots?count=500"))["slots"]]

    async def judge(self, slots: Sequence[str], look_seconds: tuple[float, float] = (0.0, 0.0)) -> None:
        """Look at images, each for a time between these, and judge them."""
        for number, slot in enumerate(slots):
            await self.ask("GET", f"/api/image/{slot}", timed="image")
            await asyncio.sleep(random.uniform(*look_seconds))
            verdict = "reject" if number % 5 == 0 else "accept"
            sent = decision(slot, verdict, client_id=f"{self.token[:20]}-{slot}-{number}")
            told = await self.ask("POST", "/api/decisions", {"decisions": [sent]}, timed="decision")
            assert told["results"][0]["status"] in ("saved", "known"), told
            self.acknowledged.append(sent["client_id"])

    async def ask(self, method: str, path: str, body: Any = None, *, timed: str = "") -> Any:
        """An answer; asked again, as the page does, until the server is there and the store can be written."""
        while True:
            began = time.perf_counter()
            try:
                status, content = await asyncio.wait_for(self._exchange(method, path, body), 60)
                if status == 200:
                    if timed:
                        self.times[timed].append(time.perf_counter() - began)
                    return json.loads(content) if content[:1] == b"{" else content
                assert status == 503, (status, content)
            except (OSError, asyncio.IncompleteReadError, IndexError):
                self.hang_up()
            self.resent += 1
            await asyncio.sleep(0.2)

    def hang_up(self) -> None:
        """Close the connection: it belongs to one event loop."""
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None

    async def _exchange(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        address = f"127.0.0.1:{self.port}"
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {self.cookie}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        if "set-cookie" in headers:
            self.cookie = next(line for line in lines if line.lower().startswith("set-cookie"))[12:].partition(";")[0]
        return int(lines[0].split()[1]), await reader.readexactly(int(headers["content-length"]))


async def crowd_killed(server: ReviewServer, people: Sequence[Person], each: int, kills: int) -> float:
    """Everyone at once, as fast as answers come; the server is killed `kills` times in between. Seconds taken."""
    for person in people:
        await person.sign_in()
    began = time.perf_counter()
    work = [asyncio.create_task(person.judge(person.slots[:each])) for person in people]
    for kill in range(1, kills + 1):
        while sum(len(person.acknowledged) for person in people) < kill * len(people) * each / (kills + 1):
            await asyncio.sleep(0.01)
            assert not any(task.done() and task.exception() for task in work)
        server.stop(signal.SIGKILL)
        await asyncio.to_thread(server.start)
    await asyncio.gather(*work)
    seconds = time.perf_counter() - began
    for person in people:
        person.hang_up()
    return seconds


async def crowd_paced(
    people: Sequence[Person], start: int, count: int, look_seconds: tuple[float, float]
) -> dict[str, list[float]]:
    """The same people at a person's pace, who begin one after the other; their waiting times."""

    async def one(number: int, person: Person) -> None:
        await asyncio.sleep(number / len(people) * look_seconds[1])
        person.times = {"image": [], "decision": []}
        await person.judge(person.slots[start : start + count], look_seconds)
        person.hang_up()

    await asyncio.gather(*(one(number, person) for number, person in enumerate(people)))
    return {name: [value for person in people for value in person.times[name]] for name in ("image", "decision")}
