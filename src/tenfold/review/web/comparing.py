"""What stands beside an image in the unblinded comparison: its source, its nearest training images, audit flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.workspace import Workspace
from tenfold.review.records import Item

_NEAREST = 6
_COLUMNS = ["check", "image_id", "score", "is_flagged", "evidence_ids", "detail"]


def compare(workspace: Workspace, item: Item, real_labels: Mapping[str, str]) -> dict[str, Any]:
    """The parts `parent`, `neighbors`, `flags` and `note` of a comparison.

    Args:
        real_labels: by id, the classes of the real images that may be shown: others are left out.
    """
    found = [_findings(path, item.image_id) for path in sorted(workspace.path.glob("audits/*/findings.parquet"))]
    known = [table for table in found if len(table)]
    rows = [row for table in known for row in table.to_dict("records")]
    neighbors: dict[str, dict[str, Any]] = {}
    for row in rows:
        for image_id in row["evidence_ids"]:
            if image_id in real_labels and image_id != item.parent_id:
                neighbors.setdefault(image_id, _image(image_id, real_labels) | {"score": _number(row["score"])})
    has_parent = item.parent_id is not None and item.parent_id in real_labels
    return {
        "parent": _image(str(item.parent_id), real_labels) if has_parent else None,
        "neighbors": list(neighbors.values())[:_NEAREST],
        "flags": [_flag(row) for row in rows],
        "note": _note(item, n_audits=len(found), n_rows=len(rows)),
    }


def _findings(path: Path, image_id: str) -> pd.DataFrame:
    """An audit's findings on one image: only its rows are read. Of a file that is none, nothing."""
    try:
        return pd.read_parquet(path, columns=_COLUMNS, filters=[("image_id", "==", image_id)])
    except (OSError, ValueError):
        return pd.DataFrame(columns=_COLUMNS)


def _image(image_id: str, real_labels: Mapping[str, str]) -> dict[str, Any]:
    return {"image": image_id, "image_id": image_id, "label": real_labels[image_id]}


def _flag(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "check": str(row["check"]), "score": _number(row["score"]), "is_flagged": bool(row["is_flagged"]),
        "detail": str(row["detail"]),
    }  # fmt: skip


def _number(value: Any) -> float | None:
    """JSON knows no NaN."""
    return float(value) if pd.notna(value) else None


def _note(item: Item, *, n_audits: int, n_rows: int) -> str:
    """Why there is no finding, by the name that the page's texts have for it (compare.note_...); "" when there is."""
    if item.source == "real":
        return "real"
    if not n_audits:
        return "no_audit"
    return "" if n_rows else "not_looked_at"
