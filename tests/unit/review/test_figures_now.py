"""The dashboard's figures from a store: all time spent, what reviewers were told, and sets that share images."""

from __future__ import annotations

from pathlib import Path

from tenfold.data.manifest import read_manifest, write_manifest
from tenfold.review.config import ReviewConfig
from tenfold.review.records import Decision
from tenfold.review.run import begin_review, dashboard
from tests.review_workspace import make_review_workspace, usable_ids


def test_the_record_counts_and_shared_images_are_in_each_of_their_sets(tmp_path: Path) -> None:
    """Four images are judged in 5 seconds, taken back, and accepted in 7; the set `small` holds two of the twelve."""
    workspace = make_review_workspace(tmp_path / "w", sets={"large": 6})
    shared = usable_ids(workspace, "large")[:2]
    folder = workspace.path / "synthetic" / "small"
    folder.mkdir()
    rows = read_manifest(workspace.path / "synthetic" / "large" / "manifest.parquet")
    write_manifest(rows[rows["image_id"].isin(shared)].reset_index(drop=True), folder / "manifest.parquet")
    (folder / "run.json").write_text('{"outputs": {}}')
    targets = {"total": 12, "scope": "each_set"}
    config = ReviewConfig.model_validate({"real_fraction": 0, "repeat_fraction": 0, "targets": targets})
    with begin_review(config, workspace) as store:
        reader = store.invite("Ann", "reviewer").reviewer
        for number, slot in enumerate(store.queue(reader.id, 0, 4)):
            store.serve(reader.id, slot.opaque)
            store.add_decision(reader.id, Decision(f"first-{number}", slot.opaque, "reject", seconds=5.0))
            store.add_decision(reader.id, Decision(f"undo-{number}", slot.opaque, "none", undoes=f"first-{number}"))
            store.add_decision(reader.id, Decision(f"again-{number}", slot.opaque, "accept", seconds=7.0))
        found = dashboard(store, config, workspace)
    summary, goals = found["summary"], found["coverage"]["goals"]
    assert summary["effort"]["minutes"] == 0.8 and summary["readers"][0]["minutes"] == 0.8  # 4 * (5 + 7) seconds
    assert (summary["accepted"], summary["rejected"], summary["class_was_told"]) == (4, 0, True)
    assert {goal["set"]: goal["wanted"] for goal in goals} == {"large": 12, "small": 12}
    sizes = {row["value"]: row["accepted"] + row["rejected"] + row["undecided"] for row in summary["by_set"]}
    assert sizes == {"large": 12, "small": 2}
