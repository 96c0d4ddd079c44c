"""The papers' classifiers at 224 px on the CPU: EfficientNetV2-M and ViT-B/16 take two steps and answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from tenfold.classification.building import empty_model
from tenfold.classification.config import ClassifierConfig
from tenfold.classification.run import run
from tenfold.core.executor import SerialExecutor
from tenfold.core.progress import NullProgress
from tests.unit.classification.blobs import LABELS, ids_of, make_blob_workspace

pytestmark = pytest.mark.large


@pytest.mark.parametrize(
    ("model", "parameters", "options"),
    [
        ("efficientnetv2_m", 52.8e6, {"optimizer": "adamw", "transforms": "paper"}),
        ("vit_base_patch16_224", 85.8e6, {"optimizer": "rmsprop", "transforms": "strong", "layer_decay": 0.75}),
    ],
)
def test_two_steps_at_224_px(tmp_path: Path, model: str, parameters: float, options: dict[str, object]) -> None:
    workspace = make_blob_workspace(tmp_path / "workspace", per_class=10, held_out=2)
    config = ClassifierConfig(
        cell="large", arm="real", labels=LABELS, training_size=4, train_ids=ids_of(workspace, "train", per_class=4),
        validation_ids=ids_of(workspace, "val", per_class=2), model=model, pretrained=False, freeze_blocks=0,
        image_size_px=224, max_train_steps=2, batch_size=4, evaluate_every_steps=2, learning_rate=1e-4,
        lr_warmup_steps=0, device="cpu", **options,
    )  # fmt: skip
    result = run(config, workspace, SerialExecutor(), NullProgress())
    table = pd.read_parquet(result.folder / "predictions.parquet")
    logits = table[[f"logit.{label}" for label in LABELS]].to_numpy()
    assert np.isfinite(logits).all() and len(table) == 12
    net = empty_model(config)
    start = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    end = load_file(result.folder / "model.safetensors")
    net.load_state_dict(end)
    trained = [name for name, _ in net.named_parameters()]
    assert sum(end[name].numel() for name in trained) == pytest.approx(parameters, rel=0.01)
    moved = [name for name in trained if not bool((start[name] == end[name]).all())]
    assert len(moved) > 0.9 * len(trained)
