"""A trained cell made ready: calibrated, answering files, its maps, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tenfold.classification.predicting import find_images, predict_manifest
from tenfold.classification.prediction import softmax
from tenfold.classification.predictor import Predictor
from tenfold.classification.preparing import calibrate
from tenfold.core.errors import DataError, InputError
from tenfold.core.workspace import Workspace
from tenfold.recipes.prediction import Explanation, open_classifier, run_prediction
from tests.dicom_files import gray_ramp, make_dicom, write_dicom
from tests.unit.classification.blobs import LABELS, make_blob_workspace, make_feature_net, real_rows
from tests.unit.classification.trained_cell import CELL, QUIET, answers, image_files, train


@pytest.fixture(scope="module")
def feature_net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_feature_net(tmp_path_factory.mktemp("net") / "features")


@pytest.fixture(autouse=True)
def _embedded(feature_net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.models.embedded.features_path", lambda: feature_net)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory, feature_net: Path) -> Workspace:
    workspace = make_blob_workspace(tmp_path_factory.mktemp("predict") / "ws", per_class=32, held_out=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenfold.models.embedded.features_path", lambda: feature_net)
        train(workspace)
    return workspace


@pytest.fixture
def predictor(blobs: Workspace) -> Predictor:
    return open_classifier(str(blobs.path / "classifiers" / CELL), None, "cpu", QUIET)


def test_files_get_the_answers_that_the_training_wrote_calibrated(blobs: Workspace, predictor: Predictor) -> None:
    table = answers(predictor, image_files(blobs, "test"))
    trained = pd.read_parquet(blobs.path / "classifiers" / CELL / "predictions.parquet")
    assert list(table.columns) == [
        *trained.columns, "predicted", "probability", "temperature", "ood_distance", "ood_p_value", "is_unusual",
        "path", "note",
    ]  # fmt: skip
    table, trained = table.set_index("image_id"), trained.set_index("image_id")
    logits = [f"logit.{label}" for label in LABELS]
    temperature = predictor.record.calibration.temperature
    assert temperature != 1.0 and (table["temperature"] == temperature).all()
    wanted = trained.loc[table.index, logits].to_numpy()
    np.testing.assert_allclose(table[logits].to_numpy() * temperature, wanted, atol=1e-5)
    np.testing.assert_allclose(softmax(table[logits].to_numpy()), table[[f"prob.{label}" for label in LABELS]])
    assert (table["predicted"] == [LABELS[index] for index in wanted.argmax(axis=1)]).all()
    assert table[["label", "split", "patient_id", "test_sha256"]].isna().all(axis=None)


def test_a_manifest_gets_the_networks_own_logits_and_keeps_its_labels(blobs: Workspace, predictor: Predictor) -> None:
    rows = real_rows(blobs)
    rows = rows[rows["split"] == "test"].reset_index(drop=True)
    table = predict_manifest(predictor, blobs, rows)
    trained = pd.read_parquet(blobs.path / "classifiers" / CELL / "predictions.parquet").set_index("image_id")
    logits = [f"logit.{label}" for label in LABELS]
    np.testing.assert_allclose(table[logits], trained.loc[table["image_id"], logits], atol=1e-5)
    assert table["label"].tolist() == rows["label"].tolist() and set(table["split"]) == {"test"}
    with pytest.raises(DataError, match="no image"):
        predict_manifest(predictor, blobs, rows.iloc[:0])


def test_calibration_lowers_the_validation_log_loss_and_is_left_out_with_one_class(blobs: Workspace) -> None:
    table = pd.read_parquet(blobs.path / "classifiers" / CELL / "predictions.parquet")
    overconfident = table.assign(**{f"logit.{label}": 9 * table[f"logit.{label}"] for label in LABELS})
    plain, other = calibrate(table, LABELS), calibrate(overconfident, LABELS)
    assert other.temperature == pytest.approx(9 * plain.temperature, rel=1e-2)
    assert other.log_loss_before is not None and other.log_loss_after is not None
    assert other.log_loss_after < other.log_loss_before
    assert other.log_loss_after == pytest.approx(plain.log_loss_after, rel=1e-3)
    assert plain.n_images == 24 and plain.n_patients == 12
    assert plain.log_loss_chance == pytest.approx(np.log(3)) and not plain.is_no_better_than_chance
    grouped = calibrate(table.assign(patient_id=None, group_id="one"), LABELS)
    assert (grouped.n_patients, grouped.counted_unit, plain.counted_unit) == (1, "group", "patient")
    moved = table.copy()
    moved.loc[moved["split"] == "test", "label"] = "amber"
    assert calibrate(moved, LABELS) == plain
    without = calibrate(table[table["label"] == "amber"], LABELS)
    assert without.temperature == 1.0 and "two or more classes" in without.note
    turned = {label: LABELS[number - 1] for number, label in enumerate(LABELS)}
    assert calibrate(table.assign(label=table["label"].map(turned)), LABELS).is_no_better_than_chance


def test_test_images_are_never_read_to_make_a_cell_ready(blobs: Workspace, tmp_path: Path) -> None:
    shutil.copytree(blobs.path, tmp_path / "copy")
    copy = Workspace.open(tmp_path / "copy")
    shutil.rmtree(copy.path / "classifiers" / CELL / "predictor", ignore_errors=True)
    for path in image_files(copy, "test"):
        path.unlink()
    assert open_classifier(CELL, copy.path, "cpu", QUIET).record.n_reference == 36


def test_bad_files_are_set_aside_with_reasons_and_the_others_answered(
    blobs: Workspace, predictor: Predictor, tmp_path: Path
) -> None:
    source = image_files(blobs, "test")
    inside = tmp_path / "in" / "deep"
    inside.mkdir(parents=True)
    shutil.copy(source[0], inside / "a.png")
    shutil.copy(source[0], inside / "b.png")
    (inside / "cut.png").write_bytes(source[1].read_bytes()[:90])
    (inside / "text.jpg").write_text("no image")
    (inside / "empty.png").touch()
    (inside / "notes.txt").write_text("passed over")
    (inside / ".hidden.png").write_bytes(source[2].read_bytes())
    Image.fromarray(np.arange(189, dtype=np.uint8).reshape(7, 9, 3)).save(inside / "small.png")
    Image.new("RGB", (40, 40), "white").save(inside / "blank.png")
    write_dicom(inside / "frame.dcm", make_dicom(gray_ramp()))
    files = find_images([tmp_path / "in"])
    assert [path.name for path in files] == [
        "a.png", "b.png", "blank.png", "cut.png", "empty.png", "frame.dcm", "small.png", "text.jpg"
    ]  # fmt: skip
    out = tmp_path / "out"
    outcome = run_prediction(predictor, [tmp_path / "in"], QUIET, out=out)
    assert [Path(path).name for path in outcome.table["path"]] == ["a.png", "frame.dcm", "small.png"]
    assert "enlarged: only 7 px" in outcome.table["note"].iloc[2]
    reasons = {Path(one.path).name: one.reason for one in outcome.refused}
    assert reasons == {
        "b.png": "exact_duplicate", "blank.png": "constant_image", "cut.png": "damaged_image",
        "empty.png": "empty_file", "text.jpg": "not_an_image",
    }  # fmt: skip
    assert sorted(path.name for path in out.iterdir()) == [
        "predictions.csv", "predictions.parquet", "quarantine.csv", "summary.json"
    ]  # fmt: skip
    assert len(pd.read_csv(out / "quarantine.csv")) == 5
    assert json.loads((out / "summary.json").read_text())["n_quarantined"] == 5
    run_prediction(predictor, [source[3]], QUIET, out=out)
    assert len(pd.read_parquet(out / "predictions.parquet")) == 1
    with pytest.raises(DataError, match="none of 1 files"):
        run_prediction(predictor, [inside / "cut.png"], QUIET)
    with pytest.raises(DataError, match="holds other things"):
        run_prediction(predictor, [source[3]], QUIET, out=inside)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="no regular file"):
        find_images([tmp_path / "pipe.png"])
    for absent in (tmp_path / "nowhere.png", blobs.path / "studies"):
        with pytest.raises(DataError, match="no such image"):
            find_images([absent])


def test_other_pictures_are_marked_as_unusual_and_most_test_images_are_not(
    blobs: Workspace, predictor: Predictor, tmp_path: Path
) -> None:
    checks = (np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)
    stripes = np.tile(np.repeat(np.array([0, 255], dtype=np.uint8), 4), 2)[:, None].repeat(16, axis=1)
    files = []
    for number, picture in enumerate((checks, stripes, stripes.T)):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(picture).save(files[-1])
    assert answers(predictor, files)["is_unusual"].all()
    assert answers(predictor, image_files(blobs, "test"))["is_unusual"].mean() < 0.3


def test_maps_are_written_for_each_image_and_wrong_wishes_refused(
    blobs: Workspace, predictor: Predictor, tmp_path: Path
) -> None:
    files = image_files(blobs, "test")[:2]
    out = tmp_path / "out"
    outcome = run_prediction(predictor, files, QUIET, out=out, explanation=Explanation("integrated_gradients", "blue"))
    for name in outcome.table["saliency_path"]:
        with Image.open(out / name) as page:
            assert page.width > page.height > 288
    first = outcome.table["saliency_path"].iloc[0]
    # As a kill leaves it: maps without a table. The same command goes on, and no map of other images stays.
    for name in ("predictions.parquet", "predictions.csv", "quarantine.csv", "summary.json"):
        (out / name).unlink()
    run_prediction(predictor, files[1:], QUIET, out=out, explanation=Explanation("integrated_gradients"))
    assert not (out / first).exists() and len(list((out / "saliency").iterdir())) == 1
    with pytest.raises(InputError, match="knows no class 'red'"):
        run_prediction(predictor, files, QUIET, out=out, explanation=Explanation("gradcam", "red"))
    with pytest.raises(InputError, match="no saliency method"):
        run_prediction(predictor, files, QUIET, out=out, explanation=Explanation("lime"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="need a folder"):
        run_prediction(predictor, files, QUIET, explanation=Explanation("gradcam"))


def test_unknown_and_unfinished_classifiers_are_named(blobs: Workspace) -> None:
    with pytest.raises(DataError, match="no finished classifier 'other'") as caught:
        open_classifier("other", blobs.path, "cpu", QUIET)
    assert CELL in caught.value.expected
