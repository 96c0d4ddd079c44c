"""Blinding: a classifier given all that the API's answers hold but the pixels cannot tell real from generated.

Every reviewer's queue is walked as the page walks it, several images at once. Real images are large photographs with a
camera's notes, generated ones small PNGs: what is left of that would show in lengths, headers, ids, order, times, or in
the bytes of a JPEG before its pixels. The same classifier is shown to see the origin where one guard is taken away.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from tenfold.core.hashing import sha256_bytes
from tenfold.core.workspace import Workspace
from tenfold.metrics.delong import auroc_interval
from tenfold.recipes.review_page import answer_tick, view_spacing
from tenfold.review.records import Item, QueueSettings
from tenfold.review.web import images as views
from tenfold.review.web import queue_routes
from tenfold.review.web.context import Review
from tests.review_page import ADDRESS, LABELS, Page, decision, review_page

_SCAN = b"\xff\xda"
_SIDE_PX = 96
_REAL_PX = (1600, 1200)
_AT_ONCE = 4
"""Images asked for together, as the page does."""


@dataclass
class _Seen:
    """What each slot's answers were like, whether the image is real, and which image it is."""

    rows: list[list[float]] = field(default_factory=list)
    is_real: list[bool] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)


def _items(workspace: Workspace, count: int) -> list[Item]:
    """Half of them photographs of 1600 px with EXIF and a comment, half small PNGs."""
    made = []
    exif = Image.Exif()
    exif[0x010F], exif[0x0132] = "a camera", "2020:01:02 03:04:05"
    for number in range(count):
        is_real = number % 2 == 0
        coarse = np.random.default_rng(number).integers(40, 220, (24, 32, 3), dtype=np.uint8)
        path = workspace.path / "pixels" / f"{number:04}.{'jpg' if is_real else 'png'}"
        path.parent.mkdir(exist_ok=True)
        if is_real:
            Image.fromarray(coarse).resize(_REAL_PX).save(path, quality=95, exif=exif, comment=b"clinic 7")
        else:
            Image.fromarray(coarse).resize((_SIDE_PX, _SIDE_PX)).save(path)
        data = path.read_bytes()
        made.append(Item(
            image_id=sha256_bytes(data)[:16], path=workspace.relative(path), sha256=sha256_bytes(data),
            label=LABELS[number // 2 % 2], source="real" if is_real else "synthetic", set="" if is_real else "main",
        ))  # fmt: skip
    return made


async def _walk(page: Page, name: str, seen: _Seen) -> None:
    """Judge a reviewer's whole queue, a few images at once."""
    transport = httpx.ASGITransport(app=page.app)
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS, headers={"origin": ADDRESS}) as client:
        answer = await client.post("/api/session", json={"token": page.tokens[name]})
        assert answer.status_code == 200
        slots = (await client.get("/api/slots", params={"count": 500})).json()["slots"]
        for start in range(0, len(slots), _AT_ONCE):
            part = slots[start : start + _AT_ONCE]
            full = await asyncio.gather(*(_image_facts(client, slot["slot"], "full") for slot in part))
            small = await asyncio.gather(*(_image_facts(client, slot["slot"], "thumb") for slot in part))
            for slot, large, thumb in zip(part, full, small, strict=True):
                ids = [float(byte) for byte in bytes.fromhex(slot["slot"])]
                judged = await _decision_facts(client, slot["slot"])
                seen.rows.append(
                    [
                        float(slot["position"]),
                        float(zlib.crc32(slot["label"].encode())),
                        *ids,
                        float(len(str(slot))),
                        *large,
                        *thumb,
                        *judged,
                    ]
                )
                item = page.store.find_slot(slot["slot"]).item
                seen.is_real.append(item.source == "real")
                seen.groups.append(item.image_id)


async def _image_facts(client: httpx.AsyncClient, slot: str, size: str) -> list[float]:
    began = time.perf_counter()
    answer = await client.get(f"/api/image/{slot}", params={"size": size})
    seconds = time.perf_counter() - began
    assert answer.status_code == 200
    head = answer.content.partition(_SCAN)[0]
    header = str(sorted(answer.headers.items())).encode()
    return [seconds, float(len(answer.content)), float(len(head)), float(zlib.crc32(head)), float(zlib.crc32(header)),
            float(len(header))]  # fmt: skip


async def _decision_facts(client: httpx.AsyncClient, slot: str) -> list[float]:
    began = time.perf_counter()
    answer = await client.post("/api/decisions", json={"decisions": [decision(slot)]})
    seconds = time.perf_counter() - began
    assert answer.json()["results"][0]["status"] == "saved"
    return [seconds, float(len(str(answer.json()["results"][0]))), float(len(str(sorted(answer.headers.items()))))]


@contextmanager
def _page(workspace: Workspace, count: int, reviewers: Sequence[str]) -> Iterator[Page]:
    items = _items(workspace, count)
    settings = QueueSettings(seed=11, overlap_fraction=0.3, repeat_fraction=0.1)
    times = {
        "tick_seconds": answer_tick(items, workspace, _SIDE_PX),
        "spacing_seconds": view_spacing(items, workspace, _SIDE_PX),
    }
    with review_page(workspace, reviewers, items=items, settings=settings, side_px=_SIDE_PX, **times) as page:
        yield page


def _seen(page: Page) -> _Seen:
    found = _Seen()
    for name in page.tokens:
        asyncio.run(_walk(page, name, found))
    return found


def _interval(seen: _Seen) -> tuple[float, float]:
    """A 99.9 % interval of the cross-validated AUC; an image that comes twice is never on both sides."""
    table, truth = np.array(seen.rows), np.array(seen.is_real)
    model = HistGradientBoostingClassifier(max_iter=60, max_depth=3, min_samples_leaf=8, random_state=0)
    # Stratified: else a part with many real images is scored by a model that saw few, and chance falls below 0.5.
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, table, truth, groups=np.array(seen.groups), cv=folds, method="predict_proba")
    images = np.unique(seen.groups, return_inverse=True)[1]
    found = auroc_interval(truth, scores[:, 1], images, level=0.999)
    return found.low, found.high


@pytest.mark.parametrize("count", [80, pytest.param(400, marks=pytest.mark.slow)])
def test_nothing_but_pixels_tells_real_from_generated(
    workspace: Workspace, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with _page(workspace, count, ("ann", "ben")) as page:
        seen = _seen(page)
    low, high = _interval(seen)
    with capsys.disabled():
        print(f"\nblinding, {len(seen.rows)} looks at {count} images: AUC {low:.2f} to {high:.2f} (99.9 %)")
    assert low <= 0.5 <= high, f"AUC interval {low:.3f} to {high:.3f}"


def _without_padding(patch: pytest.MonkeyPatch) -> None:
    """Views end where their JPEG ends."""
    encode = views.encode_view
    patch.setattr(views, "encode_view", lambda data, side: encode(data, side).rstrip(b"\0"))


def _without_schedule(patch: pytest.MonkeyPatch) -> None:
    """Views leave as soon as they are made, and are made when they are asked for."""
    patch.setattr(queue_routes, "ANSWER_SECONDS", 1e-6)
    patch.setattr(views.BlindImages, "_step", lambda self, view, finished: finished)
    patch.setattr(Review, "make_ahead", lambda *_args, **_more: None)


def _as_it_lies(patch: pytest.MonkeyPatch) -> None:
    """The file's own bytes are sent."""
    patch.setattr(views, "encode_view", lambda data, side: data)


@pytest.mark.parametrize(("leak", "count"), [(_without_padding, 60), (_without_schedule, 120), (_as_it_lies, 60)])
def test_the_same_classifier_sees_a_server_that_leaks(
    workspace: Workspace,
    leak: Callable[[pytest.MonkeyPatch], None],
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    leak(monkeypatch)
    with _page(workspace, count, ("ann",)) as page:
        low, high = _interval(_seen(page))
    with capsys.disabled():
        print(f"\n{leak.__name__[1:]}: AUC {low:.2f} to {high:.2f} (99.9 %)")
    assert low > 0.5, f"AUC interval {low:.3f} to {high:.3f}"
