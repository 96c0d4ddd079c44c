"""Mixing: balanced batches with an exact share of extra images, drawn alike after a resume."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.core.errors import DesignError
from tenfold.data.mixing import TrainingMix, TwoStageMix, equalizing_weights

REAL = [0] * 5 + [1] * 9 + [2] * 3
EXTRA = [0] * 20 + [1] * 7 + [2] * 30


def test_batches_depend_on_the_step_only() -> None:
    first, second = TrainingMix(REAL, EXTRA, 0.25, 10, 7), TrainingMix(np.array(REAL), np.array(EXTRA), 0.25, 10, 7)
    for step in (5, 0, 5):
        for a, b in zip(first.batch(step), second.batch(step), strict=True):
            assert np.array_equal(a, b)
    assert not np.array_equal(first.batch(0)[1], first.batch(1)[1])
    assert not np.array_equal(first.batch(0)[1], TrainingMix(REAL, EXTRA, 0.25, 10, 8).batch(0)[1])


@pytest.mark.parametrize("share", [0.0, 0.25, 1 / 3, 0.5, 1.0])
def test_share_and_class_balance_are_exact_over_time(share: float) -> None:
    mix = TrainingMix(REAL, EXTRA, share, 10, 0)
    extras, classes = 0, np.zeros(3, dtype=int)
    for step in range(60):
        is_extra, index = mix.batch(step)
        labels = np.where(is_extra, np.array(EXTRA)[index], np.array(REAL)[np.minimum(index, len(REAL) - 1)])
        assert index[~is_extra].max(initial=0) < len(REAL)
        assert np.ptp(np.bincount(labels, minlength=3)) <= 1
        classes += np.bincount(labels, minlength=3)
        extras += int(is_extra.sum())
    assert extras == round(share * 600)
    assert classes.tolist() == [200, 200, 200]


def test_extras_are_spread_over_the_classes() -> None:
    is_extra, index = TrainingMix([0, 1, 2, 3], [0, 1, 2, 3], 0.5, 16, 0).batch(3)
    assert np.bincount(index[is_extra], minlength=4).tolist() == [2, 2, 2, 2]


def test_real_slots_do_not_depend_on_which_extras_there_are() -> None:
    few, many = TrainingMix(REAL, [0, 1, 2], 0.3, 10, 0).batch(4), TrainingMix(REAL, EXTRA, 0.3, 10, 0).batch(4)
    assert np.array_equal(few[0], many[0])
    assert np.array_equal(few[1][~few[0]], many[1][~many[0]])


def test_all_images_are_drawn_in_the_end() -> None:
    mix = TrainingMix(REAL, [], 0.0, 10, 0)
    assert set(np.concatenate([mix.batch(step)[1] for step in range(100)])) == set(range(len(REAL)))


def test_only_some_classes_may_have_extras() -> None:
    mix = TrainingMix([0, 1, 1], [0, 0], 0.25, 8, 0)
    for step in range(5):
        is_extra, index = mix.batch(step)
        assert is_extra.sum() == 2 and set(index[is_extra]) <= {0, 1}


@pytest.mark.parametrize(
    ("real", "extra", "share", "words"),
    [
        ([], [], 0.0, "no image to train on"),
        ([0, 1], [], 0.25, "out of reach"),
        ([0, 1, 2, 3], [0], 0.5, "expected: a share from 0 to 0.25"),
        ([0], [1], 0.0, "out of reach"),
        ([0, 1], [0], 1.0, "out of reach"),
        ([0, 1], [0, 1], 1.5, "cannot be drawn"),
    ],
)
def test_shares_that_cannot_be_drawn(real: list[int], extra: list[int], share: float, words: str) -> None:
    with pytest.raises(DesignError) as caught:
        TrainingMix(real, extra, share, 8, 0)
    assert words.lower() in str(caught.value).lower()


def test_synthetic_only() -> None:
    is_extra, index = TrainingMix([], EXTRA, 1.0, 9, 0).batch(0)
    assert is_extra.all() and np.bincount(np.array(EXTRA)[index]).tolist() == [3, 3, 3]


def drawn(mix: TrainingMix | TwoStageMix, real: int, extra: int, steps: int = 1500) -> np.ndarray:
    """Share of all draws that fell to each image."""
    counts = np.zeros(real + extra)
    for step in range(steps):
        is_extra, index = mix.batch(step)
        np.add.at(counts, np.where(is_extra, index + real, index), 1)
    return counts / counts.sum()


WEIGHTS = [0.0, 3.0, *[1.0] * (len(EXTRA) - 2)]


@pytest.mark.parametrize(
    "mix",
    [
        TrainingMix(REAL, EXTRA, 0.25, 10, 0),
        TrainingMix(REAL, EXTRA, 0.25, 10, 0, extra_weights=WEIGHTS),
        TrainingMix(REAL, EXTRA, 0.4, 10, 0, "uniform", [*range(1, 18)], WEIGHTS),
        TrainingMix([0, 0, 1, *[0] * 14], [2, 2, *[1] * 55], 0.5, 10, 0),
        TrainingMix(REAL, EXTRA, 0.0, 10, 0, "uniform"),
    ],
)
def test_images_are_drawn_as_often_as_told(mix: TrainingMix) -> None:
    shares = mix.expected_shares()
    assert shares.sum() == pytest.approx(1) and shares[17:].sum() == pytest.approx(mix.extra_share)
    assert np.abs(drawn(mix, 17, 57) - shares).max() < 0.012
    if mix.extra_weights is WEIGHTS:
        assert drawn(mix, 17, 57)[17] == 0 and shares[18] == pytest.approx(3 * shares[19])


def test_uniform_batches_hold_classes_as_they_come() -> None:
    shares = drawn(TrainingMix([0] * 9 + [1], [], 0.0, 16, 0, "uniform"), 10, 0)
    assert shares[9] == pytest.approx(0.1, abs=0.01)


def test_two_stages() -> None:
    mix = TwoStageMix(TrainingMix(REAL, EXTRA, 1.0, 10, 0), TrainingMix(REAL, EXTRA, 0.0, 10, 0), 3)
    assert [mix.batch(step)[0].all() for step in range(5)] == [True, True, True, False, False]
    assert not mix.batch(3)[0].any()


def test_values_are_drawn_equally_often_within_their_class() -> None:
    labels, values = [0] * 10 + [1] * 4, ["light"] * 9 + ["dark"] + ["light"] * 3 + [""]
    mix = TrainingMix(labels, [], 0.0, 8, 0, real_weights=equalizing_weights(labels, values).tolist())
    shares = mix.expected_shares()
    assert shares[9] == pytest.approx(0.25) and shares[:9].sum() == pytest.approx(0.25)
    assert shares[13] == pytest.approx(0.25)
    teacher = equalizing_weights([0, 0, 0], ["a", "a", "b"], [0.2, 0.6, 0.1])
    assert teacher.tolist() == pytest.approx([0.25, 0.75, 1.0])
    assert equalizing_weights([], []).tolist() == []


def test_weights_that_leave_nothing_to_draw() -> None:
    with pytest.raises(DesignError, match="class number 1 all have the weight 0"):
        TrainingMix([0, 1], [], 0.0, 4, 0, real_weights=[1.0, 0.0]).batch(0)
    with pytest.raises(DesignError, match="out of reach"):
        TrainingMix([0, 1], [], 0.2, 4, 0, "uniform")
