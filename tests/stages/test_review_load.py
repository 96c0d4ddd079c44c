"""Load: 50 reviewers judge 200 images each at once while the server is killed twice; nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections import Counter

import numpy as np
import pytest

from tenfold.core.workspace import Workspace
from tenfold.review import counts
from tenfold.review.records import QueueSettings
from tenfold.review.store import DATABASE, Store
from tests.review_crowd import Person, ReviewServer, crowd_killed, crowd_paced
from tests.review_page import make_items

pytestmark = pytest.mark.slow

REVIEWERS, EACH, KILLS = 50, 200, 2
_PACED, _LOOK_SECONDS = 12, (0.5, 2.0)
"""Then so many of them go on at a quick person's pace, and their waiting times are printed."""


def test_ten_thousand_acknowledged_decisions_are_in_the_store_none_twice(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    items = make_items(workspace, EACH - 40 + _PACED, 40, 64)
    with Store.open_or_create(workspace.path / DATABASE) as store:
        store.fill(items, QueueSettings(seed=1, overlap_fraction=1.0, repeat_fraction=0.0))
        tokens = [store.invite(f"reviewer {number}").token for number in range(REVIEWERS)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = ReviewServer(workspace.path, int(free.getsockname()[1]))
    server.start()
    try:
        people = [Person(server.port, token) for token in tokens]
        seconds = asyncio.run(crowd_killed(server, people, EACH, KILLS))
        hurried = {name: [value for one in people for value in one.times[name]] for name in ("image", "decision")}
        paced = asyncio.run(crowd_paced(people, EACH, _PACED, _LOOK_SECONDS))
        server.stop(signal.SIGTERM)
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
    acknowledged = [client_id for person in people for client_id in person.acknowledged]
    with Store.open(workspace.path / DATABASE) as store:
        kept = Counter(one.client_id for one in store.decisions())
        assert len(store.latest()) == len(acknowledged)
        for person in store.reviewers():
            assert store.progress(person.id).n_decided == EACH + _PACED
        with store._database.reading() as connection:
            assert counts.agree(connection)
    assert len(acknowledged) == REVIEWERS * (EACH + _PACED)
    assert Counter(acknowledged) == kept, "each acknowledged decision is there, once, and no other"
    assert sum(person.resent for person in people) >= KILLS, "the server was away, and the people noticed"
    with capsys.disabled():
        print(f"\n{REVIEWERS * EACH} decisions in {seconds:.0f} s with {KILLS} kills")
        for name, times in (("without a pause", hurried), (f"looking {_LOOK_SECONDS} s", paced)):
            p95 = {kind: 1000 * float(np.quantile(values, 0.95)) for kind, values in times.items()}
            print(f"{name}: 95 % of decisions within {p95['decision']:.0f} ms, of images {p95['image']:.0f} ms")
