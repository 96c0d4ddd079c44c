"""Classifiers and features: where weights come from, what is frozen, and what batches do not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tenfold.core.errors import CheckpointError, InputError
from tenfold.models.classifiers import build_classifier, freeze_first_blocks, set_training
from tenfold.models.features import extract_features, load_feature_net, resized, to_batch
from tests.unit.classification.blobs import LABELS, draw_blob, make_feature_net


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = make_feature_net(tmp_path / "features")
    monkeypatch.setattr("tenfold.models.embedded.features_path", lambda: path)
    return path


def pictures(count: int) -> np.ndarray:
    return np.stack([draw_blob(LABELS[n % 3], n) for n in range(count)])


def test_features_are_those_of_the_net_on_images_of_its_size() -> None:
    images = pictures(5)
    found = extract_features(images)
    assert found.shape == (5, 24) and found.dtype == np.float32
    with torch.inference_mode():
        expected = load_feature_net().eval().forward_features(resized(to_batch(images), 64)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(extract_features(images[2:3]), found[2:3], atol=1e-5)
    assert extract_features(images[:0]).shape == (0, 24)


def test_batches_are_scaled_and_channels_first() -> None:
    image = np.zeros((1, 2, 3, 3), dtype=np.uint8)
    image[0, 1, 2] = (255, 0, 51)
    batch = to_batch(image)
    assert batch.shape == (1, 3, 2, 3) and batch[0, :, 1, 2].tolist() == pytest.approx([1.0, 0.0, 0.2])


def test_pretrained_and_fresh_nets_start_all_classes_equal() -> None:
    images = to_batch(pictures(2))
    nets = [build_classifier("embedded:small", 3, pretrained=is_on, seed=1) for is_on in (True, False)]
    for net in nets:
        assert torch.equal(net(images), torch.zeros(2, 3))
    first, second = (net.state_dict()["stages.0.conv1.weight"] for net in nets)
    assert not torch.equal(first, second)
    again = build_classifier("embedded:small", 3, pretrained=False, seed=1).state_dict()["stages.0.conv1.weight"]
    assert torch.equal(second, again)


def test_freezing_counts_the_stem_and_the_first_blocks() -> None:
    net = build_classifier("embedded:small", 3, pretrained=True)
    freeze_first_blocks(net, 2)
    trained = {name.rsplit(".", 1)[0].split(".conv")[0] for name, p in net.named_parameters() if p.requires_grad}
    assert trained == {"stages.2", "stages.2.norm1", "stages.2.norm2", "stages.2.shortcut", "norm", "head"}
    with pytest.raises(InputError, match="4 blocks cannot be frozen"):
        freeze_first_blocks(net, 4)


def test_frozen_timm_layers_keep_their_statistics() -> None:
    net = build_classifier("mobilenetv3_small_050", 3, pretrained=False)
    freeze_first_blocks(net, 2)
    before = {name: value.clone() for name, value in net.named_buffers() if "running_mean" in name}
    set_training(net)
    net(torch.rand(4, 3, 32, 32))
    changed = {name for name, value in net.named_buffers() if name in before and not torch.equal(before[name], value)}
    assert "backbone.bn1.running_mean" not in changed and "backbone.blocks.3.0.bn1.running_mean" in changed


def test_a_model_of_one_size_gets_images_of_that_size() -> None:
    net = build_classifier("vit_tiny_patch16_224", 3, pretrained=False)
    assert net.eval()(torch.rand(1, 3, 16, 16)).shape == (1, 3)


def test_weights_that_do_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"do not fit: \d+ tensors are missing, 23 are left over"):
        build_classifier("resnet18", 3, pretrained=True, weights=folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"timm's weights of resnet18 could not be had"):
        build_classifier("resnet18", 3, pretrained=True)
    (folder / "config.json").write_text('{"channels": [8, 16]}')
    with pytest.raises(CheckpointError, match="does not fit its code"):
        load_feature_net()
