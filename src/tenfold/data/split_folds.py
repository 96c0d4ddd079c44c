"""Split folds: whole groups dealt into k folds of like composition, for cross-validation. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from tenfold.core.errors import DataError, Faults
from tenfold.core.seeds import derive_seed
from tenfold.data.manifest import labels_of
from tenfold.data.split_groups import group_keys
from tenfold.data.split_strata import strata

FEWEST_FOLDS = 3
"""One fold each for training, validation and test."""


def fold_numbers(
    manifest: pd.DataFrame,
    folds: int,
    *,
    seed: int,
    stratify_by: Sequence[str] = (),
    keys: pd.Series[str] | None = None,
) -> pd.Series[int]:
    """The fold, 0 to folds - 1, of every image (index: image_id); no group crosses, every fold has every class.

    Groups are dealt out large ones first, ties in an order drawn by the seed and their key, each to the fold that has
    least of its classes and strata: row order does not matter. Raises DataError, or FaultsError for several, for a
    class that cannot be in every fold, saying how many folds are possible.
    """
    if folds < FEWEST_FOLDS:
        raise DataError(
            f"{folds} folds are too few",
            expected=f"at least {FEWEST_FOLDS}: one each for training, validation and test",
            todo=f"set split.folds={FEWEST_FOLDS} or more",
        )
    if len(manifest) and (manifest["source"] != "real").any():
        raise DataError("synthetic images cannot be split", todo="split the real manifest only")
    of_row = [str(key) for key in (group_keys(manifest) if keys is None else keys)]
    labels = manifest["label"].astype(str).tolist()
    _check_groups(labels_of(manifest), folds, of_row, labels)
    # A label counts in its own right, and again with its stratum: classes go before strata.
    groups: dict[str, Counter[tuple[str, ...]]] = {}
    for key, label, stratum in zip(of_row, labels, strata(manifest, stratify_by), strict=True):
        groups.setdefault(key, Counter()).update([(label,), (label, stratum)] if stratify_by else [(label,)])
    fold_of = _dealt(groups, folds, seed)
    numbers = pd.Series(
        [fold_of[key] for key in of_row], index=manifest["image_id"].astype(str).tolist(), dtype="int64"
    )
    _check_folds(numbers, labels, folds)
    return numbers


def fold_split(numbers: pd.Series[int], fold: int, folds: int) -> pd.Series[str]:
    """train, val or test by image_id: this fold is the test, the next one (in a circle) validation, the rest training.

    Over all folds, every image is tested once and validates once. DataError for a fold outside 0 to folds - 1.
    """
    if not 0 <= fold < folds:
        raise DataError(f"there is no fold {fold} of {folds}", expected=f"split.fold from 0 to {folds - 1}")
    following = (fold + 1) % folds
    names = ["test" if number == fold else "val" if number == following else "train" for number in numbers]
    return pd.Series(names, index=numbers.index, dtype="string")


def _dealt(groups: Mapping[str, Counter[tuple[str, ...]]], folds: int, seed: int) -> dict[str, int]:
    totals: Counter[tuple[str, ...]] = Counter()
    for counts in groups.values():
        totals.update(counts)
    loads = [Counter[tuple[str, ...]]() for _ in range(folds)]
    sizes = [0] * folds
    drawn = sorted(range(folds), key=lambda number: derive_seed(seed, "fold", number))
    order = sorted(groups, key=lambda key: (-groups[key].total(), derive_seed(seed, "split", key)))
    fold_of = {}
    for key in order:
        counts = groups[key]
        # The increase of the sum of squared shares, over folds and cells, that this group would bring to a fold.
        costs = [
            sum(n * (2 * load[cell] + n) / totals[cell] ** 2 / len(cell) for cell, n in counts.items())
            for load in loads
        ]
        best = min(drawn, key=lambda number: (round(costs[number], 12), sizes[number]))
        fold_of[key] = best
        loads[best].update(counts)
        sizes[best] += counts.total()
    return fold_of


def _check_groups(known: Sequence[str], folds: int, of_row: Sequence[str], labels: Sequence[str]) -> None:
    if len(known) < 2:
        raise DataError(
            f"{len(known)} classes cannot be told apart" + (f": only {known[0]!r}" if known else ""),
            expected="at least two classes",
            todo="choose more classes with intake.classes, or add a class of normal images",
        )
    holding = Counter(label for _, label in set(zip(of_row, labels, strict=True)))
    fewest = min(holding.values())
    images = Counter(labels)
    faults = Faults()
    for label in known:
        if holding[label] < folds:
            faults.add(
                DataError(
                    f"the class {label!r} has {images[label]} images in {holding[label]} groups, too few for {folds} "
                    "folds",
                    expected="at least one group of every class in every fold",
                    todo=f"set split.folds={fewest}, which every class can fill, or leave the class out"
                    if fewest >= FEWEST_FOLDS
                    else f"leave the class out with intake.classes: no class below {FEWEST_FOLDS} groups can be split",
                )
            )
    faults.raise_if_any()


def _check_folds(numbers: pd.Series[int], labels: Sequence[str], folds: int) -> None:
    found = set(zip(numbers.tolist(), labels, strict=True))
    lacking = [
        (number, label) for number in range(folds) for label in sorted(set(labels)) if (number, label) not in found
    ]
    if lacking:
        number, label = lacking[0]
        raise DataError(
            f"fold {number} got no image of {label!r}: its groups hold several classes and cannot be parted",
            where=f"{len(lacking)} classes are missing in folds",
            expected="at least one group of every class in every fold",
            todo=f"use fewer folds than {folds}, another split.seed, or leave the class out with intake.classes",
        )
