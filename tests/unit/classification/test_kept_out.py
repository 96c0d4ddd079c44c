"""Images that reviewers keep out: what a cell takes in their place, and what it reads of a review."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenfold.classification.config import ClassifierConfig
from tenfold.classification.fitting import cell_images, cell_inputs
from tenfold.classification.preparing import _extra_rows
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.data.verdicts import write_kept_out, write_verdicts
from tenfold.studies.cell_cache import content_key
from tests.review_workspace import make_review_workspace
from tests.tiny_data import LABELS, ids_of

MANIFEST = "synthetic/drawn/manifest.parquet"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_review_workspace(tmp_path / "w")


def _cell(workspace: Workspace, **changes: Any) -> ClassifierConfig:
    settings: dict[str, Any] = {
        "cell": "hybrid", "arm": "hybrid", "labels": LABELS, "training_size": 2, "strategy": "text2img",
        "train_ids": ids_of(workspace, "train"), "validation_ids": ids_of(workspace, "val"), "classifier_seed": 1,
        "synthetic_share": 0.5, "extra_manifests": (MANIFEST,), "max_train_steps": 1, "batch_size": 4,
        "evaluate_every_steps": 1, "device": "cpu",
    }  # fmt: skip
    return ClassifierConfig(**(settings | changes))


def _extra(workspace: Workspace, config: ClassifierConfig) -> dict[str, list[str]]:
    """Ids of the extra images, by class."""
    rows = cell_images(config, workspace).extra
    return {str(label): sorted(own["image_id"]) for label, own in rows.groupby("label")}


def test_where_the_set_holds_more_others_come_in_the_place_of_those_kept_out(workspace: Workspace) -> None:
    config = _cell(workspace, extra_per_class=(3,))
    before = _extra(workspace, config)
    out = [ids[0] for ids in before.values()]
    write_kept_out(workspace, "drawn", out)
    after = _extra(workspace, config)
    assert {label: len(ids) for label, ids in after.items()} == {label: len(ids) for label, ids in before.items()}
    for label, ids in before.items():
        assert set(ids[1:]) < set(after[label]) and ids[0] not in after[label]
    assert _extra(workspace, _cell(workspace, extra_per_class=(3,), extra_review="unfiltered")) == before


def test_what_the_manifest_itself_calls_rejected_is_left_out(workspace: Workspace) -> None:
    rows = read_manifest(workspace.resolve(MANIFEST))
    before = _extra(workspace, _cell(workspace))
    out = before[LABELS[0]][0]
    write_manifest(
        rows.assign(review=rows["review"].mask(rows["image_id"] == out, "rejected")), workspace.resolve(MANIFEST)
    )
    assert _extra(workspace, _cell(workspace)) == before | {LABELS[0]: before[LABELS[0]][1:]}
    assert _extra(workspace, _cell(workspace, extra_review="unfiltered")) == before


def test_a_cell_reads_what_is_kept_out_and_not_who_accepted_what(workspace: Workspace) -> None:
    config, key = _cell(workspace), content_key(_cell(workspace), workspace)
    inputs = cell_inputs(config, workspace)
    rows = read_manifest(workspace.resolve(MANIFEST))
    write_verdicts(workspace, "drawn", rows[["image_id", "sha256"]].head(4).assign(review="accepted"))
    assert cell_inputs(config, workspace) == inputs and content_key(config, workspace) == key
    out = str(rows["image_id"].iloc[0])
    write_kept_out(workspace, "drawn", [out])
    assert len(cell_inputs(config, workspace)) == len(inputs) + 1 and content_key(config, workspace) != key
    unfiltered = _cell(workspace, extra_review="unfiltered")
    assert cell_inputs(unfiltered, workspace) == inputs
    assert out not in set(_extra_rows(workspace, [MANIFEST], heeds=True)["image_id"])
    assert out in set(_extra_rows(workspace, [MANIFEST], heeds=False)["image_id"])
