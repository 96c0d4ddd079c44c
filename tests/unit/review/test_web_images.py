"""Views of images: one size, one codec, one length, whatever the file; faults told; nothing hangs."""

from __future__ import annotations

import io
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.hashing import sha256_bytes
from tenfold.data.image_bytes import LARGEST_BYTES
from tenfold.review.web.images import BlindImages, ImageFile, encode_view, view_length


def _bytes(pixels: np.ndarray, kind: str, **more: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **more)
    return buffer.getvalue()


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_views_of_unlike_files_are_alike() -> None:
    flat = np.full((80, 200, 3), 128, np.uint8)
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    files = [
        _bytes(flat, "PNG"), _bytes(_noise(70, 70), "PNG"), _bytes(flat[..., 0], "PNG"),
        _bytes(_noise(300, 90), "JPEG", quality=40, exif=exif, comment=b"clinic"), _bytes(flat, "BMP"),
    ]  # fmt: skip
    views = [encode_view(data, 64) for data in files]
    assert {len(view) for view in views} == {view_length(64)}
    for view in views:
        picture = Image.open(io.BytesIO(view))
        assert (picture.size, picture.mode) == ((64, 64), "RGB")
        assert not set(picture.info) & {"exif", "comment", "icc_profile"}
    assert len({view[: view.index(b"\xff\xda")] for view in views}) == 1, "even noise takes the first quality"
    assert b"camera" not in views[3] and b"clinic" not in views[3]


def test_what_is_no_image_or_not_the_queued_one_is_refused(tmp_path: Path) -> None:
    images = BlindImages(32, making_seconds=0.01)
    good = tmp_path / "good.png"
    good.write_bytes(_bytes(_noise(40, 40), "PNG"))
    digest = sha256_bytes(good.read_bytes())
    assert len(images.view(ImageFile(good, digest), "thumb").made.result()[0]) == view_length(32)
    assert images.view(ImageFile(good, ""), "full").made.result()
    with pytest.raises(DataError, match="changed"):
        images.view(ImageFile(good, "0" * 64), "full").made.result()
    for data in (b"", b"no image", good.read_bytes()[:200], b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        bad = tmp_path / "bad.png"
        bad.write_bytes(data)
        with pytest.raises(DataError):
            images.view(ImageFile(bad, ""), "full").made.result()
    good.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        images.view(ImageFile(good, digest), "thumb").made.result()
    images.close()


def test_views_are_kept_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenfold.review.web import images as module

    made: list[int] = []
    encode = module.encode_view
    monkeypatch.setattr(module, "encode_view", lambda data, side: made.append(side) or encode(data, side))
    images = BlindImages(32, making_seconds=0.01, cache_bytes=2 * view_length(32), threads=1)
    files = []
    for number in range(3):
        files.append(ImageFile(tmp_path / f"{number}.png", ""))
        files[-1].path.write_bytes(_bytes(_noise(32, 32 + number), "PNG"))
    for file in (files[0], files[0], files[1], files[1], files[0]):
        images.view(file, "full").made.result()
    assert len(made) == 2
    for file in (files[2], files[0], files[2], files[1]):
        images.view(file, "full").made.result()
    assert len(made) == 4, "the view that was asked for longest ago went, and was made again"
    images.close()


def _pipe(place: Path) -> None:
    os.mkfifo(place)


def _socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place))


def _huge(place: Path) -> None:
    with place.open("wb") as stream:
        stream.truncate(LARGEST_BYTES + 1)


def _zeros(place: Path) -> None:
    place.symlink_to("/dev/zero")


def _round(place: Path) -> None:
    place.symlink_to(place)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (_pipe, "a pipe or a device"),
        (_socket, "cannot be read"),
        (_huge, "too large"),
        (_zeros, "a pipe or a device"),
        (_round, "cannot be read"),
    ],
)
def test_what_would_never_end_is_a_fault_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("odd.png"))
    images = BlindImages(32, making_seconds=0.01)
    with pytest.raises(DataError, match=what):
        images.view(ImageFile(Path("odd.png"), ""), "full").made.result(10)
    images.close()


def test_a_file_that_hangs_does_not_keep_the_process_from_ending(tmp_path: Path) -> None:
    code = """
import sys, threading
from pathlib import Path
from tenfold.review.web import images as module
begun = threading.Event()
module.read_verified = lambda image: begun.set() or threading.Event().wait()
images = module.BlindImages(32, making_seconds=0.01, threads=1)
first, second = (images.view(module.ImageFile(Path(name), ""), "full").made for name in "ab")
assert begun.wait(30)
images.close()
assert second.cancelled() and not first.done()
print("ended")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_views_come_due_by_when_they_were_asked_for_not_by_their_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio
    import time

    from tenfold.review.web import images as module

    slow = tmp_path / "0.png"
    monkeypatch.setattr(module, "encode_view", lambda data, _side: time.sleep(0.12 * (data == b"0")) or data)
    images = BlindImages(32, making_seconds=0.05, threads=2)
    files = []
    for number in range(4):
        files.append(ImageFile(tmp_path / f"{number}.png", ""))
        files[-1].path.write_bytes(str(number).encode())
    began = time.monotonic()
    views = [images.view(file, "full") for file in files]
    due = [view.ready_at for view in views]
    assert due[0] >= began + 0.05
    assert all(later - before >= 0.05 / 4 - 1e-9 for before, later in itertools.pairwise(due))
    assert images.view(files[2], "full") is views[2], "asked for again, it keeps its time"

    async def left(number: int) -> float:
        assert await images.content(views[number]) == str(number).encode()
        return time.monotonic()

    async def all_left() -> list[float]:
        return await asyncio.gather(*(left(number) for number in range(4)))

    times = asyncio.run(all_left())
    assert all(moment >= ready for moment, ready in zip(times, due, strict=True)), "nothing leaves before it is due"
    steps = (views[0].made.result()[1] - due[0]) / 0.05
    assert steps > 0 and times[0] >= due[0] + 0.05 * steps, "a late one leaves a whole step later"
    slow.unlink()
    late = images.view(files[0], "full")
    with pytest.raises(DataError):
        asyncio.run(images.content(late))
    assert time.monotonic() >= late.ready_at, "a fault is told at the time of a view"
    assert images.view(files[0], "full") is not late, "and the view is tried again"
    images.close()
