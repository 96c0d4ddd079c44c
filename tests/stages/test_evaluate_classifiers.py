"""A workspace's classifiers judged: on the sealed test set, each read counted, and on images from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tenfold.classification.config import ClassifierConfig
from tenfold.classification.run import run
from tenfold.core.errors import InputError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.data.split_seal import read_sealed_split
from tenfold.recipes.evaluating import evaluation_settings, order_classifiers, order_external_set, run_evaluation
from tenfold.recipes.external_sets import answer_external_set
from tests.unit.classification.blobs import (
    LABELS,
    draw_blob,
    ids_of,
    make_blob_workspace,
    make_feature_net,
    real_rows,
)

FAST = evaluation_settings(["bootstrap_draws=100", "permutations=100"])
QUIET = NullProgress()


@pytest.fixture(scope="module", autouse=True)
def feature_net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = make_feature_net(tmp_path_factory.mktemp("net") / "features")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenfold.models.embedded.features_path", lambda: folder)
        yield


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory, feature_net: None) -> Workspace:
    workspace = make_blob_workspace(tmp_path_factory.mktemp("evaluate") / "ws", per_class=24, held_out=6)
    for seed in (0, 1):
        settings: dict[str, Any] = {
            "cell": f"real-s{seed}", "arm": "real_only", "labels": LABELS, "training_size": 8, "classifier_seed": seed,
            "train_ids": ids_of(workspace, "train", per_class=8), "transforms": "none", "max_train_steps": 12,
            "validation_ids": ids_of(workspace, "val", per_class=6), "batch_size": 12, "evaluate_every_steps": 6,
            "learning_rate": 5e-3, "device": "cpu",
        }  # fmt: skip
        run(ClassifierConfig(**settings), workspace, SerialExecutor(), QUIET)
    return workspace


def test_the_sealed_test_set_is_scored_and_each_read_counted(blobs: Workspace) -> None:
    reads = []
    for _ in range(2):
        outcome = run_evaluation(order_classifiers(FAST, blobs.path, ["real-*"]), QUIET)
        reads.append(outcome.evaluation.test_reads)
    evaluation = outcome.evaluation
    assert reads == [3, 4]
    assert evaluation.test_sha256 == read_sealed_split(blobs.resolve("data/splits.json")).test_sha256
    (model,) = evaluation.models
    assert (model.name, model.n_runs) == ("real_only", 2)
    assert evaluation.n_test_images == (real_rows(blobs)["split"] == "test").sum()
    assert len(evaluation.calibrations[0].temperatures) == 2
    assert outcome.page.is_file() and blobs.path in outcome.page.parents


def test_an_unknown_classifier_is_told_what_there_is(blobs: Workspace) -> None:
    with pytest.raises(InputError, match="real-s0, real-s1"):
        order_classifiers(FAST, blobs.path, ["hybrid-*"])


def test_a_folder_of_classes_is_an_external_set(blobs: Workspace, tmp_path: Path) -> None:
    for label in (*LABELS, "unknown"):
        (tmp_path / "clinic" / label).mkdir(parents=True)
        for number in range(5):
            blob = draw_blob(label if label in LABELS else "blue", 900 + number)
            Image.fromarray(blob).save(tmp_path / "clinic" / label / f"{number}.png")
    external = answer_external_set(blobs, ["real-s0"], tmp_path / "clinic", "cpu", QUIET)
    outcome = run_evaluation(order_external_set(FAST, external), QUIET, notes=external.notes)
    evaluation = outcome.evaluation
    assert evaluation.n_test_images == 15
    assert not evaluation.has_patients
    assert evaluation.test_sha256 is None and evaluation.test_reads is None
    assert evaluation.operating_points  # fitted on the classifier's own validation images
    assert any("other classes were left out: unknown" in note for note in evaluation.notes)
    # The same temperature as on its own test set: the same validation logits.
    own = run_evaluation(order_classifiers(FAST, blobs.path, ["real-s0"]), QUIET).evaluation
    assert evaluation.calibrations[0].temperatures == pytest.approx(own.calibrations[0].temperatures, rel=1e-4)


def test_images_of_another_workspace_keep_the_networks_own_logits(blobs: Workspace, tmp_path: Path) -> None:
    rows = real_rows(blobs)
    other = Workspace.create(tmp_path / "other", name="other", root_seed=2, data_license="none")
    test = rows[rows["split"] == "test"]
    for path in test["path"]:
        other.resolve(path).parent.mkdir(parents=True, exist_ok=True)
        other.resolve(path).write_bytes(blobs.resolve(path).read_bytes())
    test.assign(split=pd.NA).to_parquet(other.resolve("data/manifest.parquet"), index=False)
    external = answer_external_set(blobs, ["real-s0", "real-s1"], other.path, "cpu", QUIET)
    kept = pd.read_parquet(blobs.resolve("classifiers/real-s1/predictions.parquet")).set_index("image_id")
    answers = external.tables["real-s1"].set_index("image_id")
    logits = [f"logit.{label}" for label in LABELS]
    np.testing.assert_allclose(answers.loc[kept.index, logits], kept[logits], atol=1e-4)
    assert external.has_sealed and any("own sealed test images" in note for note in external.notes)
    evaluation = run_evaluation(order_external_set(FAST, external, out=tmp_path / "out"), QUIET).evaluation
    assert evaluation.test_reads is not None and evaluation.n_test_images == len(test)
    assert evaluation.has_patients
    assert evaluation.models[0].n_runs == 2


def test_an_external_set_with_images_of_the_training_is_refused(blobs: Workspace) -> None:
    with pytest.raises(InputError, match="training or validation images of the classifier"):
        answer_external_set(blobs, ["real-s0"], blobs.path, "cpu", QUIET)


def test_a_folder_without_known_classes_is_refused(blobs: Workspace, tmp_path: Path) -> None:
    (tmp_path / "spoiled" / LABELS[0]).mkdir(parents=True)
    (tmp_path / "spoiled" / LABELS[0] / "text.png").write_text("no image")
    with pytest.raises(InputError, match="none of 1 files"):
        answer_external_set(blobs, ["real-s0"], tmp_path / "spoiled", "cpu", QUIET)
    (tmp_path / "spoiled").rename(tmp_path / ".spoiled")
    (tmp_path / "warts").mkdir()
    with pytest.raises(InputError, match="no subfolder is named after a class: warts"):
        answer_external_set(blobs, ["real-s0"], tmp_path, "cpu", QUIET)
