"""PSNR, SSIM and the feature distance: known values, bounds and the order in which they put images."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.metrics.image_similarity import HIGHEST_PSNR_DB, feature_map_distance, psnr_db, ssim

RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (3, 24, 20, 3), dtype=np.uint8)


def test_psnr_of_a_known_error() -> None:
    gray = np.full((2, 8, 8, 3), 100, dtype=np.uint8)
    assert psnr_db(gray + np.uint8(5), gray) == pytest.approx(20 * np.log10(255 / 5))
    assert psnr_db(gray, gray).tolist() == [HIGHEST_PSNR_DB] * 2


def test_psnr_is_of_each_image_apart() -> None:
    changed = IMAGES.copy()
    changed[1] = 255 - changed[1]
    values = psnr_db(changed, IMAGES)
    assert values[0] == values[2] == HIGHEST_PSNR_DB
    assert values[1] < 10


def test_ssim_equals_its_formula_at_one_window() -> None:
    """On an image of the window's size there is one position: the sums are written out here."""
    first, second = RNG.uniform(0, 255, (2, 1, 11, 11, 1)).astype(np.uint8)
    places = np.arange(-5, 6)
    window = np.exp(-(places[:, None] ** 2 + places[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    x, y = (image[0, :, :, 0].astype(float) for image in (first, second))
    mean_x, mean_y = (window * x).sum(), (window * y).sum()
    var_x, var_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
    covariance = (window * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    wanted = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    wanted /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    assert ssim(first, second) == pytest.approx([wanted], rel=1e-9)


def test_ssim_is_one_for_equal_images_and_falls_with_noise() -> None:
    smooth = np.repeat(np.linspace(40, 200, 24)[None, :, None, None], 20, axis=2).repeat(3, axis=3).round()
    noisy = [(smooth + RNG.normal(0, sigma, smooth.shape)).clip(0, 255).astype(np.uint8) for sigma in (2, 10, 40)]
    values = [float(ssim(image, smooth.astype(np.uint8))[0]) for image in noisy]
    assert values == sorted(values, reverse=True)
    assert ssim(IMAGES, IMAGES) == pytest.approx(1.0)


def test_small_and_unequal_images_are_refused() -> None:
    with pytest.raises(ValueError, match="smaller than the window"):
        ssim(IMAGES[:, :8], IMAGES[:, :8])
    with pytest.raises(ValueError, match="cannot be compared"):
        psnr_db(IMAGES, IMAGES[:2])


def test_feature_distance_is_zero_for_equal_maps_and_at_most_four() -> None:
    maps = [RNG.normal(size=(3, 4, 5, 5)).astype(np.float32), RNG.normal(size=(3, 8, 2, 2)).astype(np.float32)]
    assert feature_map_distance(maps, maps) == pytest.approx(0, abs=1e-9)
    assert feature_map_distance(maps, [3 * part for part in maps]) == pytest.approx(0, abs=1e-6)
    assert feature_map_distance(maps, [-part for part in maps]) == pytest.approx(4, abs=1e-6)
    with pytest.raises(ValueError, match="differ in shape"):
        feature_map_distance(maps, maps[:1])
