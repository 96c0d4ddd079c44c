"""Screening: what is refused, what passes, and the seeds of second draws."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.core.seeds import derive_seed
from tenfold.generation.requests import ImageRequest
from tenfold.generation.screening import fault_of, redraw_seeds, with_seeds

REQUEST = ImageRequest("text2img", "mole", "embedded:base", "0" * 64, "float32", None, prompt="a mole", seed=7)
PHOTO = np.random.default_rng(0).integers(90, 200, (16, 16, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (PHOTO, None),
        (np.zeros_like(PHOTO), "black"),
        (np.full_like(PHOTO, 8), "black"),
        (np.full_like(PHOTO, 200), "constant"),
        (np.full_like(PHOTO, (200, 40, 90)), "constant"),
        (np.where(PHOTO > 140, 255, 0).astype(np.uint8), "saturated"),
    ],
)
def test_broken_images_are_named(image: np.ndarray, fault: str | None) -> None:
    assert fault_of(image) == fault


def test_a_lesion_on_a_white_or_black_ground_passes() -> None:
    for ground in (0, 255):
        image = np.full((32, 32, 3), ground, dtype=np.uint8)
        image[8:26, 8:26] = PHOTO[:1, :1]
        image[8:26, 8:26] += np.random.default_rng(1).integers(0, 40, (18, 18, 3)).astype(np.uint8)
        assert fault_of(image) is None


def test_what_was_not_finite_is_told_whatever_the_pixels_say() -> None:
    assert fault_of(PHOTO, is_finite=False) == "not_finite"


def test_second_seeds_are_derived_from_the_first_and_the_attempt() -> None:
    assert redraw_seeds(REQUEST, 2) == {"seed": derive_seed(7, "redraw", 2)}
    both = with_seeds(REQUEST, {"outpaint_seed": 9})
    assert set(redraw_seeds(both, 1)) == {"seed", "outpaint_seed"}
    assert with_seeds(both, redraw_seeds(both, 1)).prompt == "a mole"


def test_nothing_is_drawn_again_where_no_chance_plays() -> None:
    assert redraw_seeds(ImageRequest("autoencoder", "mole", "x", "0" * 64, "float32", None, parent_id="a"), 1) == {}
