"""Pixels for blinded eyes: every image decoded, cut square and encoded alike, and padded to one length.

What is left of a file's origin is in its pixels: size, codec, tables, metadata and length are the same for all.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tenfold.core.errors import DataError, StorageError
from tenfold.core.hashing import sha256_bytes
from tenfold.data.image_bytes import image_bytes, is_in_shard
from tenfold.data.images import decode_image, encode_jpeg, resize_and_crop
from tenfold.review.faults import NO_FIT

Size = Literal["full", "thumb"]

THUMB_PX = 128
THREADS = min(max(2, os.cpu_count() or 1), 8)
MEDIA_TYPE = "image/jpeg"
_QUALITIES = (92, 85, 75, 60, 40, 20, 5)
"""The first that fits `view_length` is taken: the first of all but for images of mere noise."""
_BYTES_PER_PIXEL = 1.5
_HEADER_BYTES = 4096
_FOR_GOOD = (
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO,
)  # fmt: skip
"""What tells that a file is gone or kept from everybody; any other error may be over the next time."""


@dataclass(frozen=True)
class ImageFile:
    """An image on the disk, and the 64 hex digits of its bytes when it was queued (empty: not known)."""

    path: Path
    sha256: str


_Key = tuple[ImageFile, Size, "tuple[int, int] | None"]
_Made = tuple[bytes, float]


@dataclass(frozen=True)
class View:
    """A view that is kept or being made. The future gives its bytes and when they were there.

    `ready_at`: the moment (of `time.monotonic`) from which an answer may hold it. It follows from when views were asked
    for, never from how long one took to make: see `BlindImages`.
    """

    made: Future[_Made]
    ready_at: float


class BlindImages:
    """Views of image files, of one size and one length each; the last ones are kept in memory.

    A photograph of a clinic takes longer to decode than a small generated image, and one who asks for it also waits for
    those before it. So that no answer's time tells of either, views come due by a schedule: each `making_seconds` after
    it was asked for or later, and `spacing_seconds` after the one before or later. The threads keep ahead of it as long
    as views take less on average; one that is late nevertheless comes due in whole steps of `making_seconds`.
    """

    def __init__(
        self, side_px: int, *, making_seconds: float, spacing_seconds: float | None = None,
        cache_bytes: int = 256 * 2**20, threads: int = THREADS,
    ) -> None:  # fmt: skip
        self.side_px = side_px
        self.making_seconds = making_seconds
        self._spacing = making_seconds / (2 * threads) if spacing_seconds is None else spacing_seconds
        self._due = float("-inf")
        self._kept: OrderedDict[_Key, View] = OrderedDict()
        self._room = cache_bytes
        self._lock = threading.Lock()
        self._pool = _Threads(threads)

    def pixels(self, size: Size) -> int:
        """The side of a view."""
        return self.side_px if size == "full" else min(THUMB_PX, self.side_px)

    def view(self, image: ImageFile, size: Size) -> View:
        """The view, made by another thread unless kept; asked for ahead, it is there when it is needed.

        The future raises DataError when the file is gone, cannot be decoded or is not the one that was queued.
        """
        key = (image, size, _state(image.path))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            else:
                now = time.monotonic()
                self._due = max(now + self.making_seconds, self._due + self._spacing)
                self._kept[key] = View(self._pool.submit(self._make, key), self._due)
                self._room -= view_length(self.pixels(size))
                while self._room < 0 and len(self._kept) > 1:
                    self._room += view_length(self.pixels(self._kept.popitem(last=False)[0][1]))
            return self._kept[key]

    async def content(self, view: View) -> bytes:
        """The view's bytes, not before they are due. Raises what kept it from being made, at the same time."""
        try:
            made, finished = await asyncio.wrap_future(view.made)
        except (DataError, StorageError):
            await _until(self._step(view, time.monotonic()))
            raise
        await _until(self._step(view, finished))
        return made

    def close(self) -> None:
        """Stop making views; one whose file hangs is not waited for."""
        self._pool.close()

    def _step(self, view: View, finished: float) -> float:
        """When a view that was finished then is due."""
        late = max(0.0, finished - view.ready_at)
        return view.ready_at + math.ceil(late / self.making_seconds) * self.making_seconds

    def _make(self, key: _Key) -> _Made:
        try:
            return encode_view(read_verified(key[0]), self.pixels(key[1])), time.monotonic()
        except BaseException:
            with self._lock:  # the next who asks has it tried again
                if self._kept.pop(key, None) is not None:
                    self._room += view_length(self.pixels(key[1]))
            raise


class _Threads:
    """Threads that never keep the process from ending, as those of a ThreadPoolExecutor do: a share may hang."""

    def __init__(self, count: int) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"review-images-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[_Key], _Made], key: _Key) -> Future[_Made]:
        made: Future[_Made] = Future()
        self._jobs.put((made, lambda: work(key)))
        return made

    def close(self) -> None:
        """Cancel what waits; what is at work goes on by itself."""
        with suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job[0].cancel()
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            made, work = job
            if not made.set_running_or_notify_cancel():
                continue
            try:
                made.set_result(work())
            except BaseException as error:
                made.set_exception(error)


async def _until(moment: float) -> None:
    while (left := moment - time.monotonic()) > 0:
        await asyncio.sleep(left)


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of the file or of its shard, None when it is gone: a view is kept of one state only."""
    try:
        facts = (path.parent if is_in_shard(path) else path).stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def read_verified(image: ImageFile) -> bytes:
    """The file's bytes. DataError when it is gone, unreadable or has changed since it was queued; StorageError when it
    cannot be read for a reason that passes (a share that does not answer, too many open files)."""
    try:
        data = image_bytes(image.path)
    except OSError as error:
        if error.errno not in _FOR_GOOD:
            raise StorageError("an image cannot be read at present", where=str(image.path)) from error
        raise DataError(f"the image file cannot be read: {error.strerror}", where=str(image.path)) from error
    if image.sha256 and sha256_bytes(data) != image.sha256:
        raise DataError(
            "the image file has changed since it was queued", where=str(image.path),
            expected=f"bytes of SHA-256 {image.sha256}",
        )  # fmt: skip
    return data


def view_length(side_px: int) -> int:
    """The bytes of every view of that side: more than all but images of mere noise need at the first quality."""
    return int(side_px**2 * _BYTES_PER_PIXEL) + _HEADER_BYTES


def encode_view(data: bytes, side_px: int) -> bytes:
    """The largest centered square of an image, as a JPEG of one size, zeros behind its end up to `view_length`.

    Raises:
        DataError: the bytes are no image that can be decoded.
    """
    length = view_length(side_px)
    square = resize_and_crop(decode_image(data), side_px)
    for quality in _QUALITIES:
        encoded = encode_jpeg(square, quality)
        if len(encoded) <= length:
            return encoded.ljust(length, b"\0")
    raise DataError(NO_FIT)
