"""The import in words and numbers: its summary, its warnings, and the reasons to stop it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError, Faults
from tenfold.data.import_items import Listing, QuarantineRow
from tenfold.data.manifest import labels_of
from tenfold.data.splits import MINIMUM_GROUPS
from tenfold.intake.sources import NOT_CHOSEN, bad_rows

QUARANTINE = "data/quarantine.csv"
_SHOWN_ROWS = 10


def counts_sentence(rows_in: int, kept: int, refused: Sequence[QuarantineRow]) -> str:
    """``Intake: 12 rows in = 10 kept + 2 quarantined``, and how many of these were left out on purpose.

    >>> counts_sentence(3, 2, [QuarantineRow("not_chosen", "slice 2")])
    'Intake: 3 rows in = 2 kept + 1 quarantined (1 of them slices or frames that were not chosen)'
    """
    sentence = f"Intake: {rows_in} rows in = {kept} kept + {len(refused)} quarantined"
    left_out = len(refused) - len(bad_rows(refused))
    return sentence + (f" ({left_out} of them slices or frames that were not chosen)" if left_out else "")


def check_strict(refused: Sequence[QuarantineRow], *, where: str, quarantine: str = QUARANTINE) -> None:
    """DataError when any row cannot be kept, with every reason, its number of rows and the first rows."""
    bad = bad_rows(refused)
    if not bad:
        return
    shown = [
        f"{row.path or '?'}{'' if row.line is None else f' (line {row.line})'}: {row.reason}"
        + (f", {row.detail}" if row.detail else "")
        for row in bad[:_SHOWN_ROWS]
    ]
    more = [f"and {len(bad) - _SHOWN_ROWS} more"] if len(bad) > _SHOWN_ROWS else []
    raise DataError(
        f"{len(bad)} rows cannot be kept, and the import is strict: {reasons_text(bad)}",
        where="; ".join([where, *shown, *more]),
        expected="every row with a label and a whole image of its own",
        todo=f"mend or remove these rows (all are listed in {quarantine}), or import without --strict: they are then "
        "set aside",
    )


def check_class_sizes(
    kept: Mapping[str, int], refused: Sequence[QuarantineRow], classes: Sequence[str] | None, *, where: str
) -> None:
    """DataError, or FaultsError for several, when no image is left, or too few of a class to be split."""
    lost = Counter(row.label for row in refused if row.label)
    labels = sorted({*kept, *lost} if classes is None else classes)
    if not sum(kept.values()):
        raise DataError(
            "no image could be kept",
            where=f"{where}: {reasons_text(refused)}",
            expected="readable images of two or more classes",
            todo=f"see {QUARANTINE} in the workspace for the reason of each",
        )
    possible = [label for label in labels if kept.get(label, 0) >= MINIMUM_GROUPS]
    faults = Faults()
    for label in labels:
        if kept.get(label, 0) < MINIMUM_GROUPS:
            faults.add(
                DataError(
                    f"the class {label!r} has {_images(kept.get(label, 0))}",
                    where=f"{where}; quarantined: {lost[label]}",
                    expected=f"at least {MINIMUM_GROUPS}: one each for training, validation and test",
                    todo="add images, or go on without the class: "
                    f"--classes {','.join(possible)} (in a recipe: intake.classes)"
                    if len(possible) > 1
                    else "add images: two classes of this size are the least that can be told apart",
                )
            )
    faults.raise_if_any()


def reasons_text(refused: Sequence[QuarantineRow]) -> str:
    """``3 missing_file, 1 empty_file``: the reasons with their rows, the most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in Counter(row.reason for row in refused).most_common())


def import_summary(manifest: pd.DataFrame, listing: Listing, refused: Sequence[QuarantineRow]) -> dict[str, Any]:
    """The numbers of an import as plain JSON."""
    labels = manifest["label"].astype(str)
    is_given = manifest["skin_type_group"].notna() & (manifest["skin_type_source"] != "estimated").fillna(True)
    return {
        "rows_in": len(manifest) + len(refused), "kept": len(manifest), "quarantined": len(refused),
        "quarantine_reasons": dict(sorted(Counter(row.reason for row in refused).items())),
        "rows_of_other_classes": dict(listing.other_classes),
        "images_per_class": {label: int((labels == label).sum()) for label in labels_of(manifest)},
        "groups_per_class": {
            label: int(manifest.loc[labels == label, "group_id"].nunique()) for label in labels_of(manifest)
        },
        "patients": int(manifest["patient_id"].nunique()), "lesions": int(manifest["lesion_id"].nunique()),
        "masks": int(manifest["mask_path"].notna().sum()),
        "skin_types_known": int(is_given.sum()),
        "skin_types_estimated": int((manifest["skin_type_source"] == "estimated").fillna(False).sum()),
        "skin_types_listed": {label: dict(counts) for label, counts in listing.skin_types.items()},
        "caption_sources": dict(sorted(Counter(manifest["attr.caption_source"].astype(str)).items())),
        "source_format": listing.format, "columns": dict(listing.columns), "column_reasons": dict(listing.reasons),
        "notes": list(listing.notes),
    }  # fmt: skip


def import_warnings(known_groups: Sequence[str], refused: Sequence[QuarantineRow]) -> list[str]:
    """What the person who imports should know."""
    reasons = Counter(row.reason for row in refused)
    warnings = []
    if not known_groups:
        warnings.append(
            "Warning: no patient, lesion or group is known: images are grouped by near-duplicates only, so images "
            "of one patient may lie on both sides of the split and figures may be too good. Name the column by "
            "intake.column_map={patient_id: COLUMN}."
        )
    if reasons["missing_file"]:
        warnings.append(f"Warning: {reasons['missing_file']} image files are missing; they are listed in {QUARANTINE}.")
    if reasons["conflicting_labels"]:
        warnings.append(
            f"Warning: {reasons['conflicting_labels']} files have a twin of another class and were left out; "
            f"see {QUARANTINE}."
        )
    if reasons[NOT_CHOSEN]:
        warnings.append(
            f"Note: {reasons[NOT_CHOSEN]} slices or frames were not chosen (intake.dicom); they are listed in "
            f"{QUARANTINE}."
        )
    return warnings


def skin_type_sentence(listing: Listing) -> str | None:
    """``Skin types in the source: 1: 2, 4: 1, unknown: 3``, rows whose image is missing included; None without any."""
    total: Counter[str] = Counter()
    for counts in listing.skin_types.values():
        total.update(counts)
    if not total:
        return None
    return "Skin types in the source: " + ", ".join(f"{name}: {total[name]}" for name in sorted(total))


def mask_notes(faults: Mapping[str, str]) -> list[str]:
    """A note on mask files that are not used, by the name of their image; empty when all are."""
    if not faults:
        return []
    name, fault = next(iter(faults.items()))
    return [f"{len(faults)} mask files are not used; their images are kept without a mask, e.g. {name}: {fault}"]


def _images(count: int) -> str:
    return "1 usable image" if count == 1 else f"{count} usable images"
