"""The stage: it waits for people, goes on, keeps decisions, and leaves tables that others read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.errors import DataError, WaitingForPeople
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json
from tenfold.core.hashing import sha256_file
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.data.verdicts import kept_out_hashes, read_reviewed
from tenfold.review.begun import review_settings
from tenfold.review.config import ReviewConfig
from tenfold.review.items import real_items, set_manifest, synthetic_items
from tenfold.review.run import RESULTS, begin_review, dashboard, refresh, run
from tenfold.review.store import DATABASE, Store
from tests.review_workspace import add_set, judge_all, make_review_workspace, usable_ids
from tests.tiny_data import ids_of

MANIFEST = "synthetic/drawn/manifest.parquet"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_review_workspace(tmp_path / "w")


def _run(workspace: Workspace, **settings: Any) -> Result:
    return run(ReviewConfig(**settings), workspace, SerialExecutor(), NullProgress())


def _wait(workspace: Workspace, **settings: Any) -> WaitingForPeople:
    with pytest.raises(WaitingForPeople) as caught:
        _run(workspace, **settings)
    return caught.value


def _invite(workspace: Workspace, *names: str) -> list[int]:
    with Store.open(workspace.resolve(DATABASE)) as store:
        return [store.invite(name).reviewer.id for name in names]


def test_it_waits_goes_on_and_is_finished(workspace: Workspace) -> None:
    rejected = usable_ids(workspace)[:3]
    before = sha256_file(workspace.resolve(MANIFEST))
    error = _wait(workspace, overlap_fraction=1.0)
    assert error.exit_code == 3 and "0 of 12 images decided by 0 reviewers" in error.what
    assert "tenfold review serve" in error.todo
    ann, bob = _invite(workspace, "ann", "bob")
    judge_all(workspace, ann, dict.fromkeys(rejected, "reject"))
    error = _wait(workspace, overlap_fraction=1.0)
    assert "12 of 12 images decided by 1 reviewer" in error.what and "1 of the 2 reviewers needed" in error.what
    judge_all(workspace, bob)
    result = _run(workspace, overlap_fraction=1.0)
    assert (result.summary["accepted"], result.summary["rejected"]) == (9, 3)
    assert not result.summary["is_unreviewed"] and result.summary["n_reviewers"] == 2
    rows = read_reviewed(workspace, MANIFEST)
    assert sorted(rows.loc[rows["review"] == "rejected", "image_id"]) == rejected
    assert sha256_file(workspace.resolve(MANIFEST)) == before
    assert _run(workspace, overlap_fraction=1.0).was_finished


def test_rejections_hold_while_it_still_waits(workspace: Workspace) -> None:
    _wait(workspace)
    [ann] = _invite(workspace, "ann")
    out = usable_ids(workspace)[0]
    judge_all(workspace, ann, {out: "reject"})
    _wait(workspace)
    rows = read_reviewed(workspace, MANIFEST).set_index("image_id")["review"]
    assert rows[out] == "rejected" and (rows == "accepted").sum() == 11


def test_disputes_wait_for_an_adjudicator(workspace: Workspace) -> None:
    settings: dict[str, Any] = {"consensus": "adjudicated", "overlap_fraction": 1.0, "repeat_fraction": 0.0}
    _wait(workspace, **settings)
    out = usable_ids(workspace)[0]
    ann, bob = _invite(workspace, "ann", "bob")
    judge_all(workspace, ann, {out: "reject"})
    judge_all(workspace, bob)
    assert "1 disputed image waits for an adjudicator" in _wait(workspace, **settings).what
    assert read_reviewed(workspace, MANIFEST).set_index("image_id").loc[out, "review"] == "unreviewed"
    with Store.open(workspace.resolve(DATABASE)) as store:
        from tenfold.review.records import Decision

        judge = store.invite("judge", "adjudicator").reviewer.id
        store.plan_adjudication()
        [slot] = store.queue(judge, 0, 10, "adjudication")
        assert store.serve(judge, slot.opaque).image_id == out
        store.add_decision(judge, Decision("the-word-of-the-judge", slot.opaque, "reject"))
    assert _run(workspace, **settings).summary["rejected"] == 1


def test_a_decision_taken_later_makes_the_results_anew(workspace: Workspace) -> None:
    _wait(workspace, reviewers_needed=1)
    [ann] = _invite(workspace, "ann")
    judge_all(workspace, ann)
    _run(workspace, reviewers_needed=1)
    hashes = kept_out_hashes(workspace, [MANIFEST])
    assert not refresh(workspace)
    judge_all(workspace, ann, {usable_ids(workspace)[0]: "reject"})
    assert refresh(workspace) and kept_out_hashes(workspace, [MANIFEST]) != hashes
    result = _run(workspace, reviewers_needed=1)
    assert not result.was_finished and result.summary["rejected"] == 1
    table = pd.read_parquet(workspace.resolve(f"{RESULTS}/main/decisions.parquet"))
    assert len(table) == 2 * table["image_id"].add(table["kind"]).nunique(), "every decision ever made is kept"


def test_another_config_never_sweeps_decisions_away(workspace: Workspace) -> None:
    _wait(workspace, reviewers_needed=1)
    [ann] = _invite(workspace, "ann")
    judge_all(workspace, ann)
    _run(workspace, reviewers_needed=1)
    add_set(workspace, "more", 2)
    _wait(workspace, reviewers_needed=1, name="other")
    with Store.open(workspace.resolve(DATABASE)) as store:
        assert {one.image_id for one in store.latest()} >= set(usable_ids(workspace))
    assert (read_reviewed(workspace, MANIFEST)["review"] == "accepted").sum() == 12


def test_without_people_everything_is_marked_unreviewed(workspace: Workspace) -> None:
    result = _run(workspace, auto_accept=True)
    assert result.summary["is_unreviewed"] and result.summary["undecided"] == 12
    assert not workspace.resolve(DATABASE).exists() and not kept_out_hashes(workspace, [MANIFEST])
    assert result.summary["wait_bypassed"] and result.summary["unlooked"] == 12
    kept = read_manifest(workspace.resolve(f"{RESULTS}/main/accepted.parquet"))
    assert set(kept["review"]) == {"unreviewed"} and len(kept) == 12
    assert _run(workspace, auto_accept=True).was_finished


def test_without_waiting_what_was_rejected_still_stays_out(workspace: Workspace) -> None:
    _wait(workspace)
    [ann] = _invite(workspace, "ann")
    out = usable_ids(workspace)[0]
    judge_all(workspace, ann, {out: "reject"})
    add_set(workspace, "more", 2)
    result = _run(workspace, auto_accept=True)
    assert (result.summary["rejected"], result.summary["undecided"]) == (1, 4)
    assert out not in set(read_manifest(workspace.resolve(f"{RESULTS}/main/accepted.parquet"))["image_id"])


def test_what_is_judged(workspace: Workspace) -> None:
    """No quarantined image, no test image, no unfinished set, each image once."""
    add_set(workspace, "unfinished", 2)
    (workspace.path / "synthetic" / "unfinished" / "run.json").unlink()
    items = synthetic_items(workspace)
    assert [item.image_id for item in items] == usable_ids(workspace)
    assert {item.image_id for item in real_items(workspace)}.isdisjoint(ids_of(workspace, "test"))
    with pytest.raises(DataError, match="unfinished"):
        synthetic_items(workspace, ["unfinished"])


def test_controls_are_judged_when_they_are_named(workspace: Workspace) -> None:
    add_set(workspace, "recolored", 2)
    place = workspace.resolve(set_manifest("recolored"))
    rows = read_manifest(place)
    rows["strategy"] = "recolor"
    write_manifest(rows, place)
    assert {item.set for item in synthetic_items(workspace)} == {"drawn"}
    assert {item.set for item in synthetic_items(workspace, ["recolored"])} == {"recolored"}


def test_nothing_to_judge_is_an_error(tmp_path: Path) -> None:
    from tests.tiny_data import make_tiny_workspace

    with pytest.raises(DataError, match="no synthetic image"):
        _run(make_tiny_workspace(tmp_path / "w"))


def test_the_results_can_be_read_by_others(workspace: Workspace) -> None:
    _wait(workspace, reviewers_needed=1)
    [ann] = _invite(workspace, "=ann")
    out = usable_ids(workspace)[0]
    judge_all(workspace, ann, {out: "reject"})
    result = _run(workspace, reviewers_needed=1)
    folder = workspace.resolve(f"{RESULTS}/main")
    record = read_run_record(folder)
    assert set(record.outputs) == set(result.outputs) and "review/consensus.parquet" in record.inputs
    accepted = read_manifest(folder / "accepted.csv")
    assert len(accepted) == 11 and out not in set(accepted["image_id"])
    assert "'=ann" in (folder / "decisions.csv").read_text()
    prompts = pd.read_csv(folder / "prompts.csv")
    assert prompts["rank"].tolist() == [1, 2, 3, 4] and prompts["low"].is_monotonic_decreasing
    tasks = read_json(folder / "label_studio.json")
    [task] = [one for one in tasks if one["data"]["image_id"] == out]
    assert task["meta"]["consensus"] == "rejected"
    first = task["annotations"][0]["result"][0]
    assert first["value"] == {"choices": ["reject"]} and first["to_name"] == "image"
    summary = read_json(folder / "summary.json")
    assert summary["summary"]["rejected"] == 1 and summary["facts"]["rule"] == "any_reject"


def test_the_dashboard_is_plain_json_at_any_moment(workspace: Workspace) -> None:
    with begin_review(ReviewConfig(), workspace) as store:
        found = dashboard(store, ReviewConfig(), workspace)
    assert found["summary"]["undecided"] == 12 and found["coverage"]["undecided"] == 12
    json.dumps(found, allow_nan=False)
    assert review_settings(workspace) == ReviewConfig()


def test_refresh_without_a_review_does_nothing(workspace: Workspace) -> None:
    assert not refresh(workspace) and not workspace.resolve("review").exists()
