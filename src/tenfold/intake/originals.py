"""Originals: the hashes of the source's files, and the exact duplicates among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tenfold.core.files import write_text_atomic
from tenfold.core.hashing import canonical_json, sha256_file
from tenfold.data.import_items import ImportItem, Listing, QuarantineRow

IMAGE_ID_DIGITS = 16


@dataclass(frozen=True)
class Original:
    """An image file to import, with the SHA-256 of its bytes."""

    item: ImportItem
    sha256: str

    @property
    def image_id(self) -> str:
        """The first 16 hex digits of the file's SHA-256."""
        return self.sha256[:IMAGE_ID_DIGITS]


def hash_originals(items: Sequence[ImportItem]) -> tuple[list[Original], list[QuarantineRow]]:
    """The items with their hashes, in order; those that cannot be read, or are empty, as quarantine rows."""
    originals: list[Original] = []
    quarantined: list[QuarantineRow] = []
    for item in items:
        try:
            if not item.path.stat().st_size:
                quarantined.append(quarantine(item, "empty_file", "0 bytes"))
                continue
            originals.append(Original(item, sha256_file(item.path)))
        except OSError as error:
            quarantined.append(quarantine(item, "unreadable_file", error.strerror or type(error).__name__))
    return originals, quarantined


def without_duplicates(originals: Sequence[Original]) -> tuple[list[Original], list[QuarantineRow]]:
    """The originals to keep, in order: of identical files the first, and none when they carry different labels.

    Nobody can tell which label is right, so files with `conflicting_labels` stay out of training and test altogether.
    """
    by_hash: dict[str, list[Original]] = {}
    for original in originals:
        by_hash.setdefault(original.sha256, []).append(original)
    kept: list[Original] = []
    quarantined: list[QuarantineRow] = []
    for original in originals:
        twins = by_hash[original.sha256]
        others = [twin for twin in twins if twin is not original]
        if len({twin.item.label for twin in twins}) > 1:
            detail = "the same bytes as " + ", ".join(f"{twin.item.name} ({twin.item.label})" for twin in others[:3])
            quarantined.append(quarantine(original.item, "conflicting_labels", detail))
        elif twins[0] is original:
            kept.append(original)
        else:
            quarantined.append(quarantine(original.item, "exact_duplicate", f"the same bytes as {twins[0].item.name}"))
    return kept, quarantined


def quarantine(item: ImportItem, reason: str, detail: str) -> QuarantineRow:
    """The item as a quarantine row."""
    return QuarantineRow(reason, item.name, item.line, item.label, detail)


def write_plan(
    path: Path, listing: Listing, originals: Sequence[Original], quarantined: Sequence[QuarantineRow]
) -> None:
    """Write down what will be imported, one JSON line each: the stage's input, so that any change upstream is seen."""
    head = {
        "other_classes": dict(listing.other_classes),
        "columns": dict(listing.columns),
        "notes": list(listing.notes),
    }
    lines = [canonical_json(head)]
    for original in originals:
        item = original.item
        record = {"name": item.name, "label": item.label, "line": item.line, "fields": dict(item.fields)}
        lines.append(canonical_json(record | {"sha256": original.sha256}))
    lines += [canonical_json(asdict(row)) for row in quarantined]
    write_text_atomic(path, "".join(f"{line}\n" for line in lines))
