"""Masks as arrays: their shapes and sizes, growing, and the latents' grid."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.data.images import encode_png
from tenfold.data.mask_arrays import cells_sampled, cells_touched, central_mask, dilated, random_mask, read_mask

SIZE = 64


def _sides(mask: np.ndarray) -> tuple[int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


def test_random_masks_are_rectangles_and_ellipses_of_all_sizes() -> None:
    masks = [random_mask(SIZE, seed) for seed in range(2000)]
    assert all(mask.any() for mask in masks)
    sides = np.array([_sides(mask) for mask in masks])
    fills = np.array([mask.sum() / (height * width) for mask, (height, width) in zip(masks, sides, strict=True)])
    assert np.abs(sides.mean(axis=0) - SIZE / 2).max() < 2
    assert sides.min() == 1 and sides.max() == SIZE
    # Small ellipses fill their box; of larger shapes half are rectangles and half fill pi / 4.
    large = sides.min(axis=1) > 12
    is_rectangle = fills[large] == 1
    assert abs(is_rectangle.mean() - 0.5) < 0.05
    assert np.abs(fills[large][~is_rectangle] - np.pi / 4).max() < 0.05
    # Half a side in the mean, along both edges: the mean rectangle has a quarter of the area.
    assert abs(np.mean([mask.mean() for mask in masks]) - 0.25 * (1 + np.pi / 4) / 2) < 0.015


def test_a_random_mask_depends_on_its_seed_alone() -> None:
    assert np.array_equal(random_mask(SIZE, 5), random_mask(SIZE, 5))
    assert not np.array_equal(random_mask(SIZE, 5), random_mask(SIZE, 6))


def test_the_central_mask_covers_a_quarter() -> None:
    mask = central_mask(SIZE)
    assert mask.mean() == 0.25
    assert mask[16:48, 16:48].all()


def test_masks_grow_by_a_disk() -> None:
    mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    mask[32, 32] = True
    grown = dilated(mask, 3)
    assert _sides(grown) == (7, 7)
    assert grown.sum() == 29
    assert not dilated(np.zeros_like(mask), 3).any()
    assert dilated(mask, 0) is mask


def test_masks_on_the_grid_of_latents() -> None:
    mask = np.zeros((1, 8, 8), dtype=np.bool_)
    mask[0, 3:5, 1] = True
    assert cells_touched(mask, 4).tolist() == [[[True, False], [True, False]]]
    assert not cells_sampled(mask, 4).any()
    mask[0, 4, 0] = True
    assert cells_sampled(mask, 4).tolist() == [[[False, False], [True, False]]]


def test_a_mask_may_lie_in_a_shard(tmp_path: Path) -> None:
    picture = encode_png(np.full((8, 6, 3), 255, np.uint8))
    shard = tmp_path / "drawn-000000.tar"
    with tarfile.open(shard, "w") as tar:
        entry = tarfile.TarInfo("some.mask.png")
        entry.size = len(picture)
        tar.addfile(entry, io.BytesIO(picture))
    assert np.asarray(read_mask(shard / "some.mask.png", "some", (6, 8))).all()
    with pytest.raises(DataError, match="the shard has no such image"):
        read_mask(shard / "other.mask.png", "other", (6, 8))
    with pytest.raises(DataError, match="is missing"):
        read_mask(tmp_path / "some.mask.png", "some", (6, 8))
