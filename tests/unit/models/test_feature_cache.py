"""Features are those that enter the last layer, known again by content, and the same beside any neighbors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tenfold.core.errors import InputError
from tenfold.models import feature_cache
from tenfold.models.classifiers import build_classifier
from tenfold.models.feature_cache import BATCH_SIZE, Views, backbone_digest, features_of, last_layer
from tenfold.models.features import to_batch
from tenfold.models.small_net import SmallNet

IMAGES = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE + 5, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def net() -> SmallNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = SmallNet(3, (8, 16, 24))
        nn.init.normal_(last_layer(net).weight)
    return net


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many features each forward pass was asked for."""
    counts: list[int] = []
    make = feature_cache._make

    def counted(*arguments: object) -> object:
        counts.append(len(arguments[3]))  # type: ignore[arg-type]
        return make(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(feature_cache, "_make", counted)
    return counts


def test_they_are_what_enters_the_last_layer(net: SmallNet) -> None:
    with torch.inference_mode():
        expected = net.eval().forward_features(to_batch(IMAGES)).numpy()
    net.train()
    np.testing.assert_allclose(features_of(net, IMAGES), expected, atol=1e-5)
    assert net.training and net.stages[0].training


def test_no_neighbor_changes_a_bit(net: SmallNet) -> None:
    alone = np.concatenate([features_of(net, IMAGES[place : place + 1]) for place in range(len(IMAGES))])
    assert np.array_equal(features_of(net, IMAGES), alone)
    assert np.array_equal(features_of(net, IMAGES[::-1]), alone[::-1])


def test_what_was_made_is_not_made_again(net: SmallNet, tmp_path: Path, calls: list[int]) -> None:
    first = features_of(net, IMAGES[:10], tmp_path)
    twice = features_of(net, IMAGES[[3, 12, 3, 12, 0]], tmp_path)
    assert calls == [10, 1]
    assert np.array_equal(twice, features_of(net, IMAGES[[3, 12, 3, 12, 0]]))
    nn.init.normal_(last_layer(net).weight)
    assert np.array_equal(features_of(net, IMAGES[:10], tmp_path), first)
    assert calls == [10, 1, 3]  # the third without a cache; another head has the same features


def test_another_process_finds_them(net: SmallNet, tmp_path: Path, calls: list[int]) -> None:
    first = features_of(net, IMAGES, tmp_path)
    feature_cache._packs_of.clear()
    feature_cache._seen.clear()
    assert np.array_equal(features_of(net, IMAGES, tmp_path), first)
    assert calls == [len(IMAGES)]


def test_weights_size_and_structure_have_features_of_their_own(net: SmallNet) -> None:
    digests = {backbone_digest(net)}
    with torch.no_grad():
        net.norm.bias[0] += 1e-3
    digests.add(backbone_digest(net))
    net.norm.eps *= 2
    digests.add(backbone_digest(net))
    for size_px in (32, 64):
        with torch.random.fork_rng():
            model = build_classifier("test_resnet", 2, pretrained=False, seed=0)
        model.size_px = size_px  # type: ignore[assignment]
        digests.add(backbone_digest(model))
    assert len(digests) == 5


def test_damaged_and_deleted_packs_are_made_anew(net: SmallNet, tmp_path: Path, calls: list[int]) -> None:
    first = features_of(net, IMAGES[:4], tmp_path)
    (pack,) = tmp_path.rglob("*.safetensors")
    pack.write_bytes(pack.read_bytes()[:50])
    assert np.array_equal(features_of(net, IMAGES[:4], tmp_path), first)
    pack.unlink()
    assert np.array_equal(features_of(net, IMAGES[:4], tmp_path), first)
    assert calls == [4, 4, 4]
    assert np.array_equal(features_of(net, IMAGES[:4], tmp_path), first)
    assert len(calls) == 3


def test_views_are_keyed_by_seed_and_pixels(net: SmallNet, tmp_path: Path, calls: list[int]) -> None:
    views = features_of(net, IMAGES[:3], tmp_path, Views(4, seed=1))
    assert views.shape == (3, 4, 24)
    assert np.array_equal(features_of(net, IMAGES[[2, 0]], tmp_path, Views(2, seed=1)), views[[2, 0], :2])
    other = features_of(net, IMAGES[:3], tmp_path, Views(4, seed=2))
    plain = features_of(net, IMAGES[:3], tmp_path)
    assert calls == [12, 12, 3]
    assert not np.isclose(views, other).all(axis=-1).any()
    assert not np.isclose(views, plain[:, None]).all(axis=-1).any()


def test_models_of_timms_have_them_too() -> None:
    model = build_classifier("test_vit", 3, pretrained=False, seed=0)
    features, layer = features_of(model, IMAGES[:3]), last_layer(model)
    with torch.inference_mode():
        logits = model.eval()(to_batch(IMAGES[:3])).numpy()
        own = layer(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(own, logits, atol=1e-5)


def test_a_model_that_does_not_end_in_a_linear_layer_is_refused() -> None:
    with pytest.raises(InputError, match="ends in Identity"):
        features_of(SmallNet(0, (8, 16)), IMAGES)
