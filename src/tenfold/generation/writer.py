"""The writer: pixels become files in threads of their own, while the next batch is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tenfold.core.files import storage_errors
from tenfold.core.hashing import sha256_bytes, sha256_file
from tenfold.data.images import encode_png
from tenfold.data.near_duplicates import perceptual_hash
from tenfold.generation.parts import DrawnImage, WrittenFile, write_whole
from tenfold.generation.provenance import IMAGE_SUFFIXES, Provenance, encode_synthetic, image_suffix
from tenfold.generation.shards import SHARDS, TarWriter, shard_name

IMAGES = "images"
_FOLDERS = {"mask.png": "masks", "first.png": "first_passes"}


@dataclass(frozen=True)
class Picture:
    """One image as drawn, and what is written of it.

    fault: the screening's word when the last redraw failed too. mask: (H, W) True on the lesion where the strategy
    moved it. first_pass: (H, W, 3) before the second pass of a strategy of two.
    """

    pixels: NDArray[np.uint8]
    provenance: Provenance
    class_number: int
    fault: str | None = None
    mask: NDArray[np.bool_] | None = None
    first_pass: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Encoded:
    """An image's files by suffix, the image itself first, and its facts."""

    key: str
    members: Mapping[str, bytes]
    image: DrawnImage


class Store(Protocol):
    """Where the images of one part go."""

    def add(self, encoded: Encoded) -> None:
        """Take the next image, in the plan's order."""

    def close(self) -> list[WrittenFile]:
        """Put everything into its place; the files as they lie there."""


class FolderStore:
    """A file for each image: ``images/<id>.png``; masks and first passes in folders of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[WrittenFile] = []

    def add(self, encoded: Encoded) -> None:
        """Write the image's files; those that only shards hold (text, class, JSON) are left out."""
        for suffix, data in encoded.members.items():
            if suffix in _FOLDERS or suffix in IMAGE_SUFFIXES:
                name = f"{_FOLDERS.get(suffix, IMAGES)}/{encoded.key}.{suffix.rpartition('.')[2]}"
                with write_whole(self._folder, name) as temporary:
                    temporary.write_bytes(data)
                sha256 = encoded.image.sha256 if suffix in IMAGE_SUFFIXES else sha256_bytes(data)
                self._files.append(_as_written(self._folder, name, sha256))

    def close(self) -> list[WrittenFile]:
        """All is in its place already."""
        return self._files


class ShardStore:
    """One tar for all images of a part: the image, its record, its caption and its class number."""

    def __init__(self, folder: Path, set_name: str, part_number: int) -> None:
        self._folder = folder
        self._name = f"{SHARDS}/{shard_name(set_name, part_number)}"
        self._writing = ExitStack()
        self._temporary = self._writing.enter_context(write_whole(folder, self._name))
        self._tar = TarWriter(self._temporary)

    def add(self, encoded: Encoded) -> None:
        """Append the image's members."""
        with storage_errors(self._folder / self._name):
            self._tar.add(encoded.key, encoded.members)

    def close(self) -> list[WrittenFile]:
        """Finish the tar and give it its name."""
        with storage_errors(self._folder / self._name):
            self._tar.close()
            sha256 = sha256_file(self._temporary)
        self._writing.close()
        return [_as_written(self._folder, self._name, sha256)]


class Encoder:
    """Threads that make bytes of pictures; zlib, SHA-256 and Pillow let the interpreter go on meanwhile."""

    def __init__(self, threads: int, *, with_texts: bool) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="encode")
        self._with_texts = with_texts

    def submit(self, pictures: Sequence[Picture]) -> list[Future[Encoded]]:
        """Begin to encode a batch."""
        return [self._pool.submit(self._encode, picture) for picture in pictures]

    def _encode(self, picture: Picture) -> Encoded:
        data = encode_synthetic(picture.pixels, picture.provenance)
        request, redraw = picture.provenance.request, picture.provenance.redraw
        members = {image_suffix(request): data}
        if self._with_texts:
            members["json"] = picture.provenance.text.encode("ascii")
            members["txt"] = (request.prompt or request.label).encode("utf-8")
            members["cls"] = str(picture.class_number).encode("ascii")
        if picture.mask is not None:
            members["mask.png"] = encode_png(picture.mask.astype(np.uint8) * np.uint8(255))
        if picture.first_pass is not None:
            members["first.png"] = encode_png(picture.first_pass, level=1)
        height_px, width_px = picture.pixels.shape[:2]
        image = DrawnImage(
            request.image_id, sha256_bytes(data), perceptual_hash(picture.pixels), width_px, height_px,
            redraws=0 if redraw is None else redraw.attempt,
            seeds=None if redraw is None else dict(redraw.seeds),
            fault=picture.fault, has_mask=picture.mask is not None,
        )  # fmt: skip
        return Encoded(request.image_id, members, image)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)


def _as_written(folder: Path, name: str, sha256: str) -> WrittenFile:
    facts = (folder / name).stat()
    return WrittenFile(name, facts.st_size, facts.st_mtime_ns, sha256)
