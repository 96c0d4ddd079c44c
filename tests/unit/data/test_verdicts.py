"""Verdicts beside a set: joined at reading, bound to the bytes that were seen, and never written into the manifest."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tenfold.core.errors import DataError
from tenfold.core.hashing import sha256_file
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest
from tenfold.data.verdicts import (
    kept_out_hashes,
    read_filtered,
    read_reviewed,
    verdict_files,
    verdict_path,
    write_kept_out,
    write_verdicts,
)
from tests.review_workspace import make_review_workspace

MANIFEST = "synthetic/drawn/manifest.parquet"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_review_workspace(tmp_path / "w", sets={"drawn": 3})


def _verdicts(rows: pd.DataFrame, *states: str) -> pd.DataFrame:
    table = rows[["image_id", "sha256"]].head(len(states))
    return table.assign(review=list(states))


def test_without_verdicts_the_manifest_speaks(workspace: Workspace) -> None:
    assert read_reviewed(workspace, MANIFEST).equals(read_manifest(workspace.resolve(MANIFEST)))
    assert read_filtered(workspace, MANIFEST).equals(read_manifest(workspace.resolve(MANIFEST)))
    assert not verdict_files(workspace, [MANIFEST]) and not kept_out_hashes(workspace, [MANIFEST])


def test_verdicts_are_joined_and_the_manifest_stays_as_it_is(workspace: Workspace) -> None:
    before = sha256_file(workspace.resolve(MANIFEST))
    rows = read_manifest(workspace.resolve(MANIFEST))
    assert write_verdicts(workspace, "drawn", _verdicts(rows, "rejected", "accepted"))
    found = read_reviewed(workspace, MANIFEST)
    assert found["review"].tolist()[:3] == ["rejected", "accepted", "unreviewed"]
    assert found.drop(columns="review").equals(rows.drop(columns="review"))
    assert sha256_file(workspace.resolve(MANIFEST)) == before
    assert verdict_files(workspace, [MANIFEST, "synthetic/none/manifest.parquet"]) == [
        verdict_path(workspace, MANIFEST)
    ]


def test_the_same_verdicts_leave_the_file_alone(workspace: Workspace) -> None:
    rows = read_manifest(workspace.resolve(MANIFEST))
    write_verdicts(workspace, "drawn", _verdicts(rows, "rejected", "accepted"))
    before = sha256_file(verdict_path(workspace, MANIFEST))
    assert not write_verdicts(workspace, "drawn", _verdicts(rows, "rejected", "accepted").iloc[::-1])
    assert sha256_file(verdict_path(workspace, MANIFEST)) == before
    assert write_verdicts(workspace, "drawn", _verdicts(rows, "rejected", "rejected"))
    assert sha256_file(verdict_path(workspace, MANIFEST)) != before


def test_what_is_kept_out_stays_out_and_an_acceptance_changes_nothing_for_those_who_learn(workspace: Workspace) -> None:
    rows = read_manifest(workspace.resolve(MANIFEST))
    out, other = rows["image_id"].tolist()[:2]
    assert write_kept_out(workspace, "drawn", [out]) and not write_kept_out(workspace, "drawn", [out])
    hashes = kept_out_hashes(workspace, [MANIFEST, "synthetic/none/manifest.parquet"])
    assert len(hashes) == 1
    assert set(read_filtered(workspace, MANIFEST)["image_id"]) == set(rows["image_id"]) - {out}
    write_verdicts(workspace, "drawn", _verdicts(rows, "rejected", "accepted"))
    assert kept_out_hashes(workspace, [MANIFEST]) == hashes
    assert write_kept_out(workspace, "drawn", [out, other]) and kept_out_hashes(workspace, [MANIFEST]) != hashes
    assert write_kept_out(workspace, "drawn", []) and not kept_out_hashes(workspace, [MANIFEST])
    assert not write_kept_out(workspace, "drawn", [])


def test_a_damaged_list_of_what_is_kept_out_is_refused(workspace: Workspace) -> None:
    write_kept_out(workspace, "drawn", ["0" * 16])
    (workspace.path / "review/kept_out/drawn.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match="tenfold review export"):
        read_filtered(workspace, MANIFEST)


def test_drawn_anew_an_accepted_image_is_unreviewed_and_a_rejected_one_stays_out(workspace: Workspace) -> None:
    rows = read_manifest(workspace.resolve(MANIFEST))
    write_verdicts(workspace, "drawn", _verdicts(rows, "rejected", "accepted").assign(sha256="f" * 64))
    assert read_reviewed(workspace, MANIFEST)["review"].tolist()[:2] == ["rejected", "unreviewed"]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"image_id": ["a"], "sha256": ["b"], "review": ["perhaps"]}),
        pd.DataFrame({"image_id": ["a", "a"], "sha256": ["b", "b"], "review": ["accepted", "rejected"]}),
        pd.DataFrame({"image_id": ["a"], "sha256": ["b"]}),
        pd.DataFrame({"image_id": ["a"], "sha256": [None], "review": ["rejected"]}),
    ],
)
def test_damaged_verdicts_are_refused(workspace: Workspace, table: pd.DataFrame) -> None:
    path = verdict_path(workspace, MANIFEST)
    path.parent.mkdir(parents=True)
    table.to_parquet(path, index=False)
    with pytest.raises(DataError, match="tenfold review export"):
        read_reviewed(workspace, MANIFEST)


def test_what_is_no_table_is_refused(workspace: Workspace) -> None:
    path = verdict_path(workspace, MANIFEST)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be read"):
        read_reviewed(workspace, MANIFEST)
