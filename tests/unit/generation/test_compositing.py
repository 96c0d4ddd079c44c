"""Compositing: lesions set into other images without a seam, holes filled, and where the lesion lies afterwards."""

from __future__ import annotations

import numpy as np

from tenfold.data.mask_arrays import dilated
from tenfold.data.phantom import make_cohort
from tenfold.data.phantom_skin import srgb_to_lab
from tenfold.generation.compositing import composite, filled, harmonic

RNG = np.random.default_rng(1)


def _disk(size: int, middle: tuple[int, int], radius: float) -> np.ndarray:
    y, x = np.ogrid[:size, :size]
    return (y - middle[0]) ** 2 + (x - middle[1]) ** 2 <= radius**2


def test_a_lesion_keeps_its_place_on_a_healthy_background() -> None:
    light, dark = (make_cohort({"melanoma": 1}, seed=3, skin_types=(tone,))[0] for tone in (1, 6))
    healthy = filled(dark.image, dilated(dark.mask > 0, 3))
    lesion = light.mask > 0
    made = composite(light.image, lesion, healthy, None)
    assert made.moved_px == (0, 0) and np.array_equal(made.lesion, lesion)
    around = ~dilated(lesion, 4)
    assert np.array_equal(made.image[around], healthy[around])
    # What was pasted follows the dark skin: near to the same lesion as the phantom renders it there.
    error, before = (
        np.linalg.norm(srgb_to_lab(image) - srgb_to_lab(dark.image), axis=-1)[lesion].mean()
        for image in (made.image, light.image)
    )
    assert error < 0.6 * before


def test_no_seam_is_left() -> None:
    source = np.full((64, 64, 3), (200, 150, 120), dtype=np.uint8)
    lesion = _disk(64, (30, 30), 8)
    source[lesion] = (90, 50, 40)
    shade = np.linspace(0.6, 1.0, 64)[None, :, None]
    background = np.round(np.full((64, 64, 3), (180, 140, 120)) * shade).astype(np.uint8)
    made = composite(source, lesion, background, None, 4).image.astype(int)
    ring = dilated(lesion, 6) & ~dilated(lesion, 2)
    rows = ring[:, 1:] & ring[:, :-1]
    assert np.abs(np.diff(made, axis=1))[rows].max() <= 4  # the background's own slope is up to 2 levels a pixel
    assert np.abs(made - background)[ring].max() <= 6
    assert made[30, 30].sum() < background[30, 30].astype(int).sum() - 100


def test_a_lesion_goes_where_the_backgrounds_own_was_and_stays_whole() -> None:
    source, background = (RNG.integers(100, 160, (64, 64, 3), dtype=np.uint8) for _ in range(2))
    lesion, other = _disk(64, (20, 20), 6), _disk(64, (40, 45), 9)
    made = composite(source, lesion, background, other)
    assert made.moved_px == (20, 25)
    assert np.array_equal(made.lesion, _disk(64, (40, 45), 6))
    far = composite(source, lesion, background, _disk(64, (2, 62), 9))
    assert far.lesion.sum() == lesion.sum() and far.moved_px[0] < 0 < far.moved_px[1]
    touching = composite(source, _disk(64, (0, 20), 6), background, other)
    assert touching.moved_px == (0, 25)


def test_holes_continue_what_surrounds_them() -> None:
    shade = np.linspace(80, 180, 64)[None, :, None]
    truth = np.clip(shade + RNG.normal(0, 5, (64, 64, 3)), 0, 255).astype(np.uint8)
    hole = _disk(64, (32, 30), 12)
    broken = np.where(hole[..., None], np.uint8(0), truth)
    made = filled(broken, hole)
    assert np.array_equal(made[~hole], truth[~hole])
    assert np.abs(made[hole].mean(axis=0) - truth[hole].mean(axis=0)).max() < 5
    detrended = made.astype(float) - shade
    assert 2.5 < detrended[hole].std() < 9  # grain, not a smooth patch
    assert np.array_equal(filled(truth, np.zeros_like(hole)), truth)
    assert np.array_equal(filled(truth, np.ones_like(hole)), truth)


def test_the_smoothest_continuation_solves_laplaces_equation() -> None:
    y, x = np.mgrid[:24, :24].astype(float)
    truth = np.stack([x + 2 * y, x * x - y * y], axis=-1)
    region = _disk(24, (12, 11), 6)
    made = harmonic(np.where(region[..., None], 0.0, truth), region)
    assert np.allclose(made, truth, atol=1e-9)
    edge = np.zeros((24, 24), dtype=np.bool_)
    edge[:, :5] = True
    assert np.allclose(harmonic(np.ones((24, 24, 1)), edge), 1)


def test_a_lesion_that_fills_the_image_takes_the_backgrounds_tone() -> None:
    source = np.full((16, 16, 3), 90, dtype=np.uint8)
    made = composite(source, np.ones((16, 16), np.bool_), np.full((16, 16, 3), 180, np.uint8), None)
    assert np.abs(made.image.astype(int) - 180).max() <= 1
