"""Measure the review page: its store, a queue of 100,000 images, and 50 reviewers at once.

    python -m scripts.measure_review FOLDER [--part store|page|crowd ...] [--images 100000] [--out measures.json]

store: what a decision, a look-up and an invitation take when most of the queue is decided. page: `tenfold review serve`
of that many images: its start, the first view, windows of the grid, the dashboard, and decisions meanwhile. crowd: 50
people judge images of 512 px (generated) and 1600 px (real) over loopback, without a pause and at a person's pace; the
people's own work is done on the same machine. FOLDER is made and left; milliseconds and seconds are wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from tenfold.core.files import write_json_atomic
from tenfold.core.hashing import sha256_bytes
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import make_manifest, pack_ancestors, write_manifest
from tenfold.review.records import Decision, Item, QueueSettings
from tenfold.review.store import DATABASE, Store
from tests.review_crowd import Person, ReviewServer, crowd_killed, crowd_paced
from tests.review_page import decision
from tests.tiny_data import LABELS, make_tiny_workspace

REVIEWERS = 50
LOOK_SECONDS = (0.5, 2.0)
POOL = 200
"""So many files stand behind 100,000 images."""
_SERVE = (
    "import sys, typer; from tenfold.cli import review_commands; app = typer.Typer(); "
    "app.add_typer(review_commands.app, name='review'); app(sys.argv[1:])"
)


def main() -> None:
    """Measure the parts asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=tuple(PARTS), nargs="+", default=list(PARTS))
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    measures: dict[str, Any] = {"cores": os.cpu_count(), "images": arguments.images}
    for part in arguments.part:
        folder = arguments.folder / part
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        load = os.getloadavg()[0]
        measures[part] = {"load before": round(load, 1), **PARTS[part](folder, arguments.images)}
        print(json.dumps({part: measures[part]}, indent=1), flush=True)
    if arguments.out:
        write_json_atomic(arguments.out, measures)


def measure_store(folder: Path, images: int) -> dict[str, Any]:
    """Single operations, at one reviewer who has decided six of ten images."""
    items = [
        Item(f"{n:016x}", f"images/{n}.png", f"{n:064x}", LABELS[n % 2], "real" if n % 6 == 0 else "synthetic")
        for n in range(images)
    ]
    found: dict[str, Any] = {}
    with Store.open_or_create(folder / "review.sqlite") as store:
        found["fill s"] = round(_seconds(lambda: store.fill(items, QueueSettings(1))), 3)
        found["first invitation s"] = round(_seconds(lambda: store.invite("ann")), 3)
        ann = store.reviewers()[0].id
        slots = store.queue(ann, 0, 2 * images)
        decided = len(slots) * 6 // 10
        for start in range(0, decided, 500):
            part = slots[start : min(start + 500, decided)]
            sent = [(ann, _decision(slot.opaque, n)) for n, slot in enumerate(part)]
            store.record([(ann, slot.opaque) for slot in part], sent)
        found |= {"slots": len(slots), "decided": decided}
        found["progress ms"] = _many(lambda: store.progress(ann))
        found["latest of one image ms"] = _many(lambda: store.latest(items[random.randrange(images)].image_id))
        found["adjudication, nothing to deal, ms"] = _many(store.plan_adjudication)
        found["window of 50 ms"] = _many(lambda: store.queue(ann, random.randrange(len(slots)), 50))

        def shown_and_decided() -> None:
            slot = store.queue(ann, store.progress(ann).next_position or 0, 1)[0]
            store.mark_served([(ann, slot.opaque)])
            store.record((), [(ann, _decision(slot.opaque, 1))])  # refused when it went to somebody else just now

        found["image noted and decision kept (2 commits) ms"] = _many(shown_and_decided)
        for name, change in (
            ("second invitation", "invite('ben')"),
            ("third invitation", "invite('cem')"),
            ("revoking of the third", "revoke('cem')"),
        ):
            words = f"from tenfold.review.store import Store\nwith Store.open({str(store.path)!r}) as s: s.{change}"
            command = [sys.executable, "-c", words]
            seconds, longest = _beside(lambda command=command: subprocess.run(command, check=True), shown_and_decided)
            found[f"{name} s"], found[f"longest decision during the {name} s"] = seconds, longest
    found["opening s"] = round(_seconds(lambda: Store.open(folder / "review.sqlite").close()), 3)
    return found


def measure_page(folder: Path, images: int) -> dict[str, Any]:
    """The command itself on a finished set of so many images; the files behind them are a few."""
    workspace = make_tiny_workspace(folder / "ws")
    _add_set(workspace, images)
    found: dict[str, Any] = {}
    for name in ("first start (plans the queue) s", "start s"):
        began = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "-c", _SERVE, "review", "serve", str(workspace.path), "--json", "--port", "0"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        found[name] = round(time.perf_counter() - began, 2)
        if name != "start s":
            server.send_signal(signal.SIGKILL)
            server.wait()
    try:
        judge, lead = (_client(told, role) for role in ("reviewer", "lead"))
        opened = []
        for _ in range(20):
            seconds, slots = _opened(judge)
            opened.append(seconds)
            _judge(judge, slots[: random.randrange(1, 4)])
        found["page to first image ms"] = _spread(opened)
        total = judge.get("/api/slots").json()["total"]
        found["slots"] = total
        found["window of 50 ms"] = _many(
            lambda: judge.get("/api/slots", params={"start": random.randrange(total), "count": 50})
        )
        found["decision ms"] = _spread(_decisions(judge, 100))
        found["lead's first window of all images s"] = round(_seconds(lambda: lead.get("/api/grid", timeout=60)), 3)
        found["lead's window of 100 ms"] = _many(
            lambda: lead.get("/api/grid", params={"start": random.randrange(images), "count": 100})
        )
        beside: list[float] = []
        seconds, _ = _beside(
            lambda: lead.get("/api/dashboard", timeout=300), lambda: beside.extend(_decisions(judge, 1))
        )
        found["dashboard, first, s"] = seconds
        found["decision while it is made ms"] = _spread(beside)
        found["dashboard again ms"] = _many(lambda: lead.get("/api/dashboard"), 20)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(120)
    return found


def measure_crowd(folder: Path, _images: int) -> dict[str, Any]:
    """50 people; every image is judged by all of them in the first round, and by few in the second."""
    found: dict[str, Any] = {}
    for name, overlap, count in (("all images by everyone", 1.0, 260), ("a hundredth by everyone", 0.01, 1600)):
        workspace = Workspace.create(folder / name.replace(" ", "-"), name="crowd", root_seed=3, data_license="CC0-1.0")
        pool = _files(workspace, count)
        items = [_crowd_item(workspace, pool, number) for number in range(count)]
        with Store.open_or_create(workspace.path / DATABASE) as store:
            store.fill(items, QueueSettings(seed=1, overlap_fraction=overlap, repeat_fraction=0.05))
            tokens = [store.invite(f"reviewer {number}").token for number in range(REVIEWERS)]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            server = ReviewServer(workspace.path, int(free.getsockname()[1]))
        server.start()
        people = [Person(server.port, token) for token in tokens]
        each, calm = (100, 30) if overlap == 1.0 else (10, 20)
        seconds = asyncio.run(crowd_killed(server, people, each, 0))
        hurried = {kind: [value for one in people for value in one.times[kind]] for kind in ("image", "decision")}
        paced = asyncio.run(crowd_paced(people, each, calm, LOOK_SECONDS))
        server.stop(signal.SIGTERM)
        found[name] = {
            "view px, seconds allowed for it and between two": server.told[1:],
            "without a pause, decisions a second": round(REVIEWERS * each / seconds),
            **{f"without a pause, {kind} ms": _spread(values) for kind, values in hurried.items()},
            **{f"looking {LOOK_SECONDS} s, {kind} ms": _spread(values) for kind, values in paced.items()},
        }
    return found


PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "store": measure_store, "page": measure_page, "crowd": measure_crowd,
}  # fmt: skip


def _decision(opaque: str, number: int) -> Decision:
    return Decision(f"client-{opaque}", opaque, "accept" if number % 5 else "reject", seconds=2.0)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _many(work: Callable[[], object], count: int = 100) -> dict[str, float]:
    return _spread([_seconds(work) for _ in range(count)])


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and longest in milliseconds, and how many."""
    values = 1000 * np.array(seconds)
    return {
        "median": round(float(np.median(values)), 2), "p95": round(float(np.quantile(values, 0.95)), 2),
        "longest": round(float(values.max()), 2), "n": len(values),
    }  # fmt: skip


def _beside(work: Callable[[], object], meanwhile: Callable[[], None]) -> tuple[float, float]:
    """Seconds that `work` took, and the longest of what was done over and over meanwhile."""
    thread = threading.Thread(target=work)
    longest = 0.0
    began = time.perf_counter()
    thread.start()
    while thread.is_alive():
        longest = max(longest, _seconds(meanwhile))
    thread.join()
    return round(time.perf_counter() - began, 2), round(longest, 2)


def _client(told: dict[str, Any], role: str) -> httpx.Client:
    link = next(person["link"] for person in told["people"] if person["role"] == role)
    address, _, token = link.partition("/#token=")
    client = httpx.Client(base_url=address, headers={"origin": address}, timeout=60)
    assert client.post("/api/session", json={"token": token}).status_code == 200
    return client


def _opened(client: httpx.Client) -> tuple[float, list[str]]:
    """Everything up to the first image, as the page asks for it, and the ids of the slots there."""
    began = time.perf_counter()
    for path in ("/", "/static/js/main.js", "/api/me", "/api/rubric", "/api/text"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        if path == "/api/me":
            start = answer.json()["progress"]["next_position"]
    slots = [one["slot"] for one in client.get("/api/slots", params={"start": start, "count": 100}).json()["slots"]]
    assert client.get(f"/api/image/{slots[0]}").status_code == 200
    return time.perf_counter() - began, slots


def _judge(client: httpx.Client, slots: Sequence[str]) -> list[float]:
    """Look at images and judge them; the seconds that each decision took."""
    seconds = []
    for slot in slots:
        assert client.get(f"/api/image/{slot}").status_code == 200
        sent = {"decisions": [decision(slot, client_id=f"measure-{slot}-{random.getrandbits(40)}")]}
        began = time.perf_counter()
        answer = client.post("/api/decisions", json=sent)
        seconds.append(time.perf_counter() - began)
        assert answer.json()["results"][0]["status"] == "saved"
    return seconds


def _decisions(client: httpx.Client, count: int) -> list[float]:
    start = client.get("/api/progress").json()["next_position"]
    slots = client.get("/api/slots", params={"start": start, "count": count}).json()["slots"]
    return _judge(client, [one["slot"] for one in slots])


def _files(workspace: Workspace, count: int) -> list[tuple[Path, str, bool]]:
    """Image files, one of six a photograph of 1600 px with EXIF, the others PNGs of 512 px; path, SHA-256, is real."""
    made = []
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    for number in range(count):
        is_real = number % 6 == 0
        generator = np.random.default_rng(number)
        coarse = Image.fromarray(generator.integers(60, 200, (64, 64, 3), dtype=np.uint8))
        size = (1600, 1200) if is_real else (512, 512)
        pixels = np.asarray(coarse.resize(size), dtype=np.int16)
        noise = generator.integers(-6, 7, (size[1], size[0], 1), dtype=np.int16)
        path = workspace.path / "pool" / f"{number:04}.{'jpg' if is_real else 'png'}"
        path.parent.mkdir(exist_ok=True)
        picture = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
        picture.save(path, **({"quality": 92, "exif": exif} if is_real else {"compress_level": 1}))
        made.append((path, sha256_bytes(path.read_bytes()), is_real))
    return made


def _crowd_item(workspace: Workspace, pool: Sequence[tuple[Path, str, bool]], number: int) -> Item:
    path, digest, is_real = pool[number % len(pool)]
    return Item(
        f"{number:016x}", workspace.relative(path), digest, LABELS[number % 2], "real" if is_real else "synthetic",
        "" if is_real else "main",
    )  # fmt: skip


def _add_set(workspace: Workspace, images: int) -> None:
    """A finished set; its rows share the pool's files."""
    pool = [one for one in _files(workspace, POOL) if not one[2]]
    rows = []
    for number in range(images):
        path, digest, _ = pool[number % len(pool)]
        rows.append({
            "image_id": f"{number:016x}", "path": workspace.relative(path), "label": LABELS[number % 2],
            "sha256": digest, "source": "synthetic", "split": "train", "strategy": "text2img",
            "prompt": f"a {number % 7}", "skin_type": number % 6 + 1, "ancestors": pack_ancestors(()),
            "review": "unreviewed", "width_px": 512, "height_px": 512, "seed": number,
        })  # fmt: skip
    folder = workspace.path / "synthetic" / "main"
    folder.mkdir(parents=True)
    write_manifest(make_manifest(rows), folder / "manifest.parquet")
    write_json_atomic(folder / "run.json", {"stage": "generate"})


if __name__ == "__main__":
    main()
