"""`tenfold tune`, `train --config`, `predict` and `models export`, one after another, for people and machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.cli.app import main
from tenfold.core.workspace import Workspace
from tests.unit.classification.blobs import make_blob_workspace, make_feature_net, real_rows

SPACE = "max_train_steps: {low: 4, high: 8}\noptimizer: {choices: [adam, rmsprop]}\n"


@pytest.fixture(scope="module")
def feature_net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_feature_net(tmp_path_factory.mktemp("net") / "features")


@pytest.fixture(autouse=True)
def _embedded(feature_net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.models.embedded.features_path", lambda: feature_net)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_blob_workspace(tmp_path_factory.mktemp("cli") / "ws", per_class=32, held_out=8)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The last JSON line of a command that ends well."""
    code = main([*words, "--json"])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0, lines[-1]
    return dict(json.loads(lines[-1]))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The error of a command that is refused."""
    assert main([*words, "--json"]) == 2
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def test_from_the_search_to_the_answer(blobs: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    where = ["-w", str(blobs.path), "--images-per-class", "6", "--transforms", "none", "--set", "batch_size=6",
             "--set", "evaluate_every_steps=4", "--set", "device=cpu"]  # fmt: skip
    tune = ["tune", "--name", "first", "--space", str(space), "--trials", "3", *where]
    planned = told(capsys, *tune, "--dry-run")["dry_run"]
    assert planned["trials"] == 3 and planned["space"]["max_train_steps"] == "4 to 8"
    assert planned["seconds_at_most"] == pytest.approx(3 * planned["seconds_of_longest_trial"])
    assert not (blobs.path / "tuning").exists()
    found = told(capsys, *tune)
    assert found["summary"]["complete"] + found["summary"]["pruned"] == 3 and Path(found["page"]).is_file()
    assert main(tune) == 0
    shown = capsys.readouterr().out
    assert "Finished before: 3 trials" in shown and "No test image was read" in shown

    trained = told(capsys, "train", "--name", "tuned", "--config", found["best"], "--no-test", *where)
    assert trained["summary"]["validation_macro_auroc"] == found["summary"]["best_value"]

    rows = real_rows(blobs)
    image = str(blobs.resolve(str(rows.loc[rows["split"] == "test", "path"].iloc[0])))
    out = tmp_path / "out"
    answer = told(capsys, "predict", image, "--classifier", "tuned", "-w", str(blobs.path), "--saliency",
                  "--out", str(out))  # fmt: skip
    row = answer["predictions"][0]
    assert sum(row[f"prob.{label}"] for label in answer["labels"]) == pytest.approx(1)
    assert (out / row["saliency_path"]).is_file() and "not a medical device" in answer["caution"]
    assert len(pd.read_parquet(out / "predictions.parquet")) == 1

    target = tmp_path / "exported"
    files = told(capsys, "models", "export", "classifiers/tuned", "--to", str(target), "-w", str(blobs.path),
                 "--no-onnx")["files"]  # fmt: skip
    assert files == ["README.md", "model.safetensors", "predictor.json", "reference.safetensors"]
    assert main(["predict", image, image, "--classifier", str(target)]) == 0
    shown = capsys.readouterr().out
    assert row["predicted"] in shown and "not a medical device" in shown
    assert main(["predict", image, "--classifier", str(target), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{image}: {row['predicted']} {row['probability']:.3f}\n"


def test_wrong_words_are_refused_with_what_would_do(
    blobs: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["-w", str(blobs.path)]
    error = refused(capsys, "tune", "--name", "x", *where, "--set", "tuning.trial=3")
    assert "unknown key 'trial'" in error["what"] and "trials" in error["todo"]
    space = tmp_path / "space.yaml"
    space.write_text("learning: {low: 1, high: 2}")
    error = refused(capsys, "tune", "--name", "x", *where, "--space", str(space))
    assert "learning cannot be searched" in error["expected"] and "learning_rate" in error["expected"]
    assert "cannot be read" in refused(capsys, "tune", "--name", "x", *where, "--space", "none.yaml")["what"]
    error = refused(capsys, "predict", str(tmp_path / "no.png"), "--classifier", "none", *where)
    assert "no finished classifier 'none'" in error["what"] and "tenfold train" in error["todo"]
    error = refused(capsys, "predict", "no.png", "--classifier", str(tmp_path))
    assert "no classifier" in error["what"] and "--workspace" in error["expected"]
