"""Lesion masks that a run learns from: scaled as their images, and bad mask files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import DataError, FaultsError
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.finetuning.training_masks import read_lesion_masks, refuse_without_masks


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
    assert (grown.masks[0].any(axis=1).sum(), grown.masks[0].any(axis=0).sum()) == (10, 6)


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
