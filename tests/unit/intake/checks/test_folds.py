"""Grouped folds: whole groups, even classes, and no dependence on the order of rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.intake.checks.folds import grouped_folds, kept_classes, out_of_fold
from tenfold.metrics.arrays import FloatArray, IntArray


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), min_size=5, max_size=60), st.integers(0, 99))
def test_groups_stay_whole_whatever_the_order(rows: list[tuple[int, int]], seed: int) -> None:
    codes = np.array([code for code, _ in rows], dtype=np.int64)
    keys = [f"g{group}" for _, group in rows]
    folds = grouped_folds(codes, keys, 5, seed)
    for key in set(keys):
        assert len({fold for fold, own in zip(folds, keys, strict=True) if own == key}) == 1
    order = np.random.default_rng(seed).permutation(len(rows))
    again = grouped_folds(codes[order], [keys[place] for place in order], 5, seed)
    assert (again == folds[order]).all()


def test_a_rare_class_is_spread_over_the_folds() -> None:
    codes = np.array([0] * 100 + [1] * 5, dtype=np.int64)
    folds = grouped_folds(codes, [f"g{number}" for number in range(105)], 5, 3)
    assert sorted(folds[100:]) == [0, 1, 2, 3, 4]
    assert np.bincount(folds).max() - np.bincount(folds).min() <= 1


def test_no_model_sees_its_own_fold() -> None:
    codes = np.array([0, 1] * 10, dtype=np.int64)
    features = np.arange(20.0)[:, None]
    folds = grouped_folds(codes, [f"g{number // 2}" for number in range(20)], 5, 0)

    def fit(seen: FloatArray, own: IntArray) -> object:
        def predict(held: FloatArray) -> FloatArray:
            assert not set(seen[:, 0]) & set(held[:, 0])
            return np.full((len(held), 2), 0.5)

        return predict

    assert (out_of_fold(features, codes, folds, fit) == 0.5).all()  # type: ignore[arg-type]


def test_classes_of_too_few_groups_are_left_out() -> None:
    codes = np.array([0] * 6 + [1] * 6 + [2] * 6, dtype=np.int64)
    groups = np.array([*range(6), *range(6, 12), 12, 12, 12, 13, 13, 13], dtype=np.int64)
    classes, places = kept_classes(codes, groups, 5)
    assert classes.tolist() == [0, 1] and places.tolist() == list(range(12))
