"""The small net: a residual network for small pictures, the shape of the embedded feature net."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class SmallNet(nn.Module):
    """A residual network in timm's manner: ``num_features``, ``forward_features``, ``reset_classifier``.

    Groups instead of batches are normalized, so that an image's answer does not depend on its neighbors in the
    batch: a batch that mixes real and synthetic images would otherwise tell one from the other. Input: (B, 3, H, W)
    float in [0, 1].
    """

    def __init__(self, num_classes: int = 0, channels: Sequence[int] = (24, 48, 96, 160)) -> None:
        """``channels``: width of each stage; each stage halves the side. ``num_classes`` 0: features only."""
        super().__init__()
        self.channels = tuple(channels)
        self.num_features = self.channels[-1]
        self.stem = nn.Conv2d(3, self.channels[0], 3, stride=2, padding=1, bias=False)
        inputs = (self.channels[0], *self.channels[:-1])
        blocks = [
            _Block(width_in, width, stride=1 if index == 0 else 2)
            for index, (width_in, width) in enumerate(zip(inputs, self.channels, strict=True))
        ]
        self.stages = nn.ModuleList(blocks)
        self.norm = nn.GroupNorm(_GROUPS, self.num_features)
        self.head: nn.Module = nn.Identity()
        self.reset_classifier(num_classes)

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) float in [0, 1] -> (B, num_features) float."""
        hidden = self.stem((images - 0.5) / 0.25)
        for stage in self.stages:
            hidden = stage(hidden)
        features: torch.Tensor = nn.functional.silu(self.norm(hidden)).mean(dim=(2, 3))
        return features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) float in [0, 1] -> (B, num_classes) logits, or the features when there are no classes."""
        logits: torch.Tensor = self.head(self.forward_features(images))
        return logits

    def get_classifier(self) -> nn.Module:
        """The last linear layer, or an identity."""
        return self.head

    def reset_classifier(self, num_classes: int) -> None:
        """A fresh last layer of zeros (so that all classes start equal), or none for 0 classes."""
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)


_GROUPS = 8


class _Block(nn.Module):
    """Norm, SiLU, convolution, twice, around a shortcut (He et al. 2016, pre-activation)."""

    def __init__(self, width_in: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_GROUPS, width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(_GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        is_same = width_in == width and stride == 1
        self.shortcut = nn.Identity() if is_same else nn.Conv2d(width_in, width, 1, stride=stride, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        active = nn.functional.silu(self.norm1(hidden))
        shortcut = hidden if isinstance(self.shortcut, nn.Identity) else self.shortcut(active)
        branch: torch.Tensor = self.conv2(nn.functional.silu(self.norm2(self.conv1(active))))
        return shortcut + branch
