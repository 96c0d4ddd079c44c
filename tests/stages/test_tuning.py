"""The tuning stage on blobs: resumed as it would have gone, poor and failed trials told, no test image read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tenfold.classification import tuning
from tenfold.classification.config import ClassifierConfig
from tenfold.classification.run import run as train
from tenfold.classification.tuning_config import TuningConfig
from tenfold.classification.tuning_contents import TuningContents
from tenfold.core.errors import DataError, FaultsError, StageError
from tenfold.core.executor import SerialExecutor
from tenfold.core.plain import from_plain
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tests.unit.classification.blobs import LABELS, ids_of, make_blob_workspace, make_feature_net, real_rows

SPACE = {
    "max_train_steps": {"low": 4, "high": 12, "step": 4},
    "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
    "optimizer": {"choices": ["adam", "rmsprop"]},
}


@pytest.fixture(scope="module")
def feature_net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_feature_net(tmp_path_factory.mktemp("net") / "features")


@pytest.fixture(autouse=True)
def _embedded(feature_net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.models.embedded.features_path", lambda: feature_net)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Blobs whose test images are gone: a tuning that looked at one would fail."""
    workspace = make_blob_workspace(tmp_path_factory.mktemp("tune") / "ws", per_class=16, held_out=4)
    rows = real_rows(workspace)
    for path in rows.loc[rows["split"] == "test", "path"]:
        workspace.resolve(str(path)).unlink()
    return workspace


def config(workspace: Workspace, **changes: Any) -> TuningConfig:
    classifier = {
        "cell": "tuning-t", "arm": "real", "labels": LABELS, "training_size": 6, "classifier_seed": 5,
        "train_ids": ids_of(workspace, "train", per_class=6), "validation_ids": ids_of(workspace, "val", per_class=4),
        "transforms": "none", "batch_size": 6, "evaluate_every_steps": 4, "device": "cpu",
    }  # fmt: skip
    own = {"classifier": classifier | changes.pop("classifier", {}), "name": "t", "trials": 6, "startup_trials": 3}
    return TuningConfig.model_validate({"space": SPACE, "pruner": "none"} | own | changes)


def search(workspace: Workspace, **changes: Any) -> Result:
    return tuning.run(config(workspace, **changes), workspace, SerialExecutor(), NullProgress())


def contents(workspace: Workspace, name: str = "t") -> TuningContents:
    return from_plain(
        TuningContents, json.loads((workspace.path / "tuning" / name / "result" / "tuning.json").read_text())
    )


def copied(workspace: Workspace, place: Path) -> Workspace:
    shutil.copytree(workspace.path, place)
    return Workspace.open(place)


@pytest.fixture(scope="module")
def searched(blobs: Workspace, feature_net: Path) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenfold.models.embedded.features_path", lambda: feature_net)
        return search(blobs)


def test_the_best_trial_is_what_training_with_its_settings_gives(
    blobs: Workspace, searched: Result, tmp_path: Path
) -> None:
    found = contents(blobs)
    assert [trial.state for trial in found.trials] == ["complete"] * 6
    values = [trial.value for trial in found.trials if trial.value is not None]
    assert found.best.value == max(values) and len(set(values)) > 1
    assert searched.summary["test_reads"] == 0 and searched.summary["n_validation_images"] == 12
    best = yaml.safe_load((searched.folder / "best.yaml").read_text())
    assert best.items() >= dict(found.best.values).items() and "train_ids" not in best
    table = pd.read_csv(searched.folder / "trials.csv")
    assert table.loc[table["validation_macro_auroc"].idxmax(), "trial"] == searched.summary["best_trial"]
    assert len(table) == 6 and table["validation_macro_auroc"].max() == pytest.approx(found.best.value)

    whole = make_blob_workspace(tmp_path / "whole", per_class=16, held_out=4)
    classifier = ClassifierConfig.model_validate(
        config(whole).classifier.model_dump() | best | {"cell": "again", "checkpointing_steps": None}
    )
    result = train(classifier, whole, SerialExecutor(), NullProgress())
    assert result.summary["validation_macro_auroc"] == found.best.value
    assert result.summary["best_step"] == found.best.best_step


def test_a_search_that_was_interrupted_ends_as_one_that_was_not(
    blobs: Workspace, searched: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copied(blobs, tmp_path / "copy")
    shutil.rmtree(copy.path / "tuning")
    real, calls = tuning.fit_cell, []

    def dies(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) in (3, 5):
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(tuning, "fit_cell", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(copy)
    result = search(copy)
    assert result.summary["interrupted_trials"] == 2
    assert result.outputs == searched.outputs
    assert search(copy).was_finished


def test_a_trial_is_given_no_test_image(blobs: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    real, given = tuning.fit_cell, []

    def watched(settings: Any, workspace: Workspace, images: Any, *arguments: Any, **options: Any) -> Any:
        given.append(images)
        return real(settings, workspace, images, *arguments, **options)

    monkeypatch.setattr(tuning, "fit_cell", watched)
    search(blobs, name="watched", trials=1)
    rows = real_rows(blobs)
    test = set(rows.loc[rows["split"] == "test", "image_id"])
    (images,) = given
    for part in (images.train, images.extra, images.validation, images.test):
        assert not test & set(part["image_id"])
    assert test and set(images.validation["split"]) == {"val"} and len(images.test) == 0
    held_out = ids_of(blobs, "test", per_class=4)
    with pytest.raises(FaultsError, match="12 image ids are not in the manifest"):
        search(blobs, name="peeking", trials=1, classifier={"validation_ids": held_out})


def test_more_trials_go_on_and_other_settings_are_refused(blobs: Workspace, searched: Result, tmp_path: Path) -> None:
    copy = copied(blobs, tmp_path / "copy")
    before = contents(copy)
    search(copy, trials=8)
    assert contents(copy).trials[:6] == before.trials and len(contents(copy).trials) == 8
    for change in ({"seed": 3}, {"goal": "log_loss"}, {"classifier": {"batch_size": 8}}):
        with pytest.raises(DataError, match="begun with other settings"):
            search(copy, **change)
    (copy.path / "tuning" / "bad").mkdir()
    (copy.path / "tuning" / "bad" / "trials.sqlite").write_text("no database, but long enough to be taken for one")
    with pytest.raises(DataError, match="cannot be opened"):
        search(copy, name="bad")


def test_poor_trials_are_ended_early_and_never_the_best(blobs: Workspace) -> None:
    space = {**SPACE, "learning_rate": {"choices": [1e-8, 1e-2]}, "max_train_steps": {"low": 15, "high": 16}}
    result = search(
        blobs, name="pruned", trials=10, space=space, pruner="median", pruner_startup_trials=2,
        pruner_warmup_steps=0, sampler="random",
    )  # fmt: skip
    found = contents(blobs, "pruned")
    assert result.summary["pruned"] > 0 and result.summary["complete"] >= 2
    assert found.best.state == "complete"
    for trial in found.trials:
        if trial.state == "pruned":
            assert trial.looks[-1].step < trial.values["max_train_steps"]  # type: ignore[operator]


def test_settings_that_cannot_be_trained_fail_their_trial_alone(blobs: Workspace) -> None:
    space = {"learning_rate": {"choices": [1e-3, 1e30]}, "freeze_blocks": {"low": 0, "high": 1}}
    fixed = {"max_train_steps": 4, "optimizer": "sgd", "weight_decay": 0.0}
    search(blobs, name="failing", trials=8, space=space, sampler="random", classifier=fixed)
    found = contents(blobs, "failing")
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert failed and all(trial.values["learning_rate"] == 1e30 and trial.reason for trial in failed)
    assert found.count("complete") > 0
    only = {"learning_rate": {"choices": [1e30, 1e31]}}
    with pytest.raises(StageError, match="none of 2 trials"):
        search(blobs, name="hopeless", trials=2, space=only, classifier=fixed)


def test_a_lower_log_loss_is_a_goal_too(blobs: Workspace) -> None:
    result = search(blobs, name="calibrated", trials=4, goal="log_loss")
    found = contents(blobs, "calibrated")
    assert result.summary["best_value"] == min(trial.value for trial in found.trials if trial.value is not None)


def test_a_head_is_searched_without_looks(blobs: Workspace) -> None:
    head = {"train": "head", "freeze_blocks": 0, "transforms": "paper"}
    search(blobs, name="head", trials=3, space={"feature_views": {"low": 1, "high": 3}}, classifier=head)
    found = contents(blobs, "head")
    assert found.best.best_step is None and not found.best.looks and found.best.value is not None


@pytest.mark.slow
def test_a_search_killed_while_it_trains_goes_on_to_the_same_bytes(
    blobs: Workspace, searched: Result, tmp_path: Path, feature_net: Path
) -> None:
    copy = copied(blobs, tmp_path / "copy")
    shutil.rmtree(copy.path / "tuning")
    code = (
        "import sys\nfrom pathlib import Path\nimport tenfold.models.embedded as embedded\n"
        f"embedded.features_path = lambda: Path({str(feature_net)!r})\n"
        "from tests.stages.test_tuning import search\nfrom tenfold.core.workspace import Workspace\n"
        f"search(Workspace.open({str(copy.path)!r}))\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", code], env=environment)
    trials = copy.path / "tuning" / "t" / "trials.sqlite"
    while not (trials.is_file() and _trials_of(trials) >= 3):
        assert child.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert search(copy).outputs == searched.outputs


def _trials_of(path: Path) -> int:
    import sqlite3

    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1) as connection:
            return int(connection.execute("select count(*) from trials").fetchone()[0])
    except sqlite3.Error:
        return 0
