"""Masks of inpainting: their shapes and sizes, growing, the latents' grid, and bad mask files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import DataError, FaultsError
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.finetuning.training_masks import (
    cells_sampled,
    cells_touched,
    central_mask,
    dilated,
    random_mask,
    read_lesion_masks,
    refuse_without_masks,
)

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


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "workspace", name="masks", root_seed=1, data_license="CC0-1.0")


def _row(workspace: Workspace, name: str, mask: np.ndarray | None, image_size: tuple[int, int]) -> Mapping[str, Any]:
    path = None
    if mask is not None:
        path = f"data/masks/{name}.png"
        (workspace.path / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace.path / path).write_bytes(encode_png(mask))
    return {"image_id": name, "mask_path": path, "width_px": image_size[0], "height_px": image_size[1]}


def test_all_levels_above_zero_are_lesion_and_cut_like_the_image(workspace: Workspace) -> None:
    mask = np.zeros((32, 64), dtype=np.uint8)
    mask[8:16, 24:32] = 1
    mask[16:24, 24:32] = 255
    mask[0:4, 0:4] = 128  # outside the centered square
    read = read_lesion_masks(workspace, [_row(workspace, "one", mask, (64, 32))], 16)
    expected = np.zeros((16, 16), dtype=np.bool_)
    expected[4:12, 4:8] = True
    assert np.array_equal(read.masks, expected[None])
    assert not read.without
    grown = read_lesion_masks(workspace, [_row(workspace, "one", mask, (64, 32))], 16, dilation_px=1)
    assert _sides(grown.masks[0]) == (10, 6)


def test_missing_and_empty_masks_are_named(workspace: Workspace) -> None:
    empty = np.zeros((32, 32), dtype=np.uint8)
    rows = [_row(workspace, "none", None, (32, 32)), _row(workspace, "empty", empty, (32, 32))]
    read = read_lesion_masks(workspace, rows, 16, dilation_px=2)
    assert not read.masks.any()
    assert read.without == {"none": "it has no mask", "empty": "its mask is empty"}
    with pytest.raises(FaultsError) as caught:
        refuse_without_masks(read.without)
    assert "none cannot teach its lesion's place: it has no mask" in str(caught.value)
    assert "empty cannot teach its lesion's place: its mask is empty" in str(caught.value)
    assert "images_without_mask=random" in str(caught.value)
    refuse_without_masks({})


def test_unfit_mask_files_are_refused_all_at_once(workspace: Workspace) -> None:
    other_size = _row(workspace, "other", np.ones((16, 24), dtype=np.uint8), (32, 32))
    gone = _row(workspace, "gone", np.ones((32, 32), dtype=np.uint8), (32, 32))
    (workspace.path / gone["mask_path"]).unlink()
    damaged = _row(workspace, "damaged", np.ones((32, 32), dtype=np.uint8), (32, 32))
    (workspace.path / damaged["mask_path"]).write_bytes(b"no picture")
    with pytest.raises(FaultsError) as caught:
        read_lesion_masks(workspace, [other_size, gone, damaged], 16)
    text = str(caught.value)
    assert "the mask of image other is 24 x 16 px" in text and "32 x 32 px, as its image" in text
    assert "the mask of image gone is missing" in text
    assert "the mask of image damaged cannot be read" in text
    with pytest.raises(DataError, match="24 x 16 px"):
        read_lesion_masks(workspace, [other_size], 16)
