"""Reads the audits of synthetic sets: copies, likeness and the real-versus-synthetic probe."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.files import read_json
from tenfold.core.workspace import Workspace
from tenfold.evaluation.contents import Estimate
from tenfold.reports.contents import Audit, CopyTest, FidelityRow, ProbeRow
from tenfold.reports.gallery import NearestImage

FIDELITY_METRICS = ("precision", "recall", "density", "coverage")
_COPY_CHECK = "memorization."
_DEFAULT_SPACE = "memorization.features"


def read_audits(
    workspace: Workspace, synthetic_sets: Collection[str]
) -> tuple[tuple[Audit, ...], dict[str, dict[str, NearestImage]]]:
    """The audits of these sets in the order of their names, and by set and image id the nearest training image.

    Raises DataError when an audit is damaged.
    """
    audits, nearest = [], {}
    for path in sorted(workspace.path.glob("audits/*/summary.json")):
        try:
            audit = _audit(read_json(path))
            if audit.synthetic_set not in synthetic_sets:
                continue
            found = _nearest(path.with_name("findings.parquet"))
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            raise DataError(
                f"an audit is damaged or of another version: {type(error).__name__} {error}",
                where=str(path.parent),
                todo="Remove its folder and run the recipe again.",
            ) from error
        audits.append(audit)
        if found:
            nearest[audit.synthetic_set] = found
    return tuple(audits), nearest


def _audit(summary: Mapping[str, Any]) -> Audit:
    return Audit(
        name=summary["name"],
        synthetic_set=summary["synthetic"],
        n_synthetic=summary["n_synthetic"],
        n_training=summary["n_training"],
        n_unseen=summary["n_unseen"],
        n_flagged=summary["n_flagged"],
        copy_tests=tuple(_copy_test(space, facts) for space, facts in summary["memorization"].items()),
        fidelity=tuple(
            FidelityRow(
                name=row["name"],
                is_reference=row["is_reference"],
                metrics={name: Estimate(**row["metrics"][name]) for name in FIDELITY_METRICS},
                n_images=row["n_images"],
            )
            for row in summary["fidelity"]
        ),
        probe=tuple(
            ProbeRow(label=row["label"], is_reference=row["is_reference"], auroc=Estimate(**row["auroc"]))
            for row in summary["probe"]
        ),
        notes=tuple(summary["notes"]),
        missing=dict(summary["missing"]),
    )


def _copy_test(space: str, facts: Mapping[str, Any]) -> CopyTest:
    return CopyTest(
        space=space,
        statistic=facts["statistic"],
        n_flagged=facts["n_flagged"],
        n_null=facts["n_null"],
        expected_false_flag_fraction=facts["expected_false_flag_fraction"],
        median=facts["median"],
        lowest=facts["lowest"],
        null_median=facts["null_median"],
        null_lowest=facts["null_lowest"],
        threshold=facts["threshold"],
    )


def _nearest(path: Path) -> dict[str, NearestImage]:
    """By image: what its flagged check found, else what was found in feature space."""
    if not path.is_file():
        return {}
    table = pd.read_parquet(path)
    copies = table[table["check"].str.startswith(_COPY_CHECK)]
    # The last row of an image counts: pixels before features, and what is flagged after what is not.
    ordered = copies.assign(is_default=copies["check"] == _DEFAULT_SPACE).sort_values(["is_flagged", "is_default"])
    nearest: dict[str, NearestImage] = {}
    for _, row in ordered.iterrows():
        evidence = list(row["evidence_ids"])
        detail = f"{100 * (1 - float(row['score'])):.0f} % of real images lie as near to a training image"
        nearest[str(row["image_id"])] = NearestImage(
            str(evidence[0]) if evidence else None, bool(row["is_flagged"]), detail
        )
    return nearest
