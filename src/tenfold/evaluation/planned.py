"""The smallest difference that the test set can show, as the study's plan said before anything was trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tenfold.core.files import read_json
from tenfold.evaluation.design_contents import PlannedDifference


def read_plan(path: Path) -> Mapping[str, Any]:
    """A study's plan.json; empty for a study of before there was one."""
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def planned_differences(plan: Mapping[str, Any]) -> tuple[PlannedDifference, ...]:
    """Those of accuracy and of each class's AUROC that the plan holds."""
    found = plan.get("minimum_detectable") or {}
    values = {"accuracy": found.get("accuracy")}
    values |= {f"auroc.{label}": value for label, value in (found.get("auroc") or {}).items()}
    return tuple(
        PlannedDifference(
            metric=metric,
            difference=_possible(value),
            n_images=int(plan.get("test_images", 0)),
            n_patients=int(plan.get("test_patients", 0)),
            assumption=str(found.get("text", "")),
        )
        for metric, value in values.items()
        if value is not None
    )


def _possible(value: Any) -> float | None:
    """No difference of two shares is larger than 1."""
    return float(value) if math.isfinite(value) and value <= 1 else None
