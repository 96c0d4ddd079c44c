"""The review page as people start it: the commands, a real server on a real port, killed and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from tenfold.cli import review_commands, session
from tenfold.core.errors import DataError, InputError, RecipeError
from tenfold.core.workspace import Workspace
from tenfold.recipes.review_page import answer_tick, view_side
from tenfold.review.records import Item
from tests.review_page import add_synthetic_set, decision
from tests.tiny_data import make_tiny_workspace

app = typer.Typer()
app.add_typer(review_commands.app, name="review")


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    workspace = make_tiny_workspace(tmp_path / "ws")
    add_synthetic_set(workspace, 10)
    return workspace


@contextmanager
def _served(workspace: Workspace, *words: str) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    """A server of its own process; what it printed when it was ready."""
    code = "import sys; from tests.stages.test_review_server import app; app(sys.argv[1:])"
    command = [sys.executable, "-c", code, "review", "serve", str(workspace.path), "--json", *words]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stdout is not None and started.stderr is not None
    line = started.stdout.readline()
    assert line, started.stderr.read()
    try:
        yield json.loads(line), started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


def _client(told: dict[str, Any], role: str) -> httpx.Client:
    """A browser that opened the printed link of a role."""
    link = next(person["link"] for person in told["people"] if person["role"] == role)
    address, _, token = link.partition("/#token=")
    client = httpx.Client(base_url=address, headers={"origin": address})
    assert client.post("/api/session", json={"token": token}).status_code == 200
    return client


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The last JSON line of a command."""
    session.begin(words)  # type: ignore[arg-type]
    app([*words, "--json"], standalone_mode=False)
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def _judge(client: httpx.Client, count: int) -> None:
    for slot in client.get("/api/slots").json()["slots"][:count]:
        assert client.get(f"/api/image/{slot['slot']}").status_code == 200
        sent = client.post("/api/decisions", json={"decisions": [decision(slot["slot"])]})
        assert sent.json()["results"][0]["status"] == "saved"


def test_served_judged_killed_served_again_and_ended(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with _served(tiny, "--port", "0") as (told, server):
        assert told["address"].startswith("http://127.0.0.1:")
        assert [person["role"] for person in told["people"]] == ["reviewer", "lead"]
        client = _client(told, "reviewer")
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html") and "server" not in page.headers
        assert client.get("/api/dashboard").status_code == 403
        figures = _client(told, "lead").get("/api/dashboard").json()
        assert {"made_at", "summary", "coverage"} <= set(figures)
        _judge(client, 3)
        server.kill()
        server.wait()
    port = told["address"].rpartition(":")[2]
    with _served(tiny, "--port", port) as (again, server):
        assert again["people"] == told["people"], "the links that were printed go on"
        assert client.get("/api/progress").json()["decided"] == 3, "and so does the session"
        _judge(_client(again, "reviewer"), 4)
        server.send_signal(signal.SIGINT)
        server.wait(20)
    assert (tiny.path / "review/consensus.parquet").is_file()
    links = tiny.path / "review/local-links.json"
    assert stat.S_IMODE(os.stat(links).st_mode) == 0o600
    assert not list((tiny.path / "review").glob(".tmp-*"))

    status = _run(capsys, "review", "status", "-w", str(tiny.path))
    assert (status["n_decisions"], status["people"][0]["decided"]) == (7, 4)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_clinics_network_is_served_under_tls(
    tiny: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program to make a certificate with")
    files = [str(tmp_path / "host.pem"), str(tmp_path / "host.key")]
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2", "-nodes"]
    subprocess.run(
        ["openssl", *words, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", files[0],
         "-keyout", files[1]], check=True, capture_output=True,
    )  # fmt: skip
    port = _free_port()
    address = f"https://localhost:{port}"
    remote = ["--remote", "--certfile", files[0], "--keyfile", files[1], "--address", address, "--host", "127.0.0.1"]
    with _served(tiny, "--port", str(port), *remote) as (told, _):
        assert (told["address"], told["people"]) == (address, [])
        invited = _run(capsys, "review", "invite", "Dr Rao", "-w", str(tiny.path))
        verify = ssl.create_default_context(cafile=files[0])
        client = httpx.Client(base_url=address, headers={"origin": address}, verify=verify)
        answer = client.post("/api/session", json={"token": invited["link"].partition("#token=")[2]})
        assert answer.headers["set-cookie"].startswith("__Host-tenfold_review_")
        _judge(client, 1)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://localhost:{port}/api/health")


def test_behind_a_proxy_plain_requests_are_refused(tiny: Workspace) -> None:
    port = _free_port()
    with _served(tiny, "--port", str(port), "--behind-proxy", "--address", "https://review.example") as (told, _):
        assert (told["address"], told["people"]) == ("https://review.example", [])
        own = {"host": "review.example"}
        health = f"http://127.0.0.1:{port}/api/health"
        assert httpx.get(health, headers={**own, "x-forwarded-proto": "https"}).json() == {"ok": True}
        assert httpx.get(health, headers=own).json()["error"] == "NotEncrypted"
        assert httpx.get(health, headers={"x-forwarded-proto": "https"}).json()["error"] == "WrongHost"


def test_people_are_invited_revoked_and_told(tiny: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tiny.path)
    with pytest.raises(DataError, match="no review"):
        _run(capsys, "review", "status", "-w", place)
    with _served(tiny, "--port", "0", "--set", "overlap_fraction=1", "--set", "repeat_fraction=0") as (told, _):
        invited = _run(capsys, "review", "invite", "Dr Rao", "-w", place)
        assert invited["link"].startswith(told["address"] + "/#token=")
        assert invited["role"] == "reviewer"
        rao = _client({"people": [invited]}, "reviewer")
        assert rao.get("/api/me").json()["name"] == "Dr Rao"
        assert rao.get("/api/slots").json()["total"] == told["n_images"]
        assert _run(capsys, "review", "revoke", "Dr Rao", "-w", place)["state"] == "revoked"
        assert rao.get("/api/me").status_code == 401
    other = _run(
        capsys, "review", "invite", "Prof Lind", "-w", place, "--role", "adjudicator", "--address", "https://a.b/"
    )
    assert other["link"].startswith("https://a.b/#token=")
    with pytest.raises(InputError, match="no role"):
        _run(capsys, "review", "invite", "X", "-w", place, "--role", "boss")
    with pytest.raises(DataError):
        _run(capsys, "review", "revoke", "Nobody", "-w", place)
    people = {one["name"]: one["state"] for one in _run(capsys, "review", "status", "-w", place)["people"]}
    assert people == {"local reviewer": "active", "local lead": "active", "Dr Rao": "revoked", "Prof Lind": "active"}


def test_results_are_written_anywhere(tiny: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _served(tiny, "--port", "0") as (told, _):
        _judge(_client(told, "reviewer"), 2)
    found = _run(capsys, "review", "export", "-w", str(tiny.path), "--to", str(tmp_path / "out"))
    assert {"decisions.csv", "decisions.parquet", "consensus.parquet", "label_studio.json"} <= set(found["files"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == found["files"]


def test_what_must_not_be_served_is_refused_before_anything_is_written(
    tiny: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tiny.path)
    for words in (["--remote"], ["--host", "0.0.0.0"], ["--behind-proxy"], ["--remote", "--certfile", "x.pem"]):
        with pytest.raises(InputError):
            _run(capsys, "review", "serve", place, "--port", "0", *words)
    with pytest.raises(RecipeError):
        _run(capsys, "review", "serve", place, "--port", "0", "--set", "overlap=1")
    rubric = tmp_path / "rubric.yaml"
    rubric.write_text("questions: []\nreasons:\n  - {key: 1, id: a}\n")
    with pytest.raises(InputError, match=r"text|rubric"):
        _run(capsys, "review", "serve", place, "--port", "0", "--set", f"rubric={rubric}")
    assert not (tiny.path / "review").exists()


def test_this_machines_reviewer_steps_back_for_invited_ones(tiny: Workspace) -> None:
    from tenfold.recipes.reviewing import _idle_note, _local_people
    from tenfold.review.store import DATABASE, Store

    with Store.open_or_create(tiny.path / DATABASE) as store:
        first = _local_people(store, tiny)
        assert [(person.name, person.role) for person, _ in first] == [
            ("local reviewer", "reviewer"), ("local lead", "lead"),
        ]  # fmt: skip
        assert _local_people(store, tiny) == first, "links go on as long as they are valid"
        store.invite("Dr Rao")
        assert len(_local_people(store, tiny)) == 2
        assert "tenfold review revoke 'local reviewer'" in _idle_note(store)
        store.revoke("local reviewer")
        assert [person.name for person, _ in _local_people(store, tiny)] == ["local lead"]
        assert _idle_note(store) == ""
    (tiny.path / "review/local-links.json").write_text("[damaged")
    with Store.open(tiny.path / DATABASE) as store:
        assert _local_people(store, tiny)[0][1] != first[1][1], "a new link, as the old one is not known any more"


def test_the_side_is_that_of_generated_images_and_the_tick_covers_the_slowest(tiny: Workspace) -> None:
    from tenfold.review.items import real_items, synthetic_items

    items = [*synthetic_items(tiny), *real_items(tiny)]
    assert view_side(items, tiny) == 64, "never smaller"
    assert 0.02 <= answer_tick(items, tiny, 64) <= 1.0
    gone = [Item("0" * 16, "nowhere.png", "", "mole", "synthetic")]
    assert view_side(gone, tiny) == 1024
    assert answer_tick(gone, tiny, 64) == 0.02
