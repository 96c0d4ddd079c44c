"""A store that lost decisions: nothing is written over what is left of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tenfold.core.errors import DataError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.data.verdicts import read_reviewed
from tenfold.review.config import ReviewConfig
from tenfold.review.items import set_manifest
from tenfold.review.lost import DECISIONS
from tenfold.review.run import begin_review, refresh, run
from tenfold.review.store import DATABASE, Store
from tests.review_workspace import judge_all, make_review_workspace, usable_ids

CONFIG = ReviewConfig(reviewers_needed=1, real_fraction=0.0, repeat_fraction=0.0)


@pytest.fixture
def judged(tmp_path: Path) -> Workspace:
    """Everything is rejected, and written down."""
    workspace = make_review_workspace(tmp_path / "w")
    with begin_review(CONFIG, workspace) as store:
        ann = store.invite("ann").reviewer.id
    judge_all(workspace, ann, dict.fromkeys(usable_ids(workspace), "reject"))
    assert refresh(workspace)
    return workspace


def _lose(workspace: Workspace) -> None:
    for path in workspace.resolve("review").glob("review.sqlite*"):
        path.unlink()


def _still_rejected(workspace: Workspace) -> bool:
    rows = read_reviewed(workspace, set_manifest("drawn")).set_index("image_id")["review"]
    return bool((rows[usable_ids(workspace)] == "rejected").all())


@pytest.mark.parametrize("auto_accept", [False, True])
def test_a_store_that_is_gone_is_not_begun_anew(judged: Workspace, auto_accept: bool) -> None:
    _lose(judged)
    with pytest.raises(DataError, match="12 of 12 decisions that were made are not in the store") as caught:
        run(CONFIG.model_copy(update={"auto_accept": auto_accept}), judged, SerialExecutor(), NullProgress())
    assert "Restore" in caught.value.todo and str(judged.path) in caught.value.todo
    assert not judged.resolve(DATABASE).is_file()
    assert _still_rejected(judged) and len(pd.read_parquet(judged.resolve(DECISIONS))) == 12


def test_an_emptied_store_writes_nothing(judged: Workspace) -> None:
    _lose(judged)
    Store.open_or_create(judged.resolve(DATABASE)).close()
    for touch in (refresh, lambda workspace: begin_review(CONFIG, workspace)):
        with pytest.raises(DataError, match="not in the store"):
            touch(judged)
    assert _still_rejected(judged)


def test_a_review_begun_anew_on_purpose_works(judged: Workspace) -> None:
    judged.resolve("review").rename(judged.path / "earlier-review")
    with begin_review(CONFIG, judged) as store:
        assert not store.decisions()
