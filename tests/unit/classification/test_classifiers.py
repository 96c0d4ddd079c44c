"""Classifiers and features: where weights come from, what is frozen, and what batches do not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tenfold.core.errors import CheckpointError, InputError
from tenfold.models.classifier_presets import NetworkOptions, download_page, preset_of
from tenfold.models.classifiers import build_classifier, freeze_all_but_head, freeze_first_blocks, set_training
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
    with pytest.raises(CheckpointError, match="weights is not there"):
        build_classifier("resnet18", 3, pretrained=True, weights=folder / "absent.safetensors")
    with pytest.raises(CheckpointError, match=r"timm's weights of resnet18 could not be had"):
        build_classifier("resnet18", 3, pretrained=True)
    (folder / "config.json").write_text('{"channels": [8, 16]}')
    with pytest.raises(CheckpointError, match="does not fit its code"):
        load_feature_net()


def test_presets_are_plain_names_with_the_papers_options() -> None:
    vit = build_classifier("vit_base_patch16_224", 3, pretrained=False, options=NetworkOptions(further={"depth": 1}))
    assert vit.backbone.blocks[0].attn.attn_drop.p == 0.1  # type: ignore[union-attr,index]
    plain = NetworkOptions(attention_dropout=0.0, dropout=0.3, further={"depth": 1})
    vit = build_classifier("vit_base_patch16_224", 3, pretrained=False, options=plain)
    assert vit.backbone.blocks[0].attn.attn_drop.p == 0.0  # type: ignore[union-attr,index]
    assert vit.backbone.head_drop.p == 0.3  # type: ignore[union-attr]
    assert preset_of("efficientnetv2_m").timm_name == "tf_efficientnetv2_m"
    assert preset_of("resnet18").timm_name == "resnet18"


def test_a_side_of_the_users_own_is_what_the_network_gets() -> None:
    seen = []
    for model, size in (("embedded:small", 32), ("mobilenetv3_small_050", 48), ("vit_tiny_patch16_224", 32)):
        net = build_classifier(model, 2, pretrained=False, options=NetworkOptions(image_size_px=size)).eval()
        net.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))  # type: ignore[union-attr]
        assert net(torch.rand(2, 3, 20, 20)).shape == (2, 2)
    assert seen == [32, 48, 32]


def test_position_embeddings_of_a_file_are_brought_to_another_size(tmp_path: Path) -> None:
    whole = build_classifier("vit_tiny_patch16_224", 2, pretrained=False, options=NetworkOptions(further={"depth": 1}))
    save_file(whole.backbone.state_dict(), tmp_path / "vit.safetensors")  # type: ignore[union-attr,operator]
    options = NetworkOptions(image_size_px=64, further={"depth": 1})
    small = build_classifier(
        "vit_tiny_patch16_224", 5, pretrained=True, weights=tmp_path / "vit.safetensors", options=options
    )
    assert small.backbone.pos_embed.shape == (1, 17, 192)  # type: ignore[union-attr]
    own, theirs = (net.state_dict()["backbone.blocks.0.mlp.fc1.weight"] for net in (small, whole))
    assert torch.equal(own, theirs)


def test_only_the_head_is_trained_and_dropout_rests() -> None:
    net = build_classifier("vit_tiny_patch16_224", 3, pretrained=False, options=NetworkOptions(attention_dropout=0.5))
    freeze_all_but_head(net)
    set_training(net)
    assert [name for name, p in net.named_parameters() if p.requires_grad] == [
        "backbone.head.weight",
        "backbone.head.bias",
    ]
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(net(images), net(images))


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("resnt18", {}, "expected: one of resnet18"),
        ("EfficientNetV2-M", {}, "efficientnetv2_m"),
        ("nothing at all like it", {}, "embedded:small or a model of timm"),
        ("resnet18", {"further": {"colour": 3}}, "cannot be built with colour=3"),
        ("resnet18", {"further": {"num_classes": 3}}, "cannot set num_classes"),
        ("resnet18", {"attention_dropout": 0.1}, "attn_drop_rate=0.1"),
        ("embedded:small", {"dropout": 0.1}, "takes no dropout"),
    ],
)
def test_what_cannot_be_built_is_told(model: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        build_classifier(model, 3, pretrained=False, options=NetworkOptions(**options))
    assert words.lower() in str(caught.value).lower()


def test_without_a_network_the_error_says_where_the_file_can_be_had() -> None:
    with pytest.raises(CheckpointError) as caught:
        build_classifier("mobilenetv3_small_050", 3, pretrained=True)
    assert "https://huggingface.co/timm/mobilenetv3_small_050.lamb_in1k" in str(caught.value)
    assert "give a local .safetensors file" in str(caught.value)
    assert download_page("efficientnetv2_m") == "https://huggingface.co/timm/tf_efficientnetv2_m.in21k_ft_in1k"
