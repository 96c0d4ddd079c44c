"""Augmenting: what is done to a training batch on its way to the model, keyed by the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tenfold.core.seeds import derive_seed, torch_generator
from tenfold.data.transforms import PAPER, augment

if TYPE_CHECKING:
    from tenfold.classification.config import Transforms

MIXUP_ALPHA, CUTMIX_ALPHA = 0.2, 1.0
"""Of the beta distributions that say how much of each image is mixed in (Zhang et al. 2018, Yun et al. 2019)."""


class Augmenter:
    """The transforms of an arm. strong: RandAugment of each image, the paper's transforms, then MixUp or CutMix.

    What torchvision draws comes from torch's global stream, which the training seeds at each step.
    """

    def __init__(self, transforms: Transforms, class_count: int, seed: int) -> None:
        self.transforms = transforms
        self.seed = seed
        if transforms == "strong":
            from torchvision.transforms import v2

            self._rand_augment = v2.RandAugment(num_ops=2, magnitude=9)
            self._mix = v2.RandomChoice(
                [
                    v2.MixUp(alpha=MIXUP_ALPHA, num_classes=class_count),
                    v2.CutMix(alpha=CUTMIX_ALPHA, num_classes=class_count),
                ]
            )

    def __call__(self, pixels: torch.Tensor, labels: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, 3, H, W) in [0, 1] and targets of pixels (B, H, W, 3) uint8 and class numbers (B,).

        Targets are the class numbers, or probabilities (B, C) where images are mixed.
        """
        channels_first = pixels.permute(0, 3, 1, 2)
        if self.transforms == "strong":
            channels_first = torch.stack([self._rand_augment(image) for image in channels_first])
        batch = channels_first.float().div_(255.0)
        if self.transforms == "none":
            return batch, labels
        batch = augment(batch, PAPER, torch_generator(derive_seed(self.seed, "transforms", step)))
        if self.transforms == "paper":
            return batch, labels
        mixed: tuple[torch.Tensor, torch.Tensor] = self._mix(batch, labels)
        return mixed
