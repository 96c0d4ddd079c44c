"""Near-duplicates: hashes that survive re-encoding, clusters that are exact."""

from __future__ import annotations

import io
import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from tenfold.core.errors import DataError
from tenfold.data.images import decode_image, resize_and_crop
from tenfold.data.near_duplicates import near_duplicate_clusters, near_duplicate_pairs, perceptual_hash
from tenfold.data.phantom import EMERGING, make_cohort
from tenfold.data.splits import NEAR_DUPLICATE_DISTANCE
from tests.image_files import random_image


def test_copies_keep_their_hash_and_strangers_do_not() -> None:
    originals = [
        np.asarray(Image.fromarray(random_image(number, 160, 160)).filter(ImageFilter.GaussianBlur(4)))
        for number in range(20)
    ]
    copies = []
    for image in originals:
        buffer = io.BytesIO()
        Image.fromarray(image).resize((120, 120)).save(buffer, format="JPEG", quality=60)
        copies.append(decode_image(buffer.getvalue()))
    hashes = [perceptual_hash(resize_and_crop(image, 64)) for image in [*originals, *copies]]
    clusters = near_duplicate_clusters(hashes, NEAR_DUPLICATE_DISTANCE)
    assert clusters.tolist() == [*range(20), *range(20)]


def test_different_phantom_lesions_are_not_joined() -> None:
    photos = make_cohort(dict.fromkeys(EMERGING, 40), seed=5)
    clusters = near_duplicate_clusters([perceptual_hash(photo.image) for photo in photos], NEAR_DUPLICATE_DISTANCE)
    assert clusters.max() >= len(photos) - 3


def test_clusters_link_through_others() -> None:
    hashes = ["0000000000000000", "ffffffffffffffff", "0000000000000003", "000000000000000f", "0000000000000000"]
    assert near_duplicate_clusters(hashes, 2).tolist() == [0, 1, 0, 0, 0]
    assert near_duplicate_clusters(hashes, 1).tolist() == [0, 1, 2, 3, 0]
    assert near_duplicate_clusters([], 2).tolist() == []


def test_clusters_agree_with_all_pairs() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**16, 300, dtype=np.uint64)
    clusters = near_duplicate_clusters([f"{value:016x}" for value in values], 1)
    close = np.bitwise_count(values[:, None] ^ values[None]) <= 1
    assert (clusters[:, None] == clusters[None])[close].all()


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2**12)), max_size=60),
    distance=st.sampled_from([0, 1, 2, 4, 9, 30, 63, 64, 70]),
)
def test_no_pair_is_missed_and_none_invented(values: list[int], distance: int) -> None:
    hashes = [f"{value:016x}" for value in values]
    firsts = {value: values.index(value) for value in values}
    expected = {(firsts[value], place, 0) for place, value in enumerate(values) if firsts[value] != place}
    expected |= {
        (min(pair), max(pair), (one ^ other).bit_count())
        for (one, first), (other, second) in itertools.combinations(firsts.items(), 2)
        if (one ^ other).bit_count() <= distance
        for pair in [(first, second)]
    }
    found = list(zip(*(part.tolist() for part in near_duplicate_pairs(hashes, distance)), strict=True))
    assert found == sorted(expected)


def test_pairs_of_many_copies_stay_few() -> None:
    first, second, distance = near_duplicate_pairs(["0" * 16] * 3000, 4)
    assert first.tolist() == [0] * 2999 and second.tolist() == list(range(1, 3000)) and not distance.any()
    with pytest.raises(DataError, match="does not exist"):
        near_duplicate_pairs(["0" * 16], -1)


@pytest.mark.slow
def test_a_hundred_thousand_hashes_fit_in_little_memory() -> None:
    values = np.random.default_rng(0).integers(0, 2**63, 100_000, dtype=np.uint64)
    values[1::1000] = values[::1000] ^ np.uint64(0b1001)
    tracemalloc.start()
    clusters = near_duplicate_clusters([f"{value:016x}" for value in values], 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert clusters.max() + 1 <= 99_900 and (clusters[::1000] == clusters[1::1000]).all()
    assert peak < 300 * 2**20


def test_only_hashes_are_taken() -> None:
    for bad in ("12", "g" * 16):
        with pytest.raises(DataError, match="not perceptual hashes"):
            near_duplicate_clusters([bad], 1)


def test_a_blank_image_has_a_hash() -> None:
    assert perceptual_hash(np.zeros((64, 64, 3), dtype=np.uint8)) == "0" * 16
