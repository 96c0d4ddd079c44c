"""A cell's training that is killed: the same command goes on from its last state and ends with the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tenfold.classification.config import ClassifierConfig
from tenfold.classification.run import run
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tests.unit.classification.blobs import LABELS, ids_of, make_blob_workspace, make_feature_net, make_synthetic

_CHILD = """
import sys
from pathlib import Path
from tenfold.classification.config import ClassifierConfig
from tenfold.classification.run import run
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tenfold.core.workspace import Workspace
from tenfold.models import embedded

net, config, workspace = map(Path, sys.argv[1:])
embedded.features_path = lambda: net
told = ClassifierConfig.model_validate_json(config.read_text())
run(told, Workspace.open(workspace), SerialExecutor(), NullProgress())
"""


def test_a_killed_training_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = make_feature_net(tmp_path / "features")
    monkeypatch.setattr("tenfold.models.embedded.features_path", lambda: net)
    results = []
    for name in ("whole", "killed"):
        workspace = make_blob_workspace(tmp_path / name)
        config = cell(workspace)
        if name == "killed":
            kill_midway(config, workspace, net)
            assert not (workspace.path / "classifiers/cell/run.json").exists()
        results.append(run(config, workspace, SerialExecutor(), NullProgress()))
        assert not (results[-1].folder / "checkpoints").exists()
    assert results[0].outputs == results[1].outputs and len(results[0].outputs) == 4


def cell(workspace: Workspace) -> ClassifierConfig:
    train = ids_of(workspace, "train", per_class=4)
    return ClassifierConfig(
        cell="cell", arm="hybrid", labels=LABELS, training_size=4, synthetic_share=0.25, strategy="text2img",
        train_ids=train, validation_ids=ids_of(workspace, "val", per_class=4),
        extra_manifests=(make_synthetic(workspace, "tiny", train),), transforms="strong", optimizer="rmsprop",
        ema_decay=0.9, max_train_steps=70, batch_size=12, evaluate_every_steps=30, checkpointing_steps=8,
        device="cpu",
    )  # fmt: skip


def kill_midway(config: ClassifierConfig, workspace: Workspace, net: Path) -> None:
    told = workspace.path / "config.json"
    told.write_text(config.model_dump_json())
    child = subprocess.Popen([sys.executable, "-c", _CHILD, net, told, workspace.path])
    place = workspace.path / "classifiers/cell/checkpoints"
    try:
        while child.poll() is None and not list(place.glob("step-*.safetensors")):
            time.sleep(0.01)
    finally:
        child.kill()
    assert child.wait() == -signal.SIGKILL
