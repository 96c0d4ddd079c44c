"""Costly figures: made once for all who wait, old ones given while new ones are made, and by a process of its own."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tenfold.core.errors import TenfoldError
from tenfold.core.workspace import Workspace
from tenfold.review.apart import dashboard_apart
from tenfold.review.config import ReviewConfig
from tenfold.review.records import QueueSettings
from tenfold.review.run import begin_review, dashboard
from tenfold.review.store import DATABASE, Store
from tenfold.review.web.context import Remembered
from tenfold.review.web.overview import Overview
from tests.review_store import SETTINGS, decide, invited, make_items, whole_queue
from tests.review_workspace import judge_all, make_review_workspace


def test_old_figures_are_given_while_new_ones_are_made() -> None:
    go_on, made = threading.Event(), []

    def make() -> int:
        if made:
            go_on.wait(30)
        made.append(len(made))
        return made[-1]

    kept = Remembered(make, seconds=0.0)
    assert kept.get() == 0, "the first who asks waits"
    kept._until = 0.0
    assert [kept.get(), kept.get()] == [0, 0], "nobody waits for new ones"
    making = kept._making
    go_on.set()
    assert making is not None and making.result(30) == 1
    assert len(made) == 2, "which are made once"
    assert kept.get() == 1


def test_a_fault_of_the_figures_is_told_and_they_are_tried_again() -> None:
    tries: list[int] = []

    def make() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise TenfoldError("no figures")
        return 7

    kept = Remembered(make, seconds=60.0)
    with pytest.raises(TenfoldError):
        kept.get()
    assert kept.get() == 7


def test_figures_made_apart_are_the_same(tmp_path: Path) -> None:
    workspace = make_review_workspace(tmp_path / "ws")
    config = ReviewConfig.model_validate({})
    with begin_review(config, workspace) as store:
        judge_all(workspace, store.invite("ann").reviewer.id)
        assert dashboard_apart(workspace) == dashboard(store, config, workspace)


def test_modules_of_the_current_folder_are_not_taken_for_pythons_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_review_workspace(tmp_path / "ws")
    with begin_review(ReviewConfig.model_validate({}), workspace):
        pass
    for name in ("queue.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('the folder decides')")
    monkeypatch.chdir(tmp_path)
    assert dashboard_apart(workspace)["summary"]


def test_what_keeps_figures_from_being_made_is_told(workspace: Workspace) -> None:
    with pytest.raises(TenfoldError, match="figures cannot be made"):
        dashboard_apart(workspace)


def test_the_overview_follows_decisions_undos_and_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenfold.review.records import Decision
    from tenfold.review.web import overview as module

    monkeypatch.setattr(module, "_FRESH_SECONDS", 0.0)
    with Store.open_or_create(tmp_path / DATABASE) as store:
        items = make_items(30)
        store.fill(items, QueueSettings(SETTINGS.seed, 1.0, 0.0))
        ann, ben = invited(store, "ann", "ben")
        kept = Overview(items, store, "any_reject")

        def check() -> None:
            kept.refresh()
            fresh = Overview(items, store, "any_reject")
            fresh.refresh()
            for wanted in ({}, {"verdict": "accepted"}, {"verdict": "disputed"}, {"label": "df", "source": "real"}):
                assert kept.rows_of(wanted) == fresh.rows_of(wanted), wanted

        check()
        slots = whole_queue(store, ann)
        decide(store, ann, slots[:9])
        check()
        assert len(kept.rows_of({"verdict": "accepted"})) == 9
        decide(store, ben, whole_queue(store, ben)[:9], "reject")
        check()
        taken_back = f"{ann}-{slots[0].opaque}-accept"
        store.add_decision(ann, Decision("undo-0001", slots[0].opaque, "none", undoes=taken_back))
        store.report_fault(items[3].image_id, "gone")
        check()
        assert kept.row(items[3].image_id).verdict == "faulty"
        monkeypatch.setattr(module, "_ONE_BY_ONE", 3)
        decide(store, ben, whole_queue(store, ben)[9:])
        check()
