"""The canvas: masks lie where images lie, every bad one is named, and what is kept comes back bit by bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.generation.canvas import inside, needed_lesion, outside, painted_share, paste, read_lesion, read_source
from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import SourceImage
from tests.real_sources import write_source

REQUEST = ImageRequest(
    strategy="inpaint", label="mole", checkpoint="c", checkpoint_sha256="0", dtype="float32", image_size_px=64,
    mask="lesion", seed=5, mask_seed=9,
)  # fmt: skip
OUTPAINT = replace(REQUEST, strategy="outpaint")
RNG = np.random.default_rng(0)


def _source(folder: Path, mask: np.ndarray | None, shape: tuple[int, int] = (64, 64)) -> SourceImage:
    return write_source(folder, "one", RNG.integers(0, 256, (*shape, 3), dtype=np.uint8), mask)


def _square(size: int, start: int, end: int) -> np.ndarray:
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[start:end, start:end] = 128
    return mask


def test_masks_are_cut_and_scaled_as_their_images(tmp_path: Path) -> None:
    mask = np.zeros((40, 80), dtype=np.uint8)
    mask[10:20, 30:50] = 1  # any level above 0
    image = np.where(mask[..., None] > 0, np.uint8(200), np.uint8(10)).repeat(3, axis=2)
    source = write_source(tmp_path, "one", image, mask)
    lesion = needed_lesion(source, 20)
    assert np.argwhere(lesion)[[0, -1]].tolist() == [[5, 5], [9, 14]]
    shown = read_source(source, 20)
    assert shown.shape == (20, 20, 3)
    assert (np.abs(shown[lesion].astype(int) - 200).mean(), np.abs(shown[~lesion].astype(int) - 10).mean()) < (15, 5)
    assert read_source(source, None).shape == (40, 40, 3)


def test_inpainting_widens_lesions_and_outpainting_keeps_a_border(tmp_path: Path) -> None:
    source = _source(tmp_path, _square(64, 24, 40))
    asked = {dilate: inside(replace(REQUEST, mask_dilate_px=dilate), source, 64) for dilate in (0, 4, None)}
    assert asked[0].sum() == 16 * 16
    assert [int(asked[dilate].any(axis=0).sum()) for dilate in (4, None)] == [24, 22]  # 5 % of 64 px
    kept = ~outside(OUTPAINT, source, 64)
    assert kept.any(axis=0).sum() == 20  # 16 px at 512 are 2 px at 64
    assert (~outside(replace(OUTPAINT, keep_border_px=0), source, 64)).sum() == 16 * 16
    both = replace(REQUEST, strategy="in_then_outpaint")
    assert np.array_equal(inside(both, source, 64), asked[None])
    assert (~outside(both, source, 64)).any(axis=0).sum() == 26


def test_the_papers_geometry_at_512_px(tmp_path: Path) -> None:
    source = _source(tmp_path, None)
    center = replace(REQUEST, strategy="in_then_outpaint", mask="center")
    painted, kept = inside(center, source, 512), ~outside(center, source, 512)
    assert painted.mean() == 0.25 and painted[128:384, 128:384].all()
    assert kept.sum() == 288**2 and kept[112:400, 112:400].all()


def test_random_masks_have_their_area_and_depend_on_their_seed(tmp_path: Path) -> None:
    source = _source(tmp_path, None)
    masks = [
        inside(replace(REQUEST, mask="random", mask_seed=seed, mask_area_fraction=0.2), source, 64)
        for seed in range(60)
    ]
    shares = np.array([mask.mean() for mask in masks])
    assert np.abs(shares - 0.2).max() < 0.03
    assert len({mask.tobytes() for mask in masks}) == 60
    again = inside(replace(REQUEST, mask="random", mask_seed=7, mask_area_fraction=0.2), source, 64)
    assert np.array_equal(again, masks[7])


def test_an_image_without_a_mask_is_named_with_the_way_out(tmp_path: Path) -> None:
    source = _source(tmp_path, None)
    assert read_lesion(source, 64) is None
    with pytest.raises(DataError, match="image one has no mask") as caught:
        inside(REQUEST, source, 64)
    assert "mask: center" in caught.value.todo


def test_empty_masks_and_those_outside_the_image_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the mask of image one is empty"):
        needed_lesion(_source(tmp_path, np.zeros((64, 64), np.uint8)), 64)
    mask = np.zeros((40, 80), np.uint8)
    mask[:, :10] = 255
    source = _source(tmp_path, mask, (40, 80))
    assert read_lesion(source, 40) is None
    with pytest.raises(DataError, match="lies outside the square of the image"):
        outside(OUTPAINT, source, 40)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the mask of image one is 32 x 32 px") as caught:
        inside(REQUEST, _source(tmp_path, _square(32, 8, 16)), 64)
    assert caught.value.expected == "64 x 64 px, as its image"


@pytest.mark.parametrize("request_of", [replace(REQUEST, mask_dilate_px=30), replace(OUTPAINT, keep_border_px=40)])
def test_a_mask_that_covers_all_is_refused(tmp_path: Path, request_of: ImageRequest) -> None:
    source = _source(tmp_path, _square(64, 8, 56))
    with pytest.raises(DataError, match="covers the whole image") as caught:
        (inside if request_of.strategy == "inpaint" else outside)(request_of, source, 64)
    assert "mask_dilate_px" in caught.value.todo


def test_kept_pixels_come_back_bit_by_bit_and_feathers_lie_on_the_painted_side() -> None:
    source, painted = (RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2))
    region = _square(64, 20, 44) > 0
    hard = paste(source, painted, region, 0)
    assert np.array_equal(hard[~region], source[~region]) and np.array_equal(hard[region], painted[region])
    for feather_px in (None, 3, 8):
        soft = paste(source, painted, region, feather_px)
        assert np.array_equal(soft[~region], source[~region])
        width = 2 if feather_px is None else feather_px
        deep = _square(64, 20 + width, 44 - width) > 0
        assert np.array_equal(soft[deep], painted[deep])
        assert not np.array_equal(soft, hard)
    share = painted_share(region, 4)
    assert (np.diff(share[32, 19:25]) > 0).all() and share[32, 19] == 0 and share[32, 24] == 1
