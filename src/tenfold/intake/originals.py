"""Originals: the hashes of the source's files, and the exact duplicates among them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tenfold.core.executor import Executor, in_order
from tenfold.core.files import write_atomic
from tenfold.core.hashing import canonical_json, sha256_bytes, sha256_file
from tenfold.core.progress import Progress
from tenfold.data.import_items import ImportItem, Listing, QuarantineRow

IMAGE_ID_DIGITS = 16
_BATCH_FILES = 128


@dataclass(frozen=True, slots=True)
class Original:
    """An image to import, with the SHA-256 and the size of its file."""

    item: ImportItem
    sha256: str
    file_bytes: int = 0

    @property
    def picture(self) -> str:
        """What makes two originals the same picture: the file's bytes and, where it holds several, the frame."""
        frame = None if self.item.choice is None else self.item.choice.frame
        return self.sha256 if frame is None else f"{self.sha256}:{frame}"

    @property
    def image_id(self) -> str:
        """The first 16 hex digits of the file's SHA-256; of one frame of it those of SHA-256 over `sha256:frame`."""
        is_file = self.picture == self.sha256
        return (self.sha256 if is_file else sha256_bytes(self.picture.encode("ascii")))[:IMAGE_ID_DIGITS]


@dataclass(frozen=True, slots=True)
class FileHash:
    """The SHA-256 and size of a file; without a hash, `fault` and `detail` say why."""

    sha256: str = ""
    file_bytes: int = 0
    fault: str = ""
    detail: str = ""


def hash_originals(
    items: Sequence[ImportItem], executor: Executor, progress: Progress
) -> tuple[list[Original], list[QuarantineRow]]:
    """The items with their hashes, in order; those that cannot be read, or are empty, as quarantine rows."""
    hashes = hash_paths([item.file for item in items], executor, progress)
    originals: list[Original] = []
    quarantined: list[QuarantineRow] = []
    for item, found in zip(items, hashes, strict=True):
        if found.fault:
            quarantined.append(quarantine(item, found.fault, found.detail))
        else:
            originals.append(Original(item, found.sha256, found.file_bytes))
    return originals, quarantined


def hash_paths(paths: Sequence[str], executor: Executor, progress: Progress) -> Iterator[FileHash]:
    """The hash of each file, in order, by the executor's workers, as they come."""
    tasks = [paths[start : start + _BATCH_FILES] for start in range(0, len(paths), _BATCH_FILES)]
    with progress.task("Reading files", len(paths)) as task:
        for answer in in_order(executor.map(hash_files, tasks)):
            yield from answer
            task.advance(len(answer))


def hash_files(paths: Sequence[str]) -> list[FileHash]:
    """The hash of each file, in order."""
    return [_hash_file(path) for path in paths]


def without_duplicates(originals: Sequence[Original]) -> tuple[list[Original], list[QuarantineRow]]:
    """The originals to keep, in order: of identical files the first, and none when they carry different labels.

    Nobody can tell which label is right, so files with `conflicting_labels` stay out of training and test altogether.
    """
    counts = Counter(original.picture for original in originals)
    twins: dict[str, list[Original]] = {}
    for original in originals:
        if counts[original.picture] > 1:
            twins.setdefault(original.picture, []).append(original)
    is_torn = {picture for picture, found in twins.items() if len({twin.item.label for twin in found}) > 1}
    kept: list[Original] = []
    quarantined: list[QuarantineRow] = []
    for original in originals:
        found = twins.get(original.picture, [original])
        if original.picture in is_torn:
            others = [twin for twin in found[:4] if twin is not original][:3]
            detail = "the same bytes as " + ", ".join(f"{twin.item.name} ({twin.item.label})" for twin in others)
            quarantined.append(quarantine(original.item, "conflicting_labels", detail))
        elif found[0] is original:
            kept.append(original)
        else:
            quarantined.append(quarantine(original.item, "exact_duplicate", f"the same bytes as {found[0].item.name}"))
    return kept, quarantined


def quarantine(item: ImportItem, reason: str, detail: str) -> QuarantineRow:
    """The item as a quarantine row."""
    return QuarantineRow(reason, item.name, item.line, item.label, detail)


def write_plan(
    path: Path, listing: Listing, originals: Sequence[Original], quarantined: Sequence[QuarantineRow],
    masks: Iterable[FileHash],
) -> None:  # fmt: skip
    """Write down what will be imported, one JSON line each: the stage's input, so that any change upstream is seen.

    masks: the hashes of the originals' mask files, in the order of the originals that have one.
    """
    head = {
        "other_classes": dict(listing.other_classes),
        "columns": dict(listing.columns),
        "reasons": dict(listing.reasons),
        "notes": list(listing.notes),
        "format": listing.format,
    }
    with write_atomic(path) as temporary, open(temporary, "w", encoding="ascii", newline="\n") as stream:
        for record in chain([head], _records(originals, masks), map(asdict, quarantined)):
            stream.write(canonical_json(record) + "\n")


def _records(originals: Sequence[Original], masks: Iterable[FileHash]) -> Iterator[dict[str, Any]]:
    mask_hashes = iter(masks)
    for original in originals:
        item = original.item
        record: dict[str, Any] = {
            "name": item.name,
            "label": item.label,
            "line": item.line,
            "fields": dict(item.fields),
        }
        if item.mask_file is not None:
            mask = next(mask_hashes)
            record["mask"] = mask.sha256 or mask.fault
        if item.choice is not None:
            record["choice"] = asdict(item.choice)
        yield record | {"sha256": original.sha256}


def _hash_file(path: str) -> FileHash:
    try:
        size = os.stat(path).st_size
        return FileHash(sha256_file(path), size) if size else FileHash(fault="empty_file", detail="0 bytes")
    except OSError as error:
        return FileHash(fault="unreadable_file", detail=error.strerror or type(error).__name__)
