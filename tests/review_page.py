"""A small review to be judged in tests: images on the disk, a store with people in it, and the page's app."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from tenfold.core.files import write_json_atomic
from tenfold.core.hashing import sha256_bytes
from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import make_manifest, pack_ancestors, write_manifest
from tenfold.review.records import Item, QueueSettings, Role
from tenfold.review.rubric import load_rubric
from tenfold.review.store import DATABASE, Store
from tenfold.review.web.app import create_app
from tenfold.review.web.context import PageSettings
from tenfold.review.web.security import Place, loopback_place

ADDRESS = "http://127.0.0.1:8765"
LABELS = ("mole", "rash")

_numbers = itertools.count(1)


def make_items(workspace: Workspace, n_synthetic: int = 9, n_real: int = 3, side_px: int = 32) -> list[Item]:
    """Images of both origins, unlike in size and format as those of a clinic and a generator are."""
    return [_make_item(workspace, n, n >= n_synthetic, side_px) for n in range(n_synthetic + n_real)]


def _make_item(workspace: Workspace, number: int, is_real: bool, side_px: int) -> Item:
    generator = numpy_generator(derive_seed(3, "review-page", number))
    height, width = (side_px * 2 + number % 5, side_px * 3) if is_real else (side_px, side_px)
    base = generator.integers(60, 200, size=3)
    pixels = np.clip(base + generator.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
    place = workspace.path / ("data/images" if is_real else "synthetic/main/images")
    place.mkdir(parents=True, exist_ok=True)
    path = place / (f"{number:04}.jpg" if is_real else f"{number:04}.png")
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    return Item(
        image_id=sha256_bytes(data)[:16], path=workspace.relative(path), sha256=sha256_bytes(data),
        label=LABELS[number % 2], source="real" if is_real else "synthetic", set="" if is_real else "main",
        strategy=None if is_real else "text2img", prompt=None if is_real else f"a photo of a {LABELS[number % 2]}",
        skin_type=number % 6 + 1, severity="mild",
    )  # fmt: skip


@dataclass
class Page:
    """A review and its app. `tokens`: the links' tokens by name."""

    workspace: Workspace
    store: Store
    app: FastAPI
    items: dict[str, Item]
    tokens: dict[str, str] = field(default_factory=dict)
    address: str = ADDRESS

    def invite(self, name: str, role: Role = "reviewer", days: float = 14.0) -> str:
        """A new link's token."""
        self.tokens[name] = self.store.invite(name, role, days).token
        return self.tokens[name]

    def client(self, name: str | None = None) -> TestClient:
        """A browser of its own, signed in when a name is given; close it or not: it holds nothing."""
        made = TestClient(
            self.app, base_url=self.address, headers={"origin": self.address}, raise_server_exceptions=False
        )
        if name is not None:
            answer = made.post("/api/session", json={"token": self.tokens[name]})
            assert answer.status_code == 200, answer.text
        return made


@contextmanager
def review_page(
    workspace: Workspace,
    reviewers: Sequence[str] = ("ann",),
    *,
    place: Place | None = None,
    items: Sequence[Item] | None = None,
    settings: QueueSettings | None = None,
    **more: Any,
) -> Iterator[Page]:
    """A page with these reviewers; every image goes to everyone and none comes back, unless `settings` say so."""
    made = list(make_items(workspace) if items is None else items)
    with Store.open_or_create(workspace.path / DATABASE) as store:
        store.fill(made, settings or QueueSettings(seed=5, overlap_fraction=1.0, repeat_fraction=0.0))
        given = {"side_px": 32, "rubric": load_rubric(), "tick_seconds": 0.001} | more
        app = create_app(store, workspace, PageSettings(place=place or loopback_place(8765), **given))
        address = ADDRESS if place is None else min(place.origins)
        page = Page(workspace, store, app, {item.image_id: item for item in made}, address=address)
        for name in reviewers:
            page.invite(name)
        try:
            yield page
        finally:
            app.state.review.close()


def decision(slot: str, verdict: str = "accept", **more: Any) -> dict[str, Any]:
    """A decision as the page sends it, with a client_id of its own."""
    sent = {
        "client_id": f"client-{next(_numbers):08}", "slot": slot, "verdict": verdict, "reasons": [], "answers": {},
        "comment": "", "seconds": 2.5, "client_time": "2026-01-31T10:00:00.000Z", "undoes": None,
    }  # fmt: skip
    return {**sent, **more}


def slots_of(client: TestClient, kind: str = "queue") -> list[str]:
    """The ids of a reviewer's slots, in order."""
    answer = client.get("/api/slots", params={"count": 500, "kind": kind})
    assert answer.status_code == 200, answer.text
    return [slot["slot"] for slot in answer.json()["slots"]]


def look(client: TestClient, slot: str) -> None:
    """Have an image served, as a page does before it shows it."""
    assert client.get(f"/api/image/{slot}").status_code == 200


def path_of(page: Page, slot: str) -> Path:
    """The file behind a slot."""
    return page.workspace.path / page.store.find_slot(slot).item.path


def add_synthetic_set(workspace: Workspace, count: int, name: str = "main", side_px: int = 32) -> None:
    """A finished set of `count` images, as `tenfold generate` leaves it; `workspace` holds split real images."""
    rows = []
    for item in make_items(workspace, count, 0, side_px):
        facts = {
            key: getattr(item, key)
            for key in ("image_id", "path", "label", "sha256", "strategy", "prompt", "skin_type")
        }
        rows.append({
            **facts, "source": "synthetic", "split": "train", "ancestors": pack_ancestors(()), "review": "unreviewed",
            "width_px": side_px, "height_px": side_px, "seed": len(rows),
        })  # fmt: skip
    folder = workspace.path / "synthetic" / name
    write_manifest(make_manifest(rows), folder / "manifest.parquet")
    write_json_atomic(folder / "run.json", {"stage": "generate"})
