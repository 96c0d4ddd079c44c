"""An evaluation's numbers as flat tables for spreadsheets, one CSV a subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from tenfold.evaluation.estimate import Estimate
from tenfold.evaluation.external_contents import ExternalEvaluation


def tables(evaluation: ExternalEvaluation) -> dict[str, pd.DataFrame]:
    """The tables by file stem; every estimate as value, low, high, its counts and its method."""
    return {
        "metrics": _metrics(evaluation),
        "classification_report": _report(evaluation),
        "confusion_matrix": _confusion(evaluation),
        "comparisons": _records(evaluation.comparisons),
        "paired_tests": _records(evaluation.tests),
        "thresholds": _records(evaluation.operating_points),
        "prevalence": _records(evaluation.prevalence_points),
        "calibration": _calibration(evaluation),
        "curves": _curves(evaluation),
        "subgroups": _records(evaluation.subgroups),
    }


def _metrics(evaluation: ExternalEvaluation) -> pd.DataFrame:
    return pd.DataFrame(
        {"model": model.name, "metric": name, **_flat(estimate)}
        for model in evaluation.models
        for name, estimate in model.metrics.items()
    )


def _report(evaluation: ExternalEvaluation) -> pd.DataFrame:
    return pd.DataFrame(
        {"model": model.name, **_plain(row)} for model in evaluation.models for row in model.report
    )  # fmt: skip


def _confusion(evaluation: ExternalEvaluation) -> pd.DataFrame:
    return pd.DataFrame(
        {"model": model.name, "runs": model.n_runs, "label": label, "said": said, "images": count}
        for model in evaluation.models
        for label, row in zip(evaluation.labels, model.confusion, strict=True)
        for said, count in zip(evaluation.labels, row, strict=True)
    )


def _calibration(evaluation: ExternalEvaluation) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for found in evaluation.calibrations:
        temperature = " ".join(f"{value:.6g}" for value in found.temperatures)
        for kind, figures in (("as given", found.given), ("after temperature", found.calibrated)):
            for name, estimate in figures.items():
                rows.append(
                    {
                        "model": found.model, "probabilities": kind, "metric": name, **_flat(estimate),
                        "temperatures": temperature if kind == "after temperature" else "",
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def _curves(evaluation: ExternalEvaluation) -> pd.DataFrame:
    return pd.DataFrame(
        {"model": curve.model, "label": curve.label, "kind": curve.kind, "x": x, "y": y, "low": low, "high": high}
        for curve in evaluation.curves
        for x, y, low, high in zip(curve.x, curve.y, curve.low, curve.high, strict=True)
    )


def _records(rows: Iterable[Any]) -> pd.DataFrame:
    return pd.DataFrame([_plain(row) for row in rows])


def _plain(row: Any) -> dict[str, Any]:
    """A dataclass as one flat row: estimates spread over columns, their counts and method once; tuples as texts."""
    cells: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    for name, value in vars(row).items():
        if isinstance(value, Estimate):
            figures = _flat(value)
            prefix = "" if name in ("estimate", "difference") else f"{name}."
            cells |= {f"{prefix}{column}": figures.pop(column) for column in ("value", "low", "high")}
            counts = counts or figures
        elif isinstance(value, tuple):
            cells[name] = " ".join(f"{item:.6g}" if isinstance(item, float) else str(item) for item in value)
        elif not isinstance(value, Mapping):
            cells[name] = value
    return cells | counts


def _flat(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": estimate.value, "low": estimate.low, "high": estimate.high, "n_images": estimate.n_images,
        "n_patients": estimate.n_patients, "n_runs": estimate.n_seeds, "method": estimate.method,
    }  # fmt: skip
