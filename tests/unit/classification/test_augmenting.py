"""What is done to a batch on its way to the model."""

from __future__ import annotations

import pytest
import torch

from tenfold.classification.augmenting import Augmenter
from tenfold.core.seeds import seed_everything, torch_generator

PIXELS = torch.randint(0, 256, (8, 16, 16, 3), dtype=torch.uint8, generator=torch_generator(0))
LABELS = torch.arange(8) % 3


def strong(step: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    seed_everything(step)
    return Augmenter("strong", 3, seed)(PIXELS, LABELS, step)


def test_none_only_scales() -> None:
    batch, targets = Augmenter("none", 3, 1)(PIXELS, LABELS, 0)
    assert torch.equal(batch, PIXELS.permute(0, 3, 1, 2).float() / 255) and targets is LABELS


def test_paper_is_keyed_by_seed_and_step() -> None:
    augmenter = Augmenter("paper", 3, 1)
    (first, targets), (same, _), (later, _) = (augmenter(PIXELS, LABELS, step) for step in (4, 4, 5))
    other = Augmenter("paper", 3, 2)(PIXELS, LABELS, 4)[0]
    assert targets is LABELS and torch.equal(first, same)
    assert not torch.equal(first, later) and not torch.equal(first, other)


def test_strong_mixes_images_and_targets_alike() -> None:
    drawn = [strong(step) for step in range(6)]
    for batch, targets in drawn:
        assert batch.shape == (8, 3, 16, 16) and 0 <= float(batch.min()) <= float(batch.max()) <= 1
        assert targets.sum(dim=1).tolist() == pytest.approx([1.0] * 8)
    assert any(((targets > 0).sum(dim=1) == 2).any() for _, targets in drawn)
    again = strong(3)
    assert torch.equal(drawn[3][0], again[0]) and torch.equal(drawn[3][1], again[1])
