"""Grouped folds: every group whole in one fold, classes spread evenly, whatever the order of the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tenfold.core.seeds import derive_seed
from tenfold.metrics.arrays import FloatArray, IntArray

Fitter = Callable[[FloatArray, IntArray], Callable[[FloatArray], FloatArray]]
"""(features (N, D), codes (N,)) -> a function from features (M, D) to probabilities (M, classes seen, sorted)."""


def group_counts(codes: IntArray, groups: IntArray, class_count: int) -> IntArray:
    """Groups that hold each class, (C,)."""
    pairs = np.unique(np.stack([codes, groups], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=class_count).astype(np.int64)


def grouped_folds(codes: IntArray, keys: Sequence[str], folds: int, seed: int) -> IntArray:
    """The fold (N,) of each image: its group's. keys: the group of each image, by name.

    Groups come in an order drawn by the seed and their name, those of the rarest class first; each goes to the fold
    that has the fewest images of its rarest class, then the fewest images.
    """
    names, group = np.unique(np.asarray(keys, dtype=str), return_inverse=True)
    class_count = int(codes.max(initial=0)) + 1
    counts = np.zeros((len(names), class_count), dtype=np.int64)
    np.add.at(counts, (group, codes), 1)
    frequency = counts.sum(axis=0)
    rarest = np.array([min(np.flatnonzero(row), key=lambda c: (frequency[c], c)) for row in counts])
    drawn = {name: derive_seed(seed, "fold", str(name)) for name in names}
    order = sorted(range(len(names)), key=lambda g: (frequency[rarest[g]], rarest[g], drawn[names[g]]))
    filled = np.zeros((folds, class_count), dtype=np.int64)
    fold_of = np.empty(len(names), dtype=np.int64)
    for g in order:
        fold = min(range(folds), key=lambda f: (filled[f, rarest[g]], filled[f].sum(), f))
        fold_of[g] = fold
        filled[fold] += counts[g]
    return np.asarray(fold_of[group], dtype=np.int64)


def out_of_fold(features: FloatArray, codes: IntArray, folds: IntArray, fit: Fitter) -> FloatArray:
    """Probabilities (N, C) of each image by a model that saw none of its fold, so none of its group.

    codes: 0 to C - 1, every class in at least two folds. A class that a model did not see gets 0.
    """
    result = np.zeros((len(codes), int(codes.max()) + 1))
    for fold in np.unique(folds):
        held = folds == fold
        predict = fit(features[~held], codes[~held])
        result[np.ix_(held, np.unique(codes[~held]))] = predict(features[held])
    return result


def kept_classes(codes: IntArray, groups: IntArray, least_groups: int) -> tuple[IntArray, NDArray[np.int64]]:
    """Classes with at least so many groups, sorted, and the places of their images."""
    counts = group_counts(codes, groups, int(codes.max(initial=0)) + 1)
    classes = np.flatnonzero(counts >= least_groups)
    return classes.astype(np.int64), np.flatnonzero(np.isin(codes, classes)).astype(np.int64)
