"""A study waits for its reviewers, goes on when run again, and trains anew what a changed verdict concerns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.errors import WaitingForPeople
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result, read_run_record
from tenfold.core.workspace import Workspace
from tenfold.review.store import DATABASE, Store
from tenfold.studies.config import StudyRunConfig
from tenfold.studies.run import run
from tests.review_workspace import judge_all
from tests.tiny_data import make_tiny_workspace

CLASSIFY = {"max_train_steps": 2, "evaluate_every_steps": 1, "batch_size": 4, "device": "cpu"}
REVIEW = {"reviewers_needed": 1, "real_fraction": 0.0, "repeat_fraction": 0.0}
SET = "main-s0-text2img"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study that has drawn its set and waits."""
    workspace = make_tiny_workspace(tmp_path_factory.mktemp("study") / "ws", image_size_px=64)
    with pytest.raises(WaitingForPeople) as caught:
        run_study(workspace)
    assert caught.value.exit_code == 3 and "0 of 8 images decided by 0 reviewers" in caught.value.what
    return workspace


def run_study(workspace: Workspace, *arms: str, review: dict[str, Any] | None = None) -> Result:
    config = StudyRunConfig.model_validate({
        "name": "main", "arms": arms or ("real_only", "hybrid_pretrained", "everything"), "curve_arms": [],
        "training_sizes": [2], "synthetic_training_sizes": [2], "seeds": 1, "synthetic_ratio": 2,
        "define": {"everything": {"like": "hybrid_pretrained", "review": "unfiltered"}},
        "generate": {"num_inference_steps": 2}, "classify": CLASSIFY, "review": REVIEW if review is None else review,
    })  # fmt: skip
    return run(config, workspace, SerialExecutor(), NullProgress())


def images_of(workspace: Workspace, arm: str) -> dict[str, int]:
    """The synthetic training images of an arm's cell, by class."""
    training = read_json(workspace.path / f"classifiers/main-{arm}-n2-s0/training.json")
    counts: dict[str, int] = training["images_by_origin"]["synthetic"]
    return counts


def finished_at(workspace: Workspace, arm: str) -> str:
    return read_run_record(workspace.path / f"classifiers/main-{arm}-n2-s0").finished_at


def ids_in(workspace: Workspace) -> Sequence[str]:
    rows = pd.read_parquet(workspace.path / f"synthetic/{SET}/manifest.parquet")
    return sorted(rows["image_id"].astype(str))


def test_what_needs_no_review_is_done_while_it_waits(drawn: Workspace) -> None:
    finished = {path.parent.name for path in drawn.path.glob("classifiers/*/run.json")}
    assert finished == {"main-real-only-n2-s0", "main-everything-n2-s0"}
    assert not (drawn.path / "studies/main/run.json").exists()


def test_rejected_images_reach_no_filtered_arm_and_a_later_word_is_heeded(drawn: Workspace) -> None:
    with Store.open(drawn.resolve(DATABASE)) as store:
        ann = store.invite("ann").reviewer.id
    first, second = ids_in(drawn)[:2]
    before = {arm: finished_at(drawn, arm) for arm in ("real-only", "everything")}
    manifest = (drawn.path / f"synthetic/{SET}/manifest.parquet").read_bytes()
    judge_all(drawn, ann, {first: "reject"})
    assert not run_study(drawn).was_finished
    assert sum(images_of(drawn, "hybrid-pretrained").values()) == 7
    assert sum(images_of(drawn, "everything").values()) == 8
    assert run_study(drawn).was_finished

    judge_all(drawn, ann, {first: "reject", second: "reject"})
    assert not run_study(drawn).was_finished
    assert sum(images_of(drawn, "hybrid-pretrained").values()) == 6
    assert {arm: finished_at(drawn, arm) for arm in before} == before
    assert (drawn.path / f"synthetic/{SET}/manifest.parquet").read_bytes() == manifest
    assert run_study(drawn).was_finished


def test_who_accepts_later_has_nothing_trained_anew_and_is_counted(drawn: Workspace) -> None:
    before = finished_at(drawn, "hybrid-pretrained")
    with Store.open(drawn.resolve(DATABASE)) as store:
        bob = store.invite("bob").reviewer.id
    assert judge_all(drawn, bob)
    assert run_study(drawn).was_finished and finished_at(drawn, "hybrid-pretrained") == before
    assert read_json(drawn.path / "review/results/main/summary.json")["facts"]["n_reviewers"] == 2


def test_without_people_it_goes_on_and_says_so(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "ws", image_size_px=64)
    run_study(workspace, "hybrid_pretrained", review={**REVIEW, "auto_accept": True})
    assert sum(images_of(workspace, "hybrid-pretrained").values()) == 8
    facts = read_json(workspace.path / "review/results/main/summary.json")["facts"]
    assert facts["is_unreviewed"] and facts["auto_accept"] and facts["undecided"] == 8
