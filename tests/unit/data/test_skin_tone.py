"""Skin tone: the angle agrees with the phantom's, and is not given where there is no skin."""

from __future__ import annotations

import doctest

import numpy as np

from tenfold.data import skin_tone
from tenfold.data.phantom import EMERGING, make_cohort
from tenfold.data.phantom_skin import measured_ita
from tenfold.data.skin_tone import skin_ita, skin_type_of_ita


def test_examples() -> None:
    assert doctest.testmod(skin_tone).failed == 0


def test_the_phantoms_skin_is_measured_with_and_without_masks() -> None:
    photos = make_cohort(dict.fromkeys(EMERGING, 12), seed=3)
    for masks in ([photo.mask for photo in photos], [None] * len(photos)):
        angles = [skin_ita(photo.image, mask) for photo, mask in zip(photos, masks, strict=True)]
        known = [(angle, photo) for angle, photo in zip(angles, photos, strict=True) if angle is not None]
        assert len(known) == len(photos)
        errors = [abs(angle - measured_ita(photo.image, photo.mask)) for angle, photo in known]
        assert np.median(errors) < 1.0 and max(errors) < 8.0
        steps = [abs(skin_type_of_ita(angle) - photo.skin_type) for angle, photo in known]
        assert max(steps) <= 1, "lighting moves the angle by a bin at most"


def test_the_lesion_is_left_out() -> None:
    image = np.full((64, 64, 3), (205, 160, 130), dtype=np.uint8)
    clean = skin_ita(image)
    image[8:56, 8:56] = (90, 50, 40)
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[8:56, 8:56] = 128
    assert clean is not None and skin_ita(image, mask) == clean
    assert skin_ita(image) is not None and abs(float(skin_ita(image) or 0) - clean) < 1e-9
    assert skin_ita(image, np.zeros_like(mask)) == skin_ita(image), "an empty mask tells nothing"


def test_where_there_is_no_skin_there_is_no_angle() -> None:
    gray = np.full((64, 64, 3), 120, dtype=np.uint8)
    blue = np.full((64, 64, 3), (60, 90, 200), dtype=np.uint8)
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    pink = np.full((64, 64, 3), (210, 160, 170), dtype=np.uint8)
    for image in (gray, blue, black, pink):
        assert skin_ita(image) is None
    skin = np.full((64, 64, 3), (205, 160, 130), dtype=np.uint8)
    assert skin_ita(skin, np.full((64, 64), 255, dtype=np.uint8)) is None, "all of it is lesion"
