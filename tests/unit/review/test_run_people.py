"""Whom a run waits for and names, what goes on without them, and several reviews of one workspace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.errors import DataError, WaitingForPeople
from tenfold.core.executor import SerialExecutor
from tenfold.core.files import read_json
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.verdicts import kept_out_hashes, read_filtered
from tenfold.recipes.reviewing import export_review
from tenfold.review.begun import review_settings
from tenfold.review.config import ReviewConfig
from tenfold.review.records import Decision
from tenfold.review.run import begin_review, dashboard, result_summaries, run
from tenfold.review.store import DATABASE, Store
from tests.review_workspace import add_set, judge_all, make_review_workspace, usable_ids

MANIFEST = "synthetic/drawn/manifest.parquet"
PLAIN: dict[str, Any] = {"real_fraction": 0.0, "repeat_fraction": 0.0}


class _Log(NullProgress):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, message: str) -> None:
        self.messages.append(message)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_review_workspace(tmp_path / "w")


def _run(workspace: Workspace, log: NullProgress | None = None, **settings: Any) -> Result:
    return run(ReviewConfig(**{**PLAIN, **settings}), workspace, SerialExecutor(), log or NullProgress())


def _wait(workspace: Workspace, **settings: Any) -> WaitingForPeople:
    with pytest.raises(WaitingForPeople) as caught:
        _run(workspace, **settings)
    return caught.value


def _invite(workspace: Workspace, *names: str) -> list[int]:
    with Store.open(workspace.resolve(DATABASE)) as store:
        return [store.invite(name).reviewer.id for name in names]


def _judge_some(workspace: Workspace, reviewer: int, count: int) -> None:
    with Store.open(workspace.resolve(DATABASE)) as store:
        for slot in store.queue(reviewer, 0, count):
            store.serve(reviewer, slot.opaque)
            store.add_decision(reviewer, Decision(f"some-{reviewer}-{slot.opaque}", slot.opaque, "accept"))


def test_who_left_early_has_not_finished(workspace: Workspace) -> None:
    _wait(workspace)
    ann, bob = _invite(workspace, "ann", "bob")
    _judge_some(workspace, bob, 1)
    with Store.open(workspace.resolve(DATABASE)) as store:
        store.revoke("bob")
    judge_all(workspace, ann)
    error = _wait(workspace)
    assert "12 of 12 images decided" in error.what and "1 of the 2 reviewers needed has finished" in error.what
    assert "Invite 1 more: `tenfold review invite NAME`" in error.todo
    # Who had judged the whole share before the link ended has finished it.
    with Store.open(workspace.resolve(DATABASE)) as store:
        store.revoke("ann")
    assert "1 of the 2 reviewers needed has finished" in _wait(workspace).what
    [eve] = _invite(workspace, "eve")
    judge_all(workspace, eve)
    assert not _run(workspace).summary["wait_bypassed"]


def test_who_holds_the_last_images_is_named_with_what_to_do(workspace: Workspace) -> None:
    _wait(workspace)
    [ann] = _invite(workspace, "ann")
    with Store.open(workspace.resolve(DATABASE), lambda: datetime.now(UTC) - timedelta(days=30)) as store:
        store.invite("bob", days=14)
    judge_all(workspace, ann)
    error = _wait(workspace, reviewers_needed=1)
    assert " with bob (link expired " in error.what
    assert "tenfold review invite 'bob'" in error.todo and "tenfold review revoke 'bob'" in error.todo


def test_without_waiting_a_disputed_image_stays_out_until_it_is_settled(workspace: Workspace) -> None:
    settings: dict[str, Any] = {"consensus": "adjudicated", "overlap_fraction": 1.0}
    _wait(workspace, **settings)
    ann, bob = _invite(workspace, "ann", "bob")
    out = usable_ids(workspace)[0]
    judge_all(workspace, ann, {out: "reject"})
    judge_all(workspace, bob)
    result = _run(workspace, **settings, auto_accept=True)
    facts = {name: result.summary[name] for name in ("unlooked", "disputed_open", "wait_bypassed", "is_unreviewed")}
    assert facts == {"unlooked": 0, "disputed_open": 1, "wait_bypassed": True, "is_unreviewed": False}
    assert out not in set(read_filtered(workspace, MANIFEST)["image_id"])
    accepted = pd.read_parquet(workspace.resolve("review/results/main/accepted.parquet"))
    assert out not in set(accepted["image_id"]) and len(accepted) == 11
    with Store.open(workspace.resolve(DATABASE)) as store:
        judge = store.invite("judge", "adjudicator").reviewer.id
        [slot] = store.queue(judge, 0, 10, "adjudication")
        store.serve(judge, slot.opaque)
        store.add_decision(judge, Decision("word", slot.opaque, "accept"))
    assert not _run(workspace, **settings, auto_accept=True).summary["wait_bypassed"]
    assert out in set(read_filtered(workspace, MANIFEST)["image_id"])


def test_without_waiting_too_few_reviewers_are_told_of(workspace: Workspace) -> None:
    _wait(workspace)
    [ann] = _invite(workspace, "ann")
    judge_all(workspace, ann)
    facts = _run(workspace, auto_accept=True).summary
    assert (facts["reviewers_finished"], facts["reviewers_needed"], facts["wait_bypassed"]) == (1, 2, True)
    assert not facts["is_unreviewed"]


def test_nobody_adjudicates_where_the_rule_asks_for_no_word(workspace: Workspace) -> None:
    settings: dict[str, Any] = {"consensus": "majority", "overlap_fraction": 1.0}
    _wait(workspace, **settings)
    ann, bob = _invite(workspace, "ann", "bob")
    with Store.open(workspace.resolve(DATABASE)) as store:
        judge = store.invite("judge", "adjudicator").reviewer.id
    judge_all(workspace, ann, {usable_ids(workspace)[0]: "reject"})
    judge_all(workspace, bob)
    _run(workspace, **settings)
    with Store.open(workspace.resolve(DATABASE)) as store:
        assert store.plan_adjudication() == 0 and store.progress(judge, "adjudication").total == 0


def test_an_acceptance_has_no_cell_trained_anew(workspace: Workspace) -> None:
    _wait(workspace)
    [ann] = _invite(workspace, "ann")
    out = usable_ids(workspace)[0]
    judge_all(workspace, ann, {out: "reject"})
    _wait(workspace)
    before = kept_out_hashes(workspace, [MANIFEST])
    [bob] = _invite(workspace, "bob")
    judge_all(workspace, bob)
    _run(workspace, reviewers_needed=1)
    assert before and kept_out_hashes(workspace, [MANIFEST]) == before


def test_two_reviews_of_one_workspace_are_told_apart(workspace: Workspace) -> None:
    add_set(workspace, "more", 2)
    one: dict[str, Any] = {"name": "one", "sets": ("drawn",), "reviewers_needed": 1, "real_fraction": 0.2}
    two: dict[str, Any] = {**one, "name": "two", "sets": ("more",)}
    _wait(workspace, **one)
    [ann] = _invite(workspace, "ann")
    judge_all(workspace, ann, {usable_ids(workspace)[0]: "reject"})
    first = _run(workspace, **one)
    assert (first.summary["n_images"], first.summary["rejected"]) == (12, 1)
    assert "0 of 4 images decided by 0 reviewers; left: 4 with ann" in _wait(workspace, **two).what
    # The first is finished while the second one's images wait.
    again = _run(workspace, **one)
    assert again.summary == first.summary
    judge_all(workspace, ann)
    second = _run(workspace, **two)
    assert (second.summary["n_images"], second.summary["rejected"], second.summary["sets"]) == (4, 0, ["more"])
    assert result_summaries(workspace, ["drawn"]) == ["review/results/one/summary.json"]
    assert result_summaries(workspace, ["more"]) == ["review/results/two/summary.json"]
    assert len(result_summaries(workspace)) == 2 and not result_summaries(workspace, ["none"])
    summary = read_json(workspace.resolve("review/results/two/summary.json"))["summary"]
    assert (summary["n_images"], summary["n_real"]) == (4, 1)
    assert [reader["total"] for reader in summary["readers"]] == [5]
    with Store.open(workspace.resolve(DATABASE)) as store:
        store.revoke("ann")
    add_set(workspace, "third", 2)
    three = _wait(workspace, **{**one, "name": "three", "sets": ("third",)})
    assert "0 of 4 images decided by 0 reviewers" in three.what, "the real images alone make nobody a reviewer of these"
    with Store.open(workspace.resolve(DATABASE)) as store:
        shown = dashboard(store, ReviewConfig(**{**PLAIN, **one}), workspace)
    assert shown["summary"]["n_images"] == 12


def test_reviews_of_one_workspace_share_their_rule(workspace: Workspace) -> None:
    _wait(workspace, name="one")
    with pytest.raises(DataError, match="consensus any_reject, not majority") as caught:
        _run(workspace, name="two", consensus="majority")
    assert "review serve" in caught.value.todo
    begun = review_settings(workspace)
    assert begun is not None and (begun.name, begun.consensus) == ("one", "any_reject")
    # Its own settings may change, and the page changes them for all.
    _wait(workspace, name="one", consensus="majority")
    _wait(workspace, name="two", consensus="majority")
    with begin_review(ReviewConfig(**PLAIN, name="two"), workspace, changes_all=True):
        pass
    _wait(workspace, name="one")


def test_the_rubric_is_found_from_anywhere_and_kept(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "rubric.yaml").write_text("reasons:\n- {key: 1, id: blurred, text: Blurred}\n", encoding="utf-8")
    monkeypatch.chdir(place)
    settings: dict[str, Any] = {"rubric": "rubric.yaml", "reviewers_needed": 1}
    _wait(workspace, **settings)
    [ann] = _invite(workspace, "ann")
    judge_all(workspace, ann)
    _run(workspace, **settings)
    kept = read_json(workspace.resolve("review/results/main/rubric.json"))
    assert [reason["text"] for reason in kept["reasons"]] == ["Blurred"]
    monkeypatch.chdir(tmp_path)
    begun = review_settings(workspace)
    assert begun is not None and begun.rubric == str(place / "rubric.yaml")
    (place / "rubric.yaml").unlink()
    folder, names = export_review(workspace.path, None)
    assert "label_studio_config.xml" in names and read_json(folder / "rubric.json") == kept


def test_a_rubric_that_is_broken_while_it_is_served_leaves_the_figures_as_they_are(
    workspace: Workspace, tmp_path: Path
) -> None:
    place = tmp_path / "rubric.yaml"
    place.write_text("reasons:\n- {key: 1, id: blurred, text: Blurred}\n", encoding="utf-8")
    config = ReviewConfig(**PLAIN, rubric=str(place))
    with begin_review(config, workspace) as store:
        before = dashboard(store, config, workspace)
        place.write_text("reasons: [", encoding="utf-8")
        assert dashboard(store, config, workspace) == before
        _, names = export_review(workspace.path, tmp_path / "out")
    assert "rubric.json" in names


def test_real_images_that_cannot_be_had_are_told_of(workspace: Workspace) -> None:
    log = _Log()
    with pytest.raises(WaitingForPeople):
        _run(workspace, log, real_fraction=0.9)
    assert any("real images are mixed in, not 108" in message for message in log.messages)
    quiet = _Log()
    with pytest.raises(WaitingForPeople):
        _run(workspace, quiet, real_fraction=0.0)
    assert not quiet.messages
