"""A trained cell made ready: calibrated, answering files, exported whole, refused when its parts do not fit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tenfold.classification.config import ClassifierConfig
from tenfold.classification.export import ONNX, TOLERANCE
from tenfold.classification.predicting import find_images, predict_files, predict_manifest
from tenfold.classification.prediction import softmax
from tenfold.classification.predictor import Predictor, read_record
from tenfold.classification.preparing import calibrate
from tenfold.classification.run import run
from tenfold.core.errors import CheckpointError, DataError, InputError
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.recipes.prediction import Explanation, export_classifier, open_classifier, run_prediction
from tests.dicom_files import gray_ramp, make_dicom, write_dicom
from tests.unit.classification.blobs import LABELS, ids_of, make_blob_workspace, make_feature_net, real_rows

CELL = "real-n12-s0"
QUIET = NullProgress()


@pytest.fixture(scope="module")
def feature_net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_feature_net(tmp_path_factory.mktemp("net") / "features")


@pytest.fixture(autouse=True)
def _embedded(feature_net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.models.embedded.features_path", lambda: feature_net)


def train(workspace: Workspace, **changes: Any) -> None:
    settings: dict[str, Any] = {
        "cell": CELL, "arm": "real_only", "labels": LABELS, "training_size": 12, "classifier_seed": 11,
        "train_ids": ids_of(workspace, "train", per_class=12), "validation_ids": ids_of(workspace, "val", per_class=8),
        "transforms": "none", "max_train_steps": 30, "batch_size": 12, "learning_rate": 5e-3,
        "evaluate_every_steps": 10, "device": "cpu",
    }  # fmt: skip
    run(ClassifierConfig(**(settings | changes)), workspace, SerialExecutor(), QUIET)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory, feature_net: Path) -> Workspace:
    workspace = make_blob_workspace(tmp_path_factory.mktemp("predict") / "ws", per_class=32, held_out=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenfold.models.embedded.features_path", lambda: feature_net)
        train(workspace)
    return workspace


@pytest.fixture(scope="module")
def exported(blobs: Workspace, feature_net: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("export") / "classifier"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenfold.models.embedded.features_path", lambda: feature_net)
        names = export_classifier(open_classifier(CELL, blobs.path, "cpu", QUIET), target, with_onnx=True)
    assert names == ["README.md", "model.onnx", "model.safetensors", "predictor.json", "reference.safetensors"]
    return target


@pytest.fixture
def predictor(blobs: Workspace) -> Predictor:
    return open_classifier(str(blobs.path / "classifiers" / CELL), None, "cpu", QUIET)


def image_files(workspace: Workspace, split: str) -> list[Path]:
    rows = real_rows(workspace)
    return [workspace.resolve(str(path)) for path in rows.loc[rows["split"] == split, "path"]]


def answers(predictor: Predictor, files: list[Path]) -> pd.DataFrame:
    with QUIET.task("", 1) as task:
        return pd.concat([batch.table for batch in predict_files(predictor, files, task)], ignore_index=True)


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
    Image.new("RGB", (9, 7), "red").save(inside / "small.png")
    write_dicom(inside / "frame.dcm", make_dicom(gray_ramp()))
    files = find_images([tmp_path / "in"])
    assert [path.name for path in files] == [
        "a.png", "b.png", "cut.png", "empty.png", "frame.dcm", "small.png", "text.jpg"
    ]  # fmt: skip
    out = tmp_path / "out"
    outcome = run_prediction(predictor, [tmp_path / "in"], QUIET, out=out)
    assert [Path(path).name for path in outcome.table["path"]] == ["a.png", "frame.dcm", "small.png"]
    assert "enlarged: only 7 px" in outcome.table["note"].iloc[2]
    reasons = {Path(one.path).name: one.reason for one in outcome.refused}
    assert reasons == {
        "b.png": "exact_duplicate", "cut.png": "damaged_image", "empty.png": "empty_file", "text.jpg": "not_an_image",
    }  # fmt: skip
    assert sorted(path.name for path in out.iterdir()) == [
        "predictions.csv", "predictions.parquet", "quarantine.csv", "summary.json"
    ]  # fmt: skip
    assert len(pd.read_csv(out / "quarantine.csv")) == 4
    assert json.loads((out / "summary.json").read_text())["n_quarantined"] == 4
    run_prediction(predictor, [source[3]], QUIET, out=out)
    assert len(pd.read_parquet(out / "predictions.parquet")) == 1
    with pytest.raises(DataError, match="none of 1 files"):
        run_prediction(predictor, [inside / "cut.png"], QUIET)
    with pytest.raises(DataError, match="holds other things"):
        run_prediction(predictor, [source[3]], QUIET, out=inside)
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
    with pytest.raises(InputError, match="knows no class 'red'"):
        run_prediction(predictor, files, QUIET, out=out, explanation=Explanation("gradcam", "red"))
    with pytest.raises(InputError, match="no saliency method"):
        run_prediction(predictor, files, QUIET, out=out, explanation=Explanation("lime"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="need a folder"):
        run_prediction(predictor, files, QUIET, explanation=Explanation("gradcam"))


def test_an_export_answers_alike_without_the_workspace_and_in_onnx_runtime(
    blobs: Workspace, predictor: Predictor, exported: Path
) -> None:
    files = image_files(blobs, "test")
    again = open_classifier(str(exported), None, "cpu", QUIET)
    table = answers(again, files)
    pd.testing.assert_frame_equal(table, answers(predictor, files))

    import onnxruntime

    session = onnxruntime.InferenceSession(exported / ONNX, providers=["CPUExecutionProvider"])
    images = np.stack([np.asarray(Image.open(path), dtype=np.float32) for path in files]).transpose(0, 3, 1, 2) / 255
    logits, probs = session.run(None, {"images": np.ascontiguousarray(images)})
    temperature = predictor.record.calibration.temperature
    np.testing.assert_allclose(logits, table[[f"logit.{one}" for one in LABELS]] * temperature, atol=TOLERANCE)
    np.testing.assert_allclose(probs, table[[f"prob.{one}" for one in LABELS]], atol=TOLERANCE)
    card = (exported / "README.md").read_text()
    assert "Not a medical device" in card and "amber, blue, green" in card and str(blobs.path) not in card
    with pytest.raises(CheckpointError, match="already"):
        export_classifier(predictor, exported, with_onnx=False)


def test_the_cards_snippet_runs_as_printed(predictor: Predictor, blobs: Workspace, exported: Path) -> None:
    code = (exported / "README.md").read_text().split("```python\n")[1].split("```")[0]
    path = image_files(blobs, "test")[0]
    done = subprocess.run(
        [sys.executable, "-c", code.replace('"IMAGE"', repr(str(path)))],
        cwd=exported, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = eval(done.stdout, {"__builtins__": {}})
    row = answers(predictor, [path]).iloc[0]
    assert told == pytest.approx({label: row[f"prob.{label}"] for label in LABELS}, abs=1e-4)


def test_an_export_goes_without_onnx_and_says_how_to_get_it(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match="onnxscript is not installed") as caught:
        export_classifier(predictor, tmp_path / "one", with_onnx=True)
    assert "tenfold[onnx]" in caught.value.todo and not (tmp_path / "one").exists()
    assert ONNX not in export_classifier(predictor, tmp_path / "two", with_onnx=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two"]


def test_parts_that_do_not_belong_together_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    target = tmp_path / "exported"
    export_classifier(predictor, target, with_onnx=False)
    record = json.loads((target / "predictor.json").read_text())

    def refused(match: str) -> None:
        with pytest.raises(CheckpointError, match=match):
            open_classifier(str(target), None, "cpu", QUIET)

    (target / "predictor.json").write_text(json.dumps(record | {"format_version": 99}))
    refused("format version 99")
    (target / "predictor.json").write_text(json.dumps({k: v for k, v in record.items() if k != "labels"}))
    refused("damaged")
    (target / "predictor.json").write_text(json.dumps(record | {"weights_sha256": "0" * 64}))
    refused("not those")
    (target / "predictor.json").write_text(json.dumps(record | {"labels": ["a", "b"]}))
    refused("do not fit")
    (target / "reference.safetensors").unlink()
    refused("reference.safetensors are missing")
    (target / "predictor.json").unlink()
    with pytest.raises(DataError, match="no classifier"):
        open_classifier(str(target), None, "cpu", QUIET)
    with pytest.raises(CheckpointError, match="no predictor"):
        read_record(target)


def test_unknown_and_unfinished_classifiers_are_named(blobs: Workspace) -> None:
    with pytest.raises(DataError, match="no finished classifier 'other'") as caught:
        open_classifier("other", blobs.path, "cpu", QUIET)
    assert CELL in caught.value.expected


@pytest.mark.slow
def test_a_timm_model_is_exported_under_timms_own_names(blobs: Workspace, tmp_path: Path) -> None:
    import timm
    import torch
    from safetensors.torch import load_file

    train(blobs, cell="timm-n12", model="resnet10t", pretrained=False, freeze_blocks=0, max_train_steps=2,
          evaluate_every_steps=2, image_size_px=32)  # fmt: skip
    predictor = open_classifier("timm-n12", blobs.path, "cpu", QUIET)
    export_classifier(predictor, tmp_path / "out", with_onnx=True)
    plain = timm.create_model("resnet10t", num_classes=3).eval()
    plain.load_state_dict(load_file(tmp_path / "out" / "model.safetensors"))
    files = image_files(blobs, "test")[:3]
    images = torch.from_numpy(np.stack([np.asarray(Image.open(path)) for path in files])).permute(0, 3, 1, 2) / 255
    images = torch.nn.functional.interpolate(images, size=(32, 32), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(plain.pretrained_cfg[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        logits = plain((images - mean) / std).numpy()
    table = answers(open_classifier(str(tmp_path / "out"), None, "cpu", QUIET), files)
    found = table[[f"logit.{one}" for one in LABELS]].to_numpy() * predictor.record.calibration.temperature
    np.testing.assert_allclose(found, logits, atol=1e-4)
