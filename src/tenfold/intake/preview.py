"""The intake preview: what an import would take from a source, and why, before anything is decoded or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tenfold.core.plain import to_plain
from tenfold.data.import_items import ImportItem, Listing
from tenfold.data.importers import list_source
from tenfold.data.manifest import ATTRIBUTE_PREFIX, COLUMNS
from tenfold.data.phantom import EMERGING
from tenfold.data.splits import MINIMUM_GROUPS
from tenfold.intake.config import PHANTOM, ExternalConfig, IntakeConfig
from tenfold.intake.contents import QuarantineReason

SAMPLE_ROWS = 5
SHOWN_ATTRIBUTES = 12
SHOWN_EXAMPLES = 3
FOLDER_NAME, FILE_PATH = "(folder name)", "(file path)"
_NO_GROUPS = (
    "No patient, lesion or group is known: images would be grouped by near-duplicates only, so images of one patient "
    "could lie on both sides of the split."
)
_NAME_THE_COLUMN = "If the table has such a column, name it: --map patient_id=COLUMN."
_MAKE_A_TABLE = "A table with a row per image and columns for file, label and patient would tell it."
_MADE_ELSEWHERE = (
    "Synthetic images made elsewhere: nobody here knows which real images their generator saw, so no strict comparison "
    "counts them."
)
_GROUP_COLUMNS = ("patient_id", "lesion_id", "group_id")


@dataclass(frozen=True)
class ColumnUse:
    """An upstream column, the manifest column (or `image`) it is taken for, and why."""

    column: str
    taken_for: str
    reason: str


@dataclass(frozen=True)
class ClassPreview:
    """A class as listed: images found, rows set aside so far, and known patients and lesions (null when none is).

    skin_types: Fitzpatrick type as given ('1' to '6', a group, or 'unknown') -> rows, those set aside included where
    the table tells their type.
    """

    label: str
    n_images: int
    n_set_aside: int
    n_patients: int | None
    n_lesions: int | None
    skin_types: Mapping[str, int]


@dataclass(frozen=True)
class SampleRow:
    """A row as it would be imported: `fields` are its manifest columns, without the upstream `attr.*` ones."""

    name: str
    label: str
    line: int | None
    fields: Mapping[str, str]


@dataclass(frozen=True)
class IntakePreview:
    """What an import would do. Rows in = images + rows set aside; nothing is decoded yet, so more may be set aside.

    other_classes: rows by label of classes that were not asked for; kept_columns: upstream columns that are carried
    along as `attr.<name>`, of which there are n_kept_columns; cautions: what a person should know before saying yes.
    """

    source: str
    source_format: str
    n_rows_in: int
    n_images: int
    n_set_aside: int
    columns: tuple[ColumnUse, ...]
    classes: tuple[ClassPreview, ...]
    other_classes: Mapping[str, int]
    samples: tuple[SampleRow, ...]
    quarantine: tuple[QuarantineReason, ...]
    n_masks: int
    kept_columns: tuple[str, ...]
    n_kept_columns: int
    notes: tuple[str, ...]
    cautions: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers."""
        return to_plain(self)


def is_phantom(config: IntakeConfig) -> bool:
    """Whether the images are drawn, so that there is no source to look at."""
    return config.format == PHANTOM or (config.format == "auto" and config.source == PHANTOM)


def preview_source(config: IntakeConfig) -> IntakePreview:
    """What an import by this config would do; nothing is written and no image is decoded.

    Pseudonyms of DICOM files are made with a key that is thrown away: they are not those of the import.

    Raises DataError when the source cannot be used, as the import itself would.
    """
    if is_phantom(config):
        return preview_phantom(config)
    from tenfold.data.pseudonyms import temporary_pseudonyms
    from tenfold.intake.run import source_options

    options = replace(source_options(config), pseudonyms=temporary_pseudonyms())
    return preview_listing(list_source(Path(config.source).expanduser().absolute(), options), config.source)


def preview_external(config: ExternalConfig) -> IntakePreview:
    """What an import of synthetic images made elsewhere would do. Raises as `preview_source` does."""
    seen = {name: getattr(config, name) for name in ("source", "format", "classes", "column_map")}
    found = preview_source(IntakeConfig(**seen))
    told = [_MADE_ELSEWHERE]
    if missing := sum(one.n_rows for one in found.quarantine if one.reason == "missing_file"):
        told.append(_missing_words(missing))
    return replace(found, cautions=tuple(told))


def preview_listing(listing: Listing, source: str) -> IntakePreview:
    """What the listing of `source` would become."""
    quarantine = _quarantine(listing)
    kept = _kept_columns(listing.items)
    classes = _classes(listing)
    return IntakePreview(
        source=source,
        source_format=listing.format or "unknown",
        n_rows_in=len(listing.items) + len(listing.quarantined),
        n_images=len(listing.items),
        n_set_aside=len(listing.quarantined),
        columns=_columns(listing),
        classes=classes,
        other_classes=dict(listing.other_classes),
        samples=tuple(_sample(item) for item in _spread(listing.items, SAMPLE_ROWS)),
        quarantine=quarantine,
        n_masks=sum(item.mask_file is not None for item in listing.items),
        kept_columns=tuple(kept[:SHOWN_ATTRIBUTES]),
        n_kept_columns=len(kept),
        notes=listing.notes,
        cautions=tuple(_cautions(listing, classes)),
    )


def preview_phantom(config: IntakeConfig) -> IntakePreview:
    """The phantom's cohort: drawn, not read."""
    labels = list(EMERGING) if config.classes is None else config.classes
    wanted = config.phantom.images_per_class
    counts = {label: wanted if isinstance(wanted, int) else wanted.get(label, 0) for label in labels}
    total = sum(counts.values())
    return IntakePreview(
        source=PHANTOM, source_format=PHANTOM, n_rows_in=total, n_images=total, n_set_aside=0, columns=(),
        classes=tuple(ClassPreview(label, count, 0, None, None, {}) for label, count in counts.items()),
        other_classes={}, samples=(), quarantine=(), n_masks=total, kept_columns=(), n_kept_columns=0,
        notes=("Artificial photographs, drawn from the workspace's seed; each has a mask and an invented patient.",),
    )  # fmt: skip


def _columns(listing: Listing) -> tuple[ColumnUse, ...]:
    """One line for each manifest column that the source fills: the file and the label first."""
    named = [name for name in listing.columns if not name.startswith(ATTRIBUTE_PREFIX)]
    named += [name for name in listing.reasons if name not in named and not name.startswith(ATTRIBUTE_PREFIX)]
    named.sort(key=lambda name: (name != "image", name != "label", _order(name)))
    by_place = {"image": (FILE_PATH, "every image under the source"), "label": (FOLDER_NAME, "one folder per class")}
    named = [*(name for name in by_place if name not in named), *named]
    uses = []
    for name in named:
        column, reason = (
            (listing.columns[name], "by its name") if name in listing.columns else by_place.get(name, ("", ""))
        )
        uses.append(ColumnUse(column, name, listing.reasons.get(name, reason)))
    return tuple(uses)


def _order(name: str) -> int:
    names = tuple(COLUMNS)
    return names.index(name) if name in names else len(names)


def _classes(listing: Listing) -> tuple[ClassPreview, ...]:
    images: dict[str, list[ImportItem]] = {}
    for item in listing.items:
        images.setdefault(item.label, []).append(item)
    set_aside = Counter(row.label for row in listing.quarantined if row.label)
    return tuple(
        ClassPreview(
            label=label,
            n_images=len(images.get(label, ())),
            n_set_aside=set_aside[label],
            n_patients=_known(images.get(label, ()), "patient_id"),
            n_lesions=_known(images.get(label, ()), "lesion_id"),
            skin_types=dict(listing.skin_types.get(label, {})) or _skin_types(images.get(label, ())),
        )
        for label in sorted({*images, *set_aside})
    )


def _known(items: Sequence[ImportItem], name: str) -> int | None:
    found = {str(item.fields[name]) for item in items if item.fields.get(name) is not None}
    return len(found) or None


def _skin_types(items: Sequence[ImportItem]) -> dict[str, int]:
    """Images by the type given; empty when no image of the class has one."""
    counts = Counter(_skin_type(item.fields) for item in items)
    return dict(sorted(counts.items())) if set(counts) - {"unknown"} else {}


def _skin_type(fields: Mapping[str, Any]) -> str:
    value = fields.get("skin_type")
    return str(value) if value is not None else str(fields.get("skin_type_group") or "unknown")


def _sample(item: ImportItem) -> SampleRow:
    fields = {
        name: str(value)
        for name, value in item.fields.items()
        if value is not None and not name.startswith(ATTRIBUTE_PREFIX) and name != "skin_type_source"
    }
    if item.mask_path is not None:
        fields["mask_path"] = item.mask_path.name
    return SampleRow(item.name, item.label, item.line, fields)


def _spread(items: Sequence[ImportItem], count: int) -> list[ImportItem]:
    """Up to `count` items: the first of each class in turn, so that a sorted source does not show one class alone."""
    by_label: dict[str, list[ImportItem]] = {}
    for item in items:
        mine = by_label.setdefault(item.label, [])
        if len(mine) < count:
            mine.append(item)
    turns = [mine[turn] for turn in range(count) for mine in by_label.values() if turn < len(mine)]
    return turns[:count]


def _quarantine(listing: Listing) -> tuple[QuarantineReason, ...]:
    counts = Counter(row.reason for row in listing.quarantined)
    examples: dict[str, list[str]] = {}
    for row in listing.quarantined:
        shown = examples.setdefault(row.reason, [])
        if len(shown) < SHOWN_EXAMPLES:
            shown.append((row.path or "?") + (f" (line {row.line})" if row.line is not None else ""))
    return tuple(QuarantineReason(reason, n, tuple(examples[reason])) for reason, n in counts.most_common())


def _kept_columns(items: Sequence[ImportItem]) -> list[str]:
    """Upstream columns in the order they are met, without what the import itself notes there."""
    found: dict[str, None] = {}
    for item in items:
        for name in item.fields:
            if name.startswith(ATTRIBUTE_PREFIX) and name != "attr.caption_source":
                found.setdefault(name)
    return list(found)


def _cautions(listing: Listing, classes: Sequence[ClassPreview]) -> list[str]:
    cautions = []
    missing = sum(row.reason == "missing_file" for row in listing.quarantined)
    if not listing.items:
        cautions.append(
            f"No image was found: {len(listing.quarantined):,} rows would be set aside; there is nothing to import."
        )
    elif missing:
        words = (
            "1 image file is missing; its row" if missing == 1 else f"{missing:,} image files are missing; their rows"
        )
        cautions.append(f"{words} would be set aside.")
    too_small = [one.label for one in classes if one.n_images < MINIMUM_GROUPS]
    if listing.items and too_small:
        enough = [one.label for one in classes if one.n_images >= MINIMUM_GROUPS]
        shown = ", ".join(too_small[:8]) + (f" and {len(too_small) - 8} more" if len(too_small) > 8 else "")
        advice = f"; leave them out: --classes {','.join(enough)}" if 1 < len(enough) <= 12 else ""
        cautions.append(f"Classes with fewer than {MINIMUM_GROUPS} images cannot be imported: {shown}{advice}.")
    loose = sum(not any(item.fields.get(name) for name in _GROUP_COLUMNS) for item in listing.items)
    if listing.items and loose == len(listing.items):
        is_table = any(item.line is not None for item in listing.items)
        cautions.append(f"{_NO_GROUPS} {_NAME_THE_COLUMN if is_table else _MAKE_A_TABLE}")
    elif loose:
        cautions.append(f"{loose:,} images have no patient, lesion or group: near-duplicates alone group them.")
    return cautions


def _missing_words(missing: int) -> str:
    words = "1 image file is missing; its row" if missing == 1 else f"{missing:,} image files are missing; their rows"
    return f"{words} would be set aside."
