"""Tests of the dermatology phantom: identity, ranges, skin tones, captions and what the archive may hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.data.phantom import COMMON, CONDITIONS, EMERGING, PARTS, make_archive_batch, make_cohort
from tenfold.data.phantom_captions import describe, full_caption
from tenfold.data.phantom_conditions import (
    ARCHIVE_EXCLUSIONS,
    FEATURE_INDEX,
    FEATURES,
    PART_PHRASES,
    VISIBLE_STRENGTH,
    is_excluded_from_archive,
)
from tenfold.data.phantom_skin import measured_ita
from tenfold.data.phantom_textures import TEXTURES

# Repeating "one image" across batches compares 8-bit pixels; the promise is equality on one machine and numpy build.


def test_there_are_enough_conditions_and_emerging_ones_are_named_as_phantoms() -> None:
    assert len(COMMON) >= 6 and len(EMERGING) == 4 and set(COMMON).isdisjoint(EMERGING)
    assert all("phantom" in CONDITIONS[label].noun for label in EMERGING)


def test_an_image_is_the_same_whatever_else_is_asked_for() -> None:
    alone = make_cohort({"targetosis": 5}, seed=7)
    among = make_cohort({"nevus": 9, "targetosis": 21}, seed=7)[9:]
    for one, other in zip(alone, among, strict=False):
        assert (one.image_key, one.caption, one.severity) == (other.image_key, other.caption, other.severity)
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)


def test_another_seed_or_name_gives_other_patients() -> None:
    first = make_cohort({"nevus": 3}, seed=7, name="a")
    for other in (make_cohort({"nevus": 3}, seed=8, name="a"), make_cohort({"nevus": 3}, seed=7, name="b")):
        assert not any(np.array_equal(x.image, y.image) for x, y in zip(first, other, strict=True))
    assert {x.patient_id for x in first}.isdisjoint(x.patient_id for x in make_cohort({"nevus": 3}, seed=7, name="b"))


@pytest.mark.parametrize("image_size_px", [64, 128])
def test_images_and_masks_have_their_shapes_types_and_ranges(image_size_px: int) -> None:
    for photo in make_cohort(dict.fromkeys(CONDITIONS, 3), seed=1, image_size_px=image_size_px):
        assert photo.image.shape == (image_size_px, image_size_px, 3) and photo.image.dtype == np.uint8
        assert photo.mask.shape == (image_size_px, image_size_px) and set(np.unique(photo.mask)) <= {0, 255}
        assert 0.005 < (photo.mask > 0).mean() < 0.9
        assert photo.image.std() > 2 and photo.skin_type in range(1, 7) and photo.severity in (1, 2, 3)
        assert 18 <= photo.age <= 85 and photo.sex in ("female", "male") and photo.site


def test_measured_skin_tone_orders_by_skin_type() -> None:
    medians = []
    for skin_type in range(1, 7):
        photos = make_cohort({"nevus": 30}, seed=3, skin_types=(skin_type,))
        assert {photo.skin_type for photo in photos} == {skin_type}
        medians.append(np.median([measured_ita(photo.image, photo.mask) for photo in photos]))
    assert all(lighter > darker + 5 for lighter, darker in itertools.pairwise(medians)), medians


@pytest.mark.parametrize("skin_type", [1, 5, 6])
def test_lesions_contrast_with_their_skin_and_are_darker_on_dark_skin(skin_type: int) -> None:
    for label in ("nevus", "melanoma", "annulosis", "basal_cell_carcinoma"):
        photos = make_cohort({label: 20}, seed=2, skin_types=(skin_type,))
        inside = np.mean([photo.image[photo.mask > 0].mean() for photo in photos])
        outside = np.mean([photo.image[photo.mask == 0].mean() for photo in photos])
        assert inside < outside - 3, (label, inside, outside)


def test_two_photographs_of_a_lesion_share_the_lesion_and_differ_in_view() -> None:
    photos = make_cohort({"psoriasis": 40}, seed=4)
    lesions: dict[str, list[int]] = {}
    for index, photo in enumerate(photos):
        lesions.setdefault(photo.lesion_id, []).append(index)
    assert len({p.patient_id for p in photos}) < len(lesions) < len(photos)
    pairs = [rows[:2] for rows in lesions.values() if len(rows) > 1]
    assert pairs
    for first, second in pairs:
        one, other = photos[first], photos[second]
        assert (one.attributes, one.severity, one.site, one.patient_id) == (
            other.attributes, other.severity, other.site, other.patient_id
        )  # fmt: skip
        assert not np.array_equal(one.image, other.image) and one.image_key != other.image_key


def test_severity_makes_a_lesion_larger() -> None:
    photos = make_cohort({"psoriasis": 150}, seed=6)
    area = [np.mean([(p.mask > 0).mean() for p in photos if p.severity == level]) for level in (1, 2, 3)]
    assert area[0] < area[1] < area[2]


def test_captions_name_only_what_is_drawn() -> None:
    batch = make_archive_batch(0, 400, seed=5)
    for kind, caption, attributes in zip(batch.kinds, batch.captions, batch.attributes, strict=True):
        if kind in ("common", "parts"):
            named = {part for part, phrase in PART_PHRASES.items() if phrase in caption}
            assert named <= set(attributes), (caption, attributes)
    assert "Fitzpatrick skin type V" in " ".join(batch.captions)


def test_every_drawn_part_is_an_attribute_and_a_full_caption_names_all() -> None:
    features = np.zeros(len(FEATURES), dtype=np.float32)
    features[[FEATURE_INDEX[part] for part in ("ring", "scale", "dent")]] = VISIBLE_STRENGTH
    attributes = describe(features, severity=3, skin_type=5)
    assert set(attributes) & set(PARTS) == {"ring", "scale", "dent"}
    caption = full_caption("a skin lesion", attributes, 5)
    assert "severe form" in caption and caption.endswith(
        "with white scale, a ring and a central dent, on dark skin, Fitzpatrick skin type V"
    )


def test_the_archive_never_holds_an_emerging_condition_or_its_like() -> None:
    batch = make_archive_batch(0, 1500, seed=9, image_size_px=16)
    nouns = [CONDITIONS[label].noun for label in EMERGING] + list(EMERGING)
    assert not set(batch.labels) & set(EMERGING)
    assert not any(noun in caption for noun in nouns for caption in batch.captions)
    assert not any(is_excluded_from_archive(set(attributes)) for attributes in batch.attributes)
    seen = {part for kind, a in zip(batch.kinds, batch.attributes, strict=True) if kind == "parts" for part in a}
    assert set(PARTS) <= seen, "every part is in the archive, in other combinations"


def test_common_conditions_and_exclusions_do_not_collide() -> None:
    for label in COMMON:
        assert not is_excluded_from_archive({part for part in PARTS if part in CONDITIONS[label].features})
    for label in EMERGING:
        likely = {part for part in PARTS if getattr(CONDITIONS[label].features.get(part), "probability", 0) > 0.7}
        assert is_excluded_from_archive(likely), f"the typical {label} must be excluded"
    assert all(len(pair) == 2 for pair in ARCHIVE_EXCLUSIONS)


def test_archive_items_are_the_same_in_any_batch_and_have_the_stated_mix() -> None:
    whole = make_archive_batch(0, 300, seed=11)
    part = make_archive_batch(130, 37, seed=11)
    np.testing.assert_array_equal(whole.images[130:167], part.images)
    assert whole.captions[130:167] == part.captions and whole.labels[130:167] == part.labels
    shares = {kind: whole.kinds.count(kind) / 300 for kind in set(whole.kinds)}
    assert (
        abs(shares["common"] - 0.55) < 0.1
        and abs(shares["parts"] - 0.25) < 0.1
        and abs(shares["texture"] - 0.15) < 0.08
    )
    for kind, skin_type, attributes in zip(whole.kinds, whole.skin_types, whole.attributes, strict=True):
        assert (skin_type == 0) == (kind == "texture")
        assert kind != "texture" or attributes[0] in TEXTURES


def test_empty_requests_are_empty() -> None:
    assert make_cohort({"nevus": 0}, seed=1) == []
    assert make_archive_batch(5, 0, seed=1).images.shape == (0, 64, 64, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_cohort({"nevi": 1}, seed=1), "unknown phantom condition.*nevi\nExpected: some of nevus"),
        (lambda: make_cohort({"nevus": -1}, seed=1), "-1.*\nExpected: 0 or more"),
        (lambda: make_cohort({"nevus": 1}, seed=1, skin_types=(0,)), "\\[0\\]\nExpected: some of 1 to 6"),
        (lambda: make_cohort({"nevus": 1}, seed=1, image_size_px=8), "size 8 px\nExpected: 16 to 512"),
        (lambda: make_archive_batch(-1, 1, seed=1), "start=-1.*\nExpected: both at or above 0"),
    ],
)
def test_wrong_requests_say_what_was_expected(call: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()  # type: ignore[operator]
