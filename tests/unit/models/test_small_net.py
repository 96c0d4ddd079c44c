"""The small net answers each image by itself and follows timm's manner."""

from __future__ import annotations

import torch

from tenfold.core.seeds import torch_generator
from tenfold.models.small_net import SmallNet


def test_features_logits_and_a_new_head() -> None:
    net = SmallNet(3, (8, 8, 16)).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch_generator(1))
    assert net.num_features == 16
    assert net.forward_features(images).shape == (2, 16)
    assert torch.equal(net(images), torch.zeros(2, 3))
    net.reset_classifier(5)
    assert net(images).shape == (2, 5)
    net.reset_classifier(0)
    assert torch.equal(net(images), net.forward_features(images))


def test_an_image_is_answered_the_same_whatever_its_neighbors() -> None:
    net = SmallNet(0, (8, 16)).train()
    images = torch.rand(3, 3, 32, 32, generator=torch_generator(2))
    assert torch.allclose(net(images)[1], net(images[1:2])[0], atol=1e-5)
