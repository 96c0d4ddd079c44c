"""Parts: the units in which a plan is drawn, recorded, resumed and shared out to shards; and their records."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError, InputError
from tenfold.core.files import read_json, storage_errors
from tenfold.core.hashing import canonical_json, sha256_file
from tenfold.generation.locking import Shard

RECORDS = "parts"
DAMAGED = "damaged"
UNFINISHED = "unfinished"
"""Files on their way: each is renamed into its place when whole. Of no use to anybody after a crash."""


@dataclass(frozen=True)
class Part:
    """Consecutive batches of the plan. Images `first_image` to `first_image + images` - 1 in the plan's order."""

    number: int
    first_batch: int
    batches: int
    first_image: int
    images: int

    @property
    def name(self) -> str:
        """File name of its record."""
        return f"part-{self.number:06d}"

    @property
    def batch_numbers(self) -> range:
        """Its batches in the plan."""
        return range(self.first_batch, self.first_batch + self.batches)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of a part, relative to the set's folder, as it lay on the disk when the part was done."""

    name: str
    size_bytes: int
    mtime_ns: int
    sha256: str

    def fault(self, folder: Path, *, reads_all: bool = False) -> str | None:
        """What is wrong with the file now; None when it is as written.

        Without `reads_all` it is read only when its size or time differ.
        """
        path = folder / self.name
        try:
            facts = path.stat()
        except OSError:
            return "is missing"
        if not reads_all and (facts.st_size, facts.st_mtime_ns) == (self.size_bytes, self.mtime_ns):
            return None
        if facts.st_size != self.size_bytes:
            return f"has {facts.st_size} bytes instead of {self.size_bytes}"
        return None if sha256_file(path) == self.sha256 else "has another SHA-256 than was recorded"


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """What the manifest tells about a written image.

    seeds: those that made it, by field, where they are not the request's (it was redrawn). fault: the word of the
    screening when the last redraw failed too.
    """

    image_id: str
    sha256: str
    phash: str
    width_px: int
    height_px: int
    redraws: int = 0
    seeds: Mapping[str, int] | None = None
    fault: str | None = None
    has_mask: bool = False
    """Whether a mask of its own was written, because the strategy moved the lesion."""


@dataclass(frozen=True)
class PartRecord:
    """A finished part: its images in order, its files, what it was made with, and prompts with what was cut of them."""

    images: tuple[DrawnImage, ...]
    files: tuple[WrittenFile, ...]
    environment: Mapping[str, Any]
    cut_prompts: Mapping[str, str]


def cut_parts(batch_sizes: Sequence[int], images_per_part: int | None) -> tuple[Part, ...]:
    """Whole batches, as many as hold at most `images_per_part` images (one at least); None: one batch each."""
    parts: list[Part] = []
    first_batch = first_image = 0
    while first_batch < len(batch_sizes):
        count, images = 1, batch_sizes[first_batch]
        while (
            images_per_part is not None
            and first_batch + count < len(batch_sizes)
            and images + batch_sizes[first_batch + count] <= images_per_part
        ):
            images += batch_sizes[first_batch + count]
            count += 1
        parts.append(Part(len(parts), first_batch, count, first_image, images))
        first_batch, first_image = first_batch + count, first_image + images
    return tuple(parts)


def chosen_parts(parts: Sequence[Part], shard: Shard | None, limit: int | None) -> tuple[Part, ...]:
    """The shard's consecutive share of the parts, nearly equal in number; of these, as few as hold `limit` images."""
    chosen = parts
    if shard is not None:
        first, last = ((number * len(parts)) // shard.count for number in (shard.number - 1, shard.number))
        chosen = parts[first:last]
    if limit is None:
        return tuple(chosen)
    if limit < 1:
        raise InputError(f"a limit of {limit} images draws nothing", expected="1 or more")
    held = 0
    kept = []
    for part in chosen:
        if held >= limit:
            break
        kept.append(part)
        held += part.images
    return tuple(kept)


def write_record(folder: Path, part: Part, record: PartRecord) -> None:
    """Say that the part is done; only then it is."""
    content = asdict(record)
    content["images"] = [{name: value for name, value in image.items() if value}
                         for image in content["images"]]  # fmt: skip
    content["files"] = [list(file.values()) for file in content["files"]]
    name = f"{RECORDS}/{part.name}.json"
    with write_whole(folder, name) as temporary, open(temporary, "wb") as stream:
        stream.write(canonical_json(content).encode("ascii"))
        stream.flush()
        os.fsync(stream.fileno())


def read_record(folder: Path, part: Part) -> PartRecord | None:
    """The part's record; None when there is none that can be read."""
    path = folder / RECORDS / f"{part.name}.json"
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        return PartRecord(
            tuple(DrawnImage(**image) for image in content["images"]),
            tuple(WrittenFile(*file) for file in content["files"]),
            content["environment"],
            content["cut_prompts"],
        )
    except (DataError, KeyError, TypeError):
        return None


def finished_parts(
    folder: Path, parts: Iterable[Part], image_ids: Sequence[str], faults: list[str], *, reads_all: bool = False
) -> Iterator[tuple[Part, bool]]:
    """Each part, and whether it is done: its record names its images, and its files are as recorded.

    A file that is not is moved to ``damaged/``, so that it can be looked at, and its part is to be drawn anew; `faults`
    gets a sentence for each.
    """
    for part in parts:
        record = read_record(folder, part)
        expected = image_ids[part.first_image : part.first_image + part.images]
        if record is None or [image.image_id for image in record.images] != list(expected):
            yield part, False
            continue
        found = [(file, fault) for file in record.files if (fault := file.fault(folder, reads_all=reads_all))]
        for file, fault in found:
            faults.append(f"{file.name} {fault}")
            _set_aside(folder, file)
        if found:
            (folder / RECORDS / f"{part.name}.json").unlink(missing_ok=True)
        yield part, not found


@contextmanager
def write_whole(folder: Path, name: str) -> Iterator[Path]:
    """Yield a path of this process alone; afterwards the file takes its `name` in the folder.

    Unlike `write_atomic`'s, these survive the start of another shard's process, which tidies up in the folder.
    """
    temporary = folder / UNFINISHED / f"{_process()}-{name.replace('/', '-')}"
    with storage_errors(folder / name):
        temporary.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, folder / name)


def discard_unfinished(folder: Path, *, of_all: bool = False) -> None:
    """Remove what this process, or any, left on its way."""
    for path in (folder / UNFINISHED).glob("*" if of_all else f"*{_process()}-*"):
        path.unlink(missing_ok=True)


def _process() -> str:
    return f"{platform.node()}-{os.getpid()}"


def _set_aside(folder: Path, file: WrittenFile) -> None:
    path = folder / file.name
    if path.is_file():
        target = folder / DAMAGED / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
