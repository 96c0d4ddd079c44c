"""The data behind a study, counted: classes, skin types and other groups by split, and what was set aside."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tenfold.core.workspace import Workspace
from tenfold.reports import wording
from tenfold.reports.contents import CountedUnit, CountRow, DataSummary, QuarantineReason

MANIFEST = "data/manifest.parquet"
SPLITS = "data/splits.json"
QUARANTINE = "data/quarantine.csv"
GROUP_COLUMNS = ("skin_type", "skin_type_group", "sex", "severity")
_MOST_EXAMPLES = 5


def summarize_data(workspace: Workspace, manifest: pd.DataFrame, source: str) -> DataSummary:
    """Count a real manifest whose ``split`` column is filled; null splits are counted as not used."""
    missing = {}
    manifest, n_estimated = _without_estimates(manifest)
    counts = _count_by(manifest, "label")
    for column in GROUP_COLUMNS:
        if column == "skin_type_group" and bool(manifest["skin_type"].notna().any()):
            continue
        if bool(manifest[column].notna().any()):
            counts += _count_by(manifest, column)
        elif column == "skin_type":
            missing["skin_type"] = "no skin types are recorded in the data" + (
                f"; those of {n_estimated} images were estimated from the skin's color and count for nothing here"
                if n_estimated
                else ""
            )
    quarantine, n_quarantined = _read_quarantine(workspace.path / QUARANTINE)
    if quarantine is None:
        missing["quarantine"] = f"there is no {QUARANTINE}"
    return DataSummary(
        license=workspace.data_license,
        source=source,
        image_size_px=_one_size(manifest),
        modality=wording.listed(sorted({str(value) for value in manifest["modality"].dropna()}) or ["not recorded"]),
        counts=tuple(counts),
        n_images=len(manifest),
        n_patients=count_patients(manifest),
        n_unsplit=int(manifest["split"].isna().sum()),
        quarantine=quarantine or (),
        n_quarantined=n_quarantined,
        missing=missing,
    )


def counted_unit(manifest: pd.DataFrame | None) -> CountedUnit:
    """What `count_patients` counts: patients when every image names one, else groups."""
    is_known = manifest is not None and bool(manifest["patient_id"].notna().all())
    return "patient" if is_known else "group"


def count_patients(rows: pd.DataFrame) -> int:
    """Distinct patients; an image without one counts by its group, its lesion, or itself."""
    return int(_patients(rows).nunique())


def _without_estimates(manifest: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The manifest with skin types as given only, and the number of images whose type was estimated."""
    is_estimated = (manifest["skin_type_source"] == "estimated").fillna(False).to_numpy(dtype=bool)
    given = {name: manifest[name].mask(is_estimated) for name in ("skin_type", "skin_type_group")}
    return manifest.assign(**given), int(is_estimated.sum())


def _patients(rows: pd.DataFrame) -> pd.Series[str]:
    keys: pd.Series[str] = rows["patient_id"].astype("string").radd("patient:")
    for column in ("group_id", "lesion_id", "image_id"):
        keys = keys.fillna(rows[column].astype("string").radd(f"{column}:"))
    return keys


def _count_by(manifest: pd.DataFrame, column: str) -> list[CountRow]:
    values = manifest[column].astype("string").fillna("")
    rows = []
    for value in sorted(values.unique(), key=lambda text: (text == "", text)):
        group = manifest[values == value]
        by_split: Mapping[str, int] = group["split"].value_counts().to_dict()
        train, val, test = (int(by_split.get(split, 0)) for split in ("train", "val", "test"))
        rows.append(CountRow(column, str(value), train, val, test, len(group), count_patients(group)))
    return rows


def _one_size(manifest: pd.DataFrame) -> int | None:
    sizes = {(int(w), int(h)) for w, h in zip(manifest["width_px"], manifest["height_px"], strict=True) if pd.notna(w)}
    return sizes.pop()[0] if len(sizes) == 1 else None


def _read_quarantine(path: Path) -> tuple[tuple[QuarantineReason, ...] | None, int]:
    """Reasons in order of frequency with their first files; None when there is no table."""
    if not path.is_file():
        return None, 0
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row.get("reason") or "not stated", []).append(_place(row))
    ordered = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(QuarantineReason(r, len(p), tuple(p[:_MOST_EXAMPLES])) for r, p in ordered), len(rows)


def _place(row: Mapping[str, str | None]) -> str:
    """The file's own name and its line, without the folders of whoever ran it."""
    name = Path((row.get("path") or "").lstrip("'")).name or "unnamed"
    return f"{name}, line {row['line']}" if row.get("line") else name
