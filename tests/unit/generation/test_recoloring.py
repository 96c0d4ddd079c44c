"""Recoloring brings skin to the asked tone and lesions near what they would be on it."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.data.phantom import PhantomImage, make_cohort
from tenfold.data.phantom_skin import linear_to_srgb, srgb_to_lab, srgb_to_linear
from tenfold.data.skin_tone import skin_ita, skin_type_of_ita
from tenfold.generation.recoloring import nearby_tone, recolored, skin_tone, typical_tone

CONDITIONS = {"melanoma": 3, "annulosis": 3, "psoriasis": 3}


def _cohort(skin_type: int) -> list[PhantomImage]:
    """The same lesions on other skin: a cohort's draws do not depend on its skin types."""
    return make_cohort(CONDITIONS, seed=3, skin_types=(skin_type,))


def _error(image: np.ndarray, truth: np.ndarray, place: np.ndarray) -> float:
    return float(np.linalg.norm(srgb_to_lab(image) - srgb_to_lab(truth), axis=-1)[place].mean())


@pytest.mark.parametrize(("own", "wanted"), [(1, 6), (6, 1), (3, 5)])
def test_lesions_come_near_to_what_they_are_on_the_other_skin(own: int, wanted: int) -> None:
    before, after = [], []
    for photo, truth in zip(_cohort(own), _cohort(wanted), strict=True):
        lesion = photo.mask > 0
        assert np.array_equal(photo.mask, truth.mask)
        made = recolored(photo.image, skin_tone(photo.image, lesion).color, skin_tone(truth.image, lesion).color)
        assert _error(made, truth.image, ~lesion) < 4
        before.append(_error(photo.image, truth.image, lesion))
        after.append(_error(made, truth.image, lesion))
    assert np.mean(after) < 0.6 * np.mean(before)


@pytest.mark.parametrize("skin_type", [1, 2, 3, 4, 5, 6])
def test_the_asked_type_is_what_is_measured(skin_type: int) -> None:
    for seed, photo in enumerate(_cohort(3)):
        lesion = photo.mask > 0
        made = recolored(photo.image, skin_tone(photo.image, lesion).color, typical_tone(skin_type, seed))
        ita = skin_ita(made, photo.mask)
        assert ita is not None and skin_type_of_ita(ita) == skin_type


def test_tones_are_drawn_by_seed() -> None:
    assert np.array_equal(typical_tone(4, 1), typical_tone(4, 1))
    assert not np.array_equal(typical_tone(4, 1), typical_tone(4, 2))
    assert typical_tone(1, None).sum() > typical_tone(6, None).sum() > 0


def test_where_no_skin_is_seen_the_surroundings_are_measured() -> None:
    image = np.full((32, 32, 3), (90, 90, 160), dtype=np.uint8)
    lesion = np.zeros((32, 32), dtype=np.bool_)
    lesion[10:20, 10:20] = True
    image[lesion] = 20
    for tone in (skin_tone(image, lesion), nearby_tone(image, lesion)):
        assert tone.measured_on == "surroundings"
        assert np.abs(linear_to_srgb(tone.color).astype(int) - (90, 90, 160)).max() <= 1
    nearly_all = np.ones((32, 32), dtype=np.bool_)
    nearly_all[0, :3] = False
    assert np.abs(linear_to_srgb(nearby_tone(image, nearly_all).color).astype(int) - (90, 90, 160)).max() <= 1


def test_black_stays_black_and_nothing_leaves_its_range() -> None:
    image = np.array([[[0, 0, 0], [255, 255, 255], [3, 2, 1]]], dtype=np.uint8)
    made = recolored(image, np.array([0.02, 0.01, 0.0]), np.array([0.8, 0.6, 0.5]))
    assert made[0, 0].tolist() == [0, 0, 0] and made[0, 1].tolist() == [255, 255, 255]
    same = recolored(image, np.full(3, 0.3), np.full(3, 0.3))
    assert np.array_equal(same, image)


def test_linear_light_and_back_keeps_every_level() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(linear_to_srgb(srgb_to_linear(levels)), levels)
