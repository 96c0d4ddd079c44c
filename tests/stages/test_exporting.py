"""A trained cell exported: alike without its workspace, in ONNX Runtime, in timm, and refused in parts."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tenfold.classification.export import ONNX, TOLERANCE
from tenfold.classification.predictor import Predictor, read_record
from tenfold.core.errors import CheckpointError, DataError, InputError
from tenfold.core.workspace import Workspace
from tenfold.recipes.prediction import export_classifier, open_classifier
from tests.unit.classification.blobs import LABELS, make_blob_workspace, make_feature_net
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


WITHOUT_TENFOLD = """
import sys
class Refusing:
    def find_spec(self, name, *others):
        assert name.split(".")[0] != "tenfold", "the snippet needs tenfold"
sys.meta_path.insert(0, Refusing())
"""


def told_by_snippets(folder: Path, image: Path) -> list[dict[str, float]]:
    """What each Python snippet of a folder's card prints of an image, run in a process that has no tenfold."""
    found = []
    for code in re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TENFOLD + code.replace('"IMAGE"', repr(str(image)))],
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append(ast.literal_eval(done.stdout))
    return found


def large_picture(path: Path) -> Path:
    """A picture of another size and shape, lying on its side by its EXIF rotation."""
    pixels = np.random.default_rng(3).integers(0, 256, (10, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).resize((160, 100), Image.Resampling.BICUBIC).save(path, exif=exif)
    return path


def test_the_cards_snippet_runs_as_printed(predictor: Predictor, exported: Path, tmp_path: Path) -> None:
    path = large_picture(tmp_path / "large.png")
    row = answers(predictor, [path]).iloc[0]
    (told,) = told_by_snippets(exported, path)
    assert told == pytest.approx({label: row[f"prob.{label}"] for label in LABELS}, abs=1e-4)
    record = predictor.record
    padded = replace(predictor, record=replace(record, preparation=replace(record.preparation, resize_mode="pad")))
    export_classifier(padded, tmp_path / "padded", with_onnx=True)
    other = answers(padded, [path]).iloc[0]
    (told,) = told_by_snippets(tmp_path / "padded", path)
    assert told == pytest.approx({label: other[f"prob.{label}"] for label in LABELS}, abs=1e-4)
    assert row["probability"] != other["probability"]


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


@pytest.mark.slow
@pytest.mark.parametrize("is_head", [False, True])
def test_a_timm_model_is_exported_under_timms_own_names(blobs: Workspace, tmp_path: Path, *, is_head: bool) -> None:
    import timm
    import torch
    from safetensors.torch import load_file, save_file

    weights = tmp_path / "test_efficientnet.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), weights)
    how = {"train": "head"} if is_head else {"max_train_steps": 2, "evaluate_every_steps": 2}
    train(blobs, cell=f"timm-{is_head}", model="test_efficientnet", weights=str(weights), freeze_blocks=0,
          image_size_px=32, model_options={"pad_type": "same"}, **how)  # fmt: skip
    predictor = open_classifier(f"timm-{is_head}", blobs.path, "cpu", QUIET)
    export_classifier(predictor, tmp_path / "out", with_onnx=True)
    plain = timm.create_model("test_efficientnet", num_classes=3, pad_type="same").eval()
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
    image = large_picture(tmp_path / "large.png")
    row = answers(predictor, [image]).iloc[0]
    by_onnx, by_timm = told_by_snippets(tmp_path / "out", image)
    assert by_onnx == pytest.approx({label: row[f"prob.{label}"] for label in LABELS}, abs=1e-4)
    assert by_timm == pytest.approx(by_onnx, abs=1e-4)
