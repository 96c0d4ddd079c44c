"""Checkpoint choice by validation loss, copies among samples, and the curves' picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.seeds import numpy_generator
from tenfold.data.images import decode_image
from tenfold.finetuning.choosing import CopyCheck, choose, most_by_chance
from tenfold.finetuning.copy_check import read_real_images
from tenfold.finetuning.curves import write_curves
from tests.tiny_data import ids_of, make_tiny_workspace

LOSSES = {0: 1.0, 2: 0.6, 4: 0.5, 6: 0.55, 8: 0.7}


def _check(flagged: int, allowed: int = 1) -> CopyCheck:
    return CopyCheck(n_samples=16, n_flagged=flagged, n_allowed=allowed, spaces={})


def test_the_lowest_validation_loss_without_copies_is_chosen() -> None:
    flags = {4: 1, 6: 0, 2: 5}
    choice = choose(LOSSES, [2, 4, 6, 8], lambda step: _check(flags[step]), most_looks=3)
    assert choice.step == 4 and "the lowest validation loss, and its samples are no copies" in choice.reason
    assert [one.step for one in choice.candidates] == [4, 6, 2, 8]
    assert [one.copies is None for one in choice.candidates] == [False, False, False, True]
    assert choice.to_json()["candidates"][0]["copies"]["n_flagged"] == 1


def test_candidates_with_copies_are_passed_over() -> None:
    flags = {4: 7, 6: 2, 2: 0}
    choice = choose(LOSSES, [2, 4, 6, 8], lambda step: _check(flags[step]), most_looks=3)
    assert choice.step == 2 and "step 4, 6 have some" in choice.reason
    fewest = choose(LOSSES, [2, 4, 6, 8], lambda step: _check({4: 7, 6: 2}[step]), most_looks=2)
    assert fewest.step == 6 and "copies among the samples of all 2 candidates" in fewest.reason


def test_without_real_images_to_tell_the_loss_alone_decides() -> None:
    choice = choose(LOSSES, [2, 4, 6], lambda step: None, most_looks=2)
    assert choice.step == 4 and "too few real images" in choice.reason


def test_a_training_that_only_forgets_is_told() -> None:
    choice = choose({0: 0.4, 2: 0.6}, [2], lambda step: _check(0), most_looks=2)
    assert choice.step == 2 and "no better than before the training (0.4)" in choice.reason


def test_flags_by_chance_grow_with_the_samples() -> None:
    assert most_by_chance(16, 0.0) == 0
    assert most_by_chance(100, 0.02) == 5
    assert most_by_chance(16, 1.5) == 16


@pytest.mark.parametrize("unseen_per_label", [2, 12])
def test_copies_of_training_images_are_flagged_and_fresh_images_are_not(tmp_path: Path, unseen_per_label: int) -> None:
    workspace = make_tiny_workspace(tmp_path / "w", images_per_split={"train": 8, "val": unseen_per_label, "test": 12})
    training = ids_of(workspace, "train")
    real = read_real_images(workspace, training, ("mole", "rash"), image_size_px=32)
    assert len(real.training[0].ids) == 16
    assert set(real.unseen[0].ids) == set(ids_of(workspace, "val"))
    from tenfold.data.images import resize_and_crop

    def pixels(ids: tuple[str, ...]) -> np.ndarray:
        images = [decode_image(workspace.path / "data/images" / f"{one}.png") for one in ids]
        return np.stack([resize_and_crop(image, 32) for image in images])

    noise = numpy_generator(1).normal(0, 2, (16, 32, 32, 3))
    copies = (pixels(training) + noise).clip(0, 255).round().astype(np.uint8)
    found = real.check(copies)
    assert found is not None and found.has_copies and set(found.spaces) == {"features", "pixels"}
    fresh = real.check(pixels(ids_of(workspace, "test")))
    assert fresh is not None and fresh.n_flagged < found.n_flagged and not fresh.has_copies


def test_two_training_images_are_too_few_to_tell(tmp_path: Path) -> None:
    workspace = make_tiny_workspace(tmp_path / "w", images_per_split={"train": 1, "val": 2, "test": 1})
    real = read_real_images(workspace, ids_of(workspace, "train"), ("mole", "rash"), image_size_px=32)
    assert real.check(np.zeros((3, 32, 32, 3), np.uint8)) is None


def test_curves_are_a_table_and_a_picture(tmp_path: Path) -> None:
    paths = write_curves(tmp_path, [1.0, 0.5, 0.75], {0: 0.9, 3: 0.6}, 3)
    assert [path.name for path in paths] == ["losses.csv", "curves.png"]
    rows = list(csv.DictReader(paths[0].open()))
    assert [(row["step"], row["loss"], row["validation_loss"]) for row in rows] == [
        ("0", "", "0.9"), ("1", "1", ""), ("2", "0.5", ""), ("3", "0.75", "0.6"),
    ]  # fmt: skip
    picture = decode_image(paths[1])
    assert picture.shape == (360, 640, 3) and len(np.unique(picture.reshape(-1, 3), axis=0)) > 4
    again = write_curves(tmp_path / "again", [1.0, 0.5, 0.75], {0: 0.9, 3: 0.6}, 3)
    assert again[1].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(("losses", "validation"), [([0.5], {}), ([1.0] * 40, {0: 1.0}), ([0.0, 0.0], {})])
def test_flat_and_short_curves_can_be_drawn(tmp_path: Path, losses: list[float], validation: dict[int, float]) -> None:
    assert write_curves(tmp_path, losses, validation, len(losses))[1].stat().st_size > 500
