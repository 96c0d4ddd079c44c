"""Near-copies: planted ones are found, strangers with like features are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tenfold.intake.checks.near_copies import DETAIL_LIKENESS, clusters, copy_links
from tests.unit.intake.checks.made_material import made_picture

COUNT = 30
Gray = NDArray[np.uint8]


def resized(picture: Gray, box: tuple[int, int, int, int] | None = None) -> Gray:
    image = Image.fromarray(picture).resize((48, 48), Image.Resampling.BOX, box=box)
    return np.asarray(image, dtype=np.uint8)


def brighter(picture: Gray) -> Gray:
    return np.asarray((picture * 1.15 + 5).clip(0, 255), dtype=np.uint8)


EDITS: dict[str, Callable[[Gray], Gray]] = {
    "same": lambda picture: picture,
    "mirrored": lambda picture: picture[:, ::-1],
    "turned": lambda picture: np.rot90(picture),
    "brighter": brighter,
    "cropped": lambda picture: picture[12:-12, 12:-12],
}


@pytest.mark.parametrize("edit", sorted(EDITS))
def test_a_planted_copy_is_found_and_no_stranger(edit: str) -> None:
    pictures = [made_picture(number, side=192) for number in range(COUNT)]
    pictures[7] = EDITS[edit](pictures[3])
    thumbnails = np.stack([resized(np.ascontiguousarray(picture)) for picture in pictures])
    features = np.random.default_rng(1).normal(size=(COUNT, 8))
    features[7] = features[3] + 0.01
    links = copy_links([None] * COUNT, features.astype(np.float32), thumbnails, 0.98)
    assert list(zip(links.first, links.second, strict=True)) == [(3, 7)]
    assert links.likeness[0] >= DETAIL_LIKENESS and not links.is_by_hash[0]


def test_like_features_alone_make_no_copy() -> None:
    thumbnails = np.stack([made_picture(number) for number in range(COUNT)])
    links = copy_links([None] * COUNT, np.ones((COUNT, 8), dtype=np.float32), thumbnails, 0.98)
    assert len(links.first) == 0


def test_blank_pictures_are_copies_by_hash_only() -> None:
    thumbnails = np.full((4, 48, 48), 128, dtype=np.uint8)
    features = np.ones((4, 8), dtype=np.float32)
    assert len(copy_links([None] * 4, features, thumbnails, 0.98).first) == 0
    links = copy_links(["0" * 16] * 2 + ["f" * 16, None], features, thumbnails, 0.98)
    assert (links.first.tolist(), links.second.tolist(), links.is_by_hash.tolist()) == ([0], [1], [True])


def test_hashes_link_up_to_four_bits_and_clusters_chain() -> None:
    hashes = ["0000000000000000", "000000000000000f", "00000000000000ff", "ffffffff00000000", None]
    thumbnails = np.stack([made_picture(number) for number in range(5)])
    features = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    links = copy_links(hashes, features, thumbnails, 1.0)
    assert list(zip(links.first, links.second, strict=True)) == [(0, 1), (1, 2)]
    assert [members.tolist() for members in clusters(5, links)] == [[0, 1, 2]]


def test_a_large_cluster_of_one_hash_stays_one_cluster() -> None:
    count = 100
    thumbnails = np.zeros((count, 48, 48), dtype=np.uint8)
    features = np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)
    links = copy_links(["0" * 16] * count, features, thumbnails, 1.0)
    assert len(links.first) < 2 * count
    assert [len(members) for members in clusters(count, links)] == [count]


def test_one_image_or_none_has_no_copy() -> None:
    for count in (0, 1):
        thumbnails = np.zeros((count, 48, 48), dtype=np.uint8)
        links = copy_links([None] * count, np.ones((count, 3), dtype=np.float32), thumbnails, 0.98)
        assert len(links.first) == 0 and clusters(count, links) == []
