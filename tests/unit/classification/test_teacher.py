"""The teacher stage: nobody judges what it has seen, weights tell right labels from wrong ones, refusals in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tenfold.classification.teacher import asked_teachers, deal_folds, fit_teachers, run, teacher_logits
from tenfold.classification.teacher_config import TeacherConfig
from tenfold.core.errors import DataError, DesignError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.run_record import Result
from tenfold.core.workspace import Workspace
from tenfold.data.manifest import read_manifest, select_images, write_manifest
from tests.unit.classification.blobs import (
    LABELS,
    ids_of,
    make_blob_workspace,
    make_feature_net,
    make_synthetic,
    real_rows,
)


@pytest.fixture(autouse=True)
def feature_net(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_feature_net(tmp_path_factory.mktemp("net") / "features")
    monkeypatch.setattr("tenfold.models.embedded.features_path", lambda: folder)


@pytest.fixture
def blobs(tmp_path: Path) -> Workspace:
    return make_blob_workspace(tmp_path / "workspace", per_class=36, held_out=6)


def weighed(workspace: Workspace, **changes: Any) -> Result:
    train = changes.pop("train_ids", ids_of(workspace, "train", per_class=16))
    settings: dict[str, Any] = {
        "name": "teacher-s0",
        "labels": LABELS,
        "train_ids": train,
        "extra_manifests": ("synthetic/tiny/manifest.parquet",),
        "seed": 4,
        "device": "cpu",
    }
    return run(TeacherConfig(**(settings | changes)), workspace, SerialExecutor(), NullProgress())


def weights_of(workspace: Workspace) -> pd.DataFrame:
    return pd.read_parquet(workspace.path / "classifiers" / "teacher-s0" / "weights.parquet")


def edit_manifest(workspace: Workspace, name: str, **columns: Any) -> None:
    path = workspace.resolve(f"synthetic/{name}/manifest.parquet")
    write_manifest(read_manifest(path).assign(**columns), path)


@pytest.mark.parametrize(
    "parents, ancestors, expected",
    [
        ([], [], ((0, 1, 2), "ancestors")),  # a generator that saw none of them
        ([], ["a", "b", "c"], ((0, 1, 2), "folds")),
        (["a"], ["a"], ((0,), "ancestors")),
        (["b"], ["a", "b", "c"], ((1,), "parents")),
        (["b", "c"], ["b", "c"], ((1, 2), "some_parents")),
        (["b", "sibling of b"], [], ((1,), "ancestors")),
        (["stranger"], ["stranger"], ((0, 1, 2), "ancestors")),
    ],
)
def test_who_is_asked(parents: list[str], ancestors: list[str], expected: tuple[tuple[int, ...], str]) -> None:
    fold_of = {"a": 0, "b": 1, "c": 2, "sibling of b": 1}
    assert asked_teachers(parents, ancestors, fold_of, 3) == expected


@pytest.mark.parametrize("class_count", [2, 3])
def test_a_teacher_has_not_seen_its_fold(class_count: int) -> None:
    rng = np.random.default_rng(1)
    labels = np.tile(np.arange(class_count), 20)
    folds = np.repeat(np.arange(4), len(labels) // 4)
    features = rng.normal(size=(len(labels), 3)) * 2 + labels[:, None] * [10.0, 1.0, 0.0]
    teachers = fit_teachers(features, labels, folds, l2=1.0)
    assert teachers.shape == (4, 4, class_count)
    assert (teacher_logits(teachers, features).argmax(axis=2) == labels).mean() > 0.9
    changed = features.copy()
    changed[folds == 2] = rng.normal(size=(int((folds == 2).sum()), 3)) * 50
    again = fit_teachers(changed, labels, folds, l2=1.0)
    np.testing.assert_array_equal(teachers[2], again[2])
    assert not np.allclose(teachers[1], again[1])


def test_teachers_equal_scikit_learns_probabilities() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 60)
    features = rng.normal(size=(60, 5)) + labels[:, None]
    folds = np.arange(60) % 3
    logits = teacher_logits(fit_teachers(features, labels, folds, l2=0.5), features)[1]
    seen = folds != 1
    scaler = StandardScaler().fit(features[seen])
    model = LogisticRegression(C=2.0, max_iter=1000).fit(scaler.transform(features[seen]), labels[seen])
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probs, model.predict_proba(scaler.transform(features)), atol=1e-6)


def test_groups_are_not_parted_even_when_a_third_image_joins_them(blobs: Workspace) -> None:
    real = real_rows(blobs)
    train = select_images(real, ids_of(blobs, "train", per_class=16))
    first, second = train["image_id"].iloc[0], train["image_id"].iloc[2]
    outsider = real.index[~real["image_id"].isin(train["image_id"])][0]
    patients = {str(i): str(p) for i, p in zip(train["image_id"], train["patient_id"], strict=True)}
    assert patients[first] != patients[second]
    real.loc[outsider, "patient_id"] = patients[first]
    real.loc[outsider, "lesion_id"] = "shared"
    real.loc[real["image_id"] == second, "lesion_id"] = "shared"
    fold_of = deal_folds(real, train, folds=5, seed=0)
    assert set(map(str, train["image_id"])) < set(fold_of)
    assert fold_of[first] == fold_of[second] == fold_of[str(real.loc[outsider, "image_id"])]
    by_patient = train["image_id"].map(fold_of).groupby(train["patient_id"]).nunique()
    assert (by_patient == 1).all() and set(fold_of.values()) == set(range(5))


def test_images_of_the_wrong_class_weigh_less(blobs: Workspace) -> None:
    train = ids_of(blobs, "train", per_class=16)
    make_synthetic(blobs, "tiny", train, per_class=12)
    make_synthetic(blobs, "mixed-up", train, per_class=12, first_seed=3000)
    wrong = read_manifest(blobs.resolve("synthetic/mixed-up/manifest.parquet"))["label"]
    edit_manifest(blobs, "mixed-up", label=wrong.map(dict(zip(LABELS, (*LABELS[1:], LABELS[0]), strict=True))))
    result = weighed(blobs, extra_manifests=("synthetic/tiny/manifest.parquet", "synthetic/mixed-up/manifest.parquet"))
    table = weights_of(blobs)
    assert list(table.columns) == ["image_id", "label", "weight", "predicted", "basis"]
    assert len(table) == 72 and table["image_id"].is_unique and table["weight"].between(0, 1).all()
    assert set(table["basis"]) == {"folds"} and result.summary["basis"] == {"folds": 72}
    right, mixed_up = table["weight"].iloc[:36].mean(), table["weight"].iloc[36:].mean()
    assert right > 1 / len(LABELS) > mixed_up  # better, and worse, than a guess
    assert result.summary["teachers"] == 5 and result.summary["unseen_real_accuracy"] > 0.5
    assert 0 < result.summary["temperature"] < 100


def test_an_image_made_from_one_patient_is_judged_without_that_patient(blobs: Workspace) -> None:
    train = ids_of(blobs, "train", per_class=16)
    make_synthetic(blobs, "tiny", train, per_class=0, copies_of=train)
    edit_manifest(blobs, "tiny", parent_id=pd.Series(train, dtype="string"))
    weighed(blobs)
    table = weights_of(blobs)
    assert set(table["basis"]) == {"parents"}
    weighed(blobs, seed=5)
    assert not np.allclose(table["weight"], weights_of(blobs)["weight"])  # other folds, other teachers


def draw_patient(label: str, number: int) -> np.ndarray:
    """A picture that tells the patient, whose two images are all but the same, and nothing of the class."""
    pattern = np.random.default_rng([LABELS.index(label), number // 2, 7]).uniform(30, 220, (4, 4, 3))
    noise = np.random.default_rng([LABELS.index(label), number]).normal(0, 2, (16, 16, 3))
    return np.clip(np.kron(pattern, np.ones((4, 4, 1))) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("leak", [None, "folds by image", "everybody is asked"])
def test_patients_that_can_be_recognized_gain_nothing_unless_a_teacher_has_seen_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: str | None
) -> None:
    monkeypatch.setattr("tests.unit.classification.blobs.draw_blob", draw_patient)
    workspace = make_blob_workspace(tmp_path / "workspace", per_class=36, held_out=6)
    train = ids_of(workspace, "train", per_class=12)
    make_synthetic(workspace, "tiny", train, per_class=0, copies_of=train)
    edit_manifest(workspace, "tiny", parent_id=pd.Series(train, dtype="string"))
    if leak == "folds by image":
        monkeypatch.setattr("tenfold.classification.teacher.group_keys", lambda rows: rows["image_id"])
    if leak == "everybody is asked":
        monkeypatch.setattr("tenfold.classification.teacher.asked_teachers", lambda *_: (tuple(range(5)), "folds"))
    result = weighed(workspace, train_ids=train, l2=0.01)
    share = result.summary["shown_as_asked"]
    assert share < 0.55 if leak is None else share > 0.8  # of three classes a third is right by chance


def test_the_same_teacher_gives_the_same_bytes_and_is_not_run_twice(tmp_path: Path) -> None:
    outputs = []
    for name in ("first", "second"):
        workspace = make_blob_workspace(tmp_path / name)
        make_synthetic(workspace, "tiny", ids_of(workspace, "train", per_class=8))
        train = ids_of(workspace, "train", per_class=8)
        outputs.append(weighed(workspace, train_ids=train).outputs)
        assert weighed(workspace, train_ids=train).was_finished
    assert outputs[0] == outputs[1]


def test_few_groups_mean_fewer_teachers_and_too_few_are_refused(blobs: Workspace) -> None:
    train = ids_of(blobs, "train", per_class=6)
    make_synthetic(blobs, "tiny", train)
    assert weighed(blobs, train_ids=train).summary["teachers"] == 3
    with pytest.raises(DesignError, match="'amber' has 2") as caught:
        weighed(blobs, train_ids=ids_of(blobs, "train", per_class=4))
    assert "at least 3 groups" in caught.value.expected


def test_rows_that_may_not_be_used_are_named(blobs: Workspace) -> None:
    train = ids_of(blobs, "train", per_class=8)
    make_synthetic(blobs, "tiny", train)
    with pytest.raises(DataError, match="not in the split train"):
        weighed(blobs, train_ids=(*train, *ids_of(blobs, "test", per_class=1)))
    with pytest.raises(DataError, match="no training image of green"):
        weighed(blobs, train_ids=train[:16])
    make_synthetic(blobs, "leaked", ids_of(blobs, "val", per_class=1))
    with pytest.raises(DataError, match="outside the training split"):
        weighed(blobs, extra_manifests=("synthetic/leaked/manifest.parquet",))
    edit_manifest(blobs, "tiny", ancestors=pd.NA)
    with pytest.raises(DataError, match="unknown ancestors"):
        weighed(blobs)
