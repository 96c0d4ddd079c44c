"""The audit stage on blobs: planted copies are found, nothing of the test split is looked at, files are plain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tenfold.audits.config import AuditConfig
from tenfold.audits.run import run
from tenfold.core.errors import DataError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tests.unit.classification.blobs import (
    LABELS,
    ids_of,
    make_blob_workspace,
    make_feature_net,
    make_synthetic,
    real_rows,
)


@pytest.fixture(autouse=True)
def feature_net(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_feature_net(tmp_path_factory.mktemp("net") / "features")
    monkeypatch.setattr("tenfold.models.embedded.features_path", lambda: folder)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = make_blob_workspace(tmp_path_factory.mktemp("blobs") / "workspace", per_class=48)
    guides = ids_of(workspace, "train", per_class=6)
    make_synthetic(workspace, "made", guides, per_class=12, copies_of=guides[:3])
    return workspace


def audited(workspace: Workspace, **changes: Any) -> tuple[Result, dict[str, Any], pd.DataFrame]:
    settings: dict[str, Any] = {"name": "made", "synthetic": "made", "neighbors": 3, "resamples": 20}
    result = run(AuditConfig(**(settings | changes)), workspace, SerialExecutor(), NullProgress())
    summary = json.loads((result.folder / "summary.json").read_text())
    return result, summary, pd.read_parquet(result.folder / "findings.parquet")


def test_planted_copies_are_flagged_beside_their_originals(blobs: Workspace) -> None:
    result, summary, findings = audited(blobs)
    guides = ids_of(blobs, "train", per_class=6)
    assert list(findings.columns) == ["check", "image_id", "score", "is_flagged", "evidence_ids", "detail"]
    assert findings["check"].value_counts().to_dict() == {"memorization.features": 39, "memorization.pixels": 39}
    copies = [row for row in summary["nearest"] if row["pixel_distance"] == 0]
    assert {row["nearest_by_pixels_id"] for row in copies} == set(guides[:3])
    assert {row["nearest_id"] for row in copies} == set(guides[:3])
    assert all(row["is_flagged"] for row in copies) and len(summary["nearest"]) == 39
    assert summary["n_flagged"] == result.summary["n_flagged"] <= 8
    assert set(findings["score"].between(0, 1)) == {True}


def test_the_summary_counts_and_compares(blobs: Workspace) -> None:
    _, summary, _ = audited(blobs)
    rows = real_rows(blobs)
    seen = set(ids_of(blobs, "train", per_class=6))
    patients = set(rows.loc[rows["image_id"].isin(list(seen)), "patient_id"])
    unseen = rows[(rows["split"] != "test") & ~rows["patient_id"].isin(list(patients))]
    assert (summary["n_training"], summary["n_synthetic"]) == (18, 39)
    assert summary["n_unseen"] <= len(unseen)  # near-duplicates of guide images are left out too
    assert [row["name"] for row in summary["fidelity"]] == ["synthetic", "real"]
    for row in summary["fidelity"]:
        assert set(row["metrics"]) == {"precision", "recall", "density", "coverage"}
        for estimate in row["metrics"].values():
            assert estimate["low"] <= estimate["value"] <= estimate["high"] and estimate["n_patients"] > 0
    assert [row["label"] for row in summary["probe"]] == [*LABELS, "real against real"]
    assert summary["missing"] == {}


def test_a_finished_audit_is_recognized_and_another_gives_the_same_hashes(blobs: Workspace, tmp_path: Path) -> None:
    first, _, _ = audited(blobs)
    again, _, _ = audited(blobs)
    assert again.was_finished and again.outputs == first.outputs
    (first.folder / "run.json").unlink()
    redone, _, _ = audited(blobs)
    assert not redone.was_finished and redone.outputs == first.outputs


def test_test_images_are_never_read(blobs: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    from tenfold.data import datasets

    decode = datasets.decode_image

    def watched(path: Path) -> np.ndarray:
        read.append(path.stem)
        return decode(path)

    monkeypatch.setattr(datasets, "decode_image", watched)
    audited(blobs, name="watched")
    rows = real_rows(blobs)
    tested = set(rows.loc[rows["split"] == "test", "image_id"])
    assert read and not tested & set(read)


def test_a_small_workspace_says_what_cannot_be_told(tmp_path: Path) -> None:
    workspace = make_blob_workspace(tmp_path / "workspace", per_class=8, held_out=2)
    guides = ids_of(workspace, "train", per_class=8)
    make_synthetic(workspace, "made", guides, per_class=3)
    _, summary, findings = audited(workspace)
    assert "fidelity" in summary["missing"] and summary["fidelity"] == []
    assert len(summary["notes"]) == 3 and "No probe of amber" in summary["notes"][0]
    one = ids_of(workspace, "train", per_class=1)
    _, summary, findings = audited(workspace, name="one", training_ids=one[:1])
    assert "too few real images" in summary["missing"]["memorization"]
    assert summary["n_flagged"] is None and findings.empty and summary["nearest"] == []


def test_a_set_without_known_training_images_is_refused(tmp_path: Path) -> None:
    workspace = make_blob_workspace(tmp_path / "workspace", per_class=8, held_out=2)
    make_synthetic(workspace, "made", ())
    with pytest.raises(DataError, match="fitted on are not known"):
        audited(workspace)
