"""`tenfold train` on colored blobs: planned, trained, shown, repeated, and refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.cli.app import main
from tenfold.core.run_record import read_run_record
from tenfold.core.workspace import Workspace
from tests.unit.classification.blobs import ids_of, make_blob_workspace, make_feature_net, make_synthetic

FAST = ("--steps", "6", "--batch-size", "9", "--set", "evaluate_every_steps=3", "--set", "device=cpu")


@pytest.fixture(autouse=True)
def feature_net(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_feature_net(tmp_path_factory.mktemp("net") / "features")
    monkeypatch.setattr("tenfold.models.embedded.features_path", lambda: folder)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = make_blob_workspace(tmp_path_factory.mktemp("train") / "workspace")
    make_synthetic(workspace, "drawn", ids_of(workspace, "train", per_class=12))
    return workspace


def run(capsys: pytest.CaptureFixture[str], workspace: Workspace, *words: str) -> tuple[int, Any]:
    """The exit code and the last JSON line."""
    code = main(["train", *words, "-w", str(workspace.path), "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_plan_writes_nothing(blobs: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(blobs.path.rglob("*"))
    code, told = run(capsys, blobs, "--name", "planned", "--synthetic", "drawn", "--dry-run", "--epochs", "3")
    plan = told["dry_run"]
    assert code == 0 and sorted(blobs.path.rglob("*")) == before
    assert plan["images"]["training"] == plan["images"]["synthetic"] | dict.fromkeys(plan["images"]["training"], 12)
    assert (plan["steps"], plan["synthetic_share"]) == (7, 0.25) and plan["seconds"] > 0
    code, told = run(capsys, blobs, "--name", "planned", "--train", "head", "--dry-run")
    assert code == 0 and told["dry_run"]["steps"] is None


def test_a_classifier_is_trained_judged_and_found_again(
    blobs: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "best.yaml"
    file.write_text("optimizer: adam\nlearning_rate: 0.002\nlabel_smoothing: 0.0\n")
    words = ("--name", "mixed", "--synthetic", "drawn", "--images-per-class", "12", "--config", str(file), *FAST)
    code, told = run(capsys, blobs, *words)
    folder = blobs.path / "classifiers/mixed"
    assert code == 0 and (folder / "curves.png").read_bytes()[1:4] == b"PNG"
    assert [row["step"] for row in told["history"]] == [3, 6]
    assert told["training"]["settings"]["optimizer"] == "adam" and told["training"]["strategy"] == "text2img"
    auroc = told["test"]["macro_auroc"]
    assert auroc["n_images"] == 18 and auroc["low"] <= auroc["value"] <= auroc["high"]
    assert told["test_reads"] == 2 and Path(told["page"]).is_file()
    config = read_run_record(folder).config
    assert len(config["train_ids"]) == 36 and len(config["validation_ids"]) == 18 and config["arm"] == "hybrid"

    assert main(["train", *words, "-w", str(blobs.path), "--no-test"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Finished before" in shown and "the choice's own figures, so a little too good" in shown
    code, told = run(capsys, blobs, *words, "--learning-rate", "0.5")
    assert code == 2 and "made otherwise: learning_rate 0.002, now 0.5" in told["what"]


def test_subsets_are_nested_and_validation_is_no_larger(blobs: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    ids = {}
    for size in ("2", "4"):
        code, _ = run(capsys, blobs, "--name", f"n{size}", "--images-per-class", size, "--no-test", *FAST)
        assert code == 0
        config = read_run_record(blobs.path / f"classifiers/n{size}").config
        ids[size] = set(config["train_ids"])
        assert len(config["validation_ids"]) == 3 * int(size) and config["training_size"] == int(size)
    assert ids["2"] < ids["4"]


def test_synthetic_images_alone_and_in_two_stages(blobs: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"alone": ("--share", "1"), "staged": ("--schedule", "two_stage", "--set", "two_stage_fraction=0.4")}
    shares = {}
    for name, words in options.items():
        code, told = run(capsys, blobs, "--name", name, "--synthetic", "drawn", *words, "--no-test", *FAST)
        assert code == 0
        table = pd.read_parquet(blobs.path / f"classifiers/{name}/predictions.parquet")
        shares[name] = (set(table["synthetic_share"]), told["summary"]["n_train_images"])
    assert shares == {"alone": ({1.0}, 0), "staged": ({0.4}, 36)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--synthetic", "absent"), "there is no synthetic set 'absent'"),
        (("--classes", "amber,purple"), "no training images of purple"),
        (("--classes", "amber"), "there is nothing to tell amber from"),
        (("--images-per-class", "90"), "90 images per class are not there"),
        (("--model", "resnt18"), "there is no classifier 'resnt18'"),
        (("--transforms", "weak"), "'none', 'paper' or 'strong'"),
        (("--share", "0.5"), "belong together"),
        (("--from-scratch", "--weights", "w.safetensors"), "pretrained is off"),
        (("--set", "epochs=3"), "epochs"),
    ],
)
def test_bad_orders_are_refused_in_words(
    blobs: Workspace, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run(capsys, blobs, "--name", "bad", *words, "--no-test")
    assert code == 2 and message in json.dumps(told, ensure_ascii=False)
