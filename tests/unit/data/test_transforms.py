"""Transforms: keyed by a generator, in range, and each part doing what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tenfold.core.errors import DataError
from tenfold.core.seeds import torch_generator
from tenfold.data.transforms import PAPER, Augmentation, augment

NONE = Augmentation((1, 1), (1, 1), False, False, 0.0, 0.0, 0.0, 0.0)


def images(count: int = 6, height: int = 16, width: int = 16) -> torch.Tensor:
    return torch.rand((count, 3, height, width), generator=torch_generator(1))


def test_the_generator_decides() -> None:
    batch = images()
    first, second, other = (augment(batch, PAPER, torch_generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert first.shape == batch.shape and first.min() >= 0 and first.max() <= 1


def test_nothing_asked_for_changes_nothing() -> None:
    batch = images(height=12, width=20)
    assert torch.allclose(augment(batch, NONE, torch_generator(0)), batch, atol=1e-5)


def test_flips_mirror_about_half_of_the_images() -> None:
    batch = images(40)
    flipped = augment(batch, Augmentation((1, 1), (1, 1), True, False, 0.0, 0.0, 0.0, 0.0), torch_generator(0))
    mirrored = [bool(torch.allclose(a, b.flip(-1), atol=1e-5)) for a, b in zip(flipped, batch, strict=True)]
    kept = [bool(torch.allclose(a, b, atol=1e-5)) for a, b in zip(flipped, batch, strict=True)]
    assert 10 < sum(mirrored) < 30 and sum(mirrored) + sum(kept) == 40


def test_rotation_keeps_a_disc_and_moves_a_point() -> None:
    rows, columns = torch.meshgrid(torch.arange(33) - 16.0, torch.arange(33) - 16.0, indexing="ij")
    disc = (rows**2 + columns**2 < 80).float().expand(4, 3, 33, 33)
    turning = Augmentation((1, 1), (1, 1), False, False, 180.0, 0.0, 0.0, 0.0)
    assert (augment(disc, turning, torch_generator(0)) - disc).abs().mean() < 0.02
    point = ((rows + 10) ** 2 + columns**2 < 9).float().expand(4, 3, 33, 33)
    assert (augment(point, turning, torch_generator(0)) - point).abs().mean() > 0.02


def test_crops_enlarge_within_the_image() -> None:
    ramp = torch.linspace(0, 1, 32).expand(8, 3, 32, 32)
    cropped = augment(ramp, Augmentation((0.25, 0.25), (1, 1), False, False, 0.0, 0.0, 0.0, 0.0), torch_generator(0))
    span = cropped.amax(dim=(1, 2, 3)) - cropped.amin(dim=(1, 2, 3))
    assert torch.allclose(span, torch.full((8,), 0.5), atol=0.03)


def test_a_warp_shrinks_one_side_and_grows_the_other() -> None:
    cross = torch.zeros(20, 3, 33, 33)
    cross[:, :, 16, 16] = 1.0
    tilted = Augmentation((1, 1), (1, 1), False, False, 0.0, 0.0, 0.0, 0.0, warp=0.2)
    assert torch.allclose(augment(cross, tilted, torch_generator(0))[:, 0, 16, 16], torch.ones(20), atol=1e-4)
    ramp = torch.linspace(0, 1, 33).expand(20, 3, 33, 33)
    warped = augment(ramp, tilted, torch_generator(0))[:, 0]
    steps = warped.diff(dim=2)[:, 16, 2:-2]
    slopes = steps[:, -1] / steps[:, 0]
    assert (slopes > 1.1).any() and (slopes < 0.9).any()
    flat = replace(tilted, warp=1e-9)
    assert torch.allclose(augment(ramp, flat, torch_generator(0)), ramp.contiguous(), atol=1e-5)


def test_colors() -> None:
    gray = torch.full((50, 3, 4, 4), 0.5)
    brightness = augment(gray, Augmentation((1, 1), (1, 1), False, False, 0.0, 0.2, 0.0, 0.0), torch_generator(0))
    assert 0.4 <= brightness.min() < 0.45 and 0.55 < brightness.max() <= 0.6
    saturated = augment(gray, Augmentation((1, 1), (1, 1), False, False, 0.0, 0.0, 0.0, 0.9), torch_generator(0))
    assert torch.allclose(saturated, gray, atol=1e-5)


def test_bad_input() -> None:
    with pytest.raises(DataError, match="out of range"):
        Augmentation(crop_scale=(0.0, 1.0))
    with pytest.raises(DataError, match="warp in"):
        Augmentation(warp=0.6)
    with pytest.raises(DataError, match=r"\(B, 3, H, W\)"):
        augment(torch.zeros(2, 1, 8, 8), PAPER, torch_generator(0))
