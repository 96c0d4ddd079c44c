"""Splits: grouped, stratified assignment of images to train, val and test. Torch-free.

Groups, strata and the sealed file have modules of their own (`split_groups`, `split_strata`, `split_seal`); the other
ways to split are in `split_folds` and `split_lists`. What other rooms need of groups and seals is named here too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from tenfold.core.errors import DataError, Faults
from tenfold.core.seeds import derive_seed
from tenfold.data.manifest import SPLITS, labels_of
from tenfold.data.split_groups import (
    GROUP_COLUMNS,
    NEAR_DUPLICATE_DISTANCE,
    CrossingGroup,
    crossing_groups,
    group_keys,
)
from tenfold.data.split_seal import SealedSplit, read_sealed_split, seal_split, with_split
from tenfold.data.split_strata import allotted, strata

__all__ = [
    "DEFAULT_TEST", "DEFAULT_VALIDATION", "GROUP_COLUMNS", "MINIMUM_GROUPS", "NEAR_DUPLICATE_DISTANCE",
    "CrossingGroup", "SealedSplit", "SplitSize", "crossing_groups", "group_keys", "grouped_split", "planned_counts",
    "read_sealed_split", "seal_split", "with_split", "with_validation",
]  # fmt: skip

MINIMUM_GROUPS = 3
"""Groups a class needs: one each for train, val and test."""

_RESERVE = {"test": 2, "val": 1}
"""Groups of every class that a split leaves to those drawn after it."""

_TRIES = 32


@dataclass(frozen=True)
class SplitSize:
    """How many images of each class a split takes: a number, or a fraction of the class (rounded, at least 1)."""

    per_class: int | None = None
    fraction: float | None = None

    def __post_init__(self) -> None:
        if (self.per_class is None) == (self.fraction is None):
            raise DataError("a split needs either a number per class or a fraction", expected="exactly one of the two")
        if self.per_class is not None and self.per_class < 1:
            raise DataError(f"{self.per_class} images per class make no split", expected="1 or more")
        if self.fraction is not None and not 0 < self.fraction < 1:
            raise DataError(f"a fraction of {self.fraction} makes no split", expected="more than 0 and less than 1")

    def target(self, available: int) -> int:
        """Images to take from a class that has this many."""
        return self.per_class if self.per_class is not None else max(1, round((self.fraction or 0.0) * available))


DEFAULT_TEST = SplitSize(fraction=0.25)
DEFAULT_VALIDATION = SplitSize(fraction=0.15)


def grouped_split(
    manifest: pd.DataFrame,
    *,
    validation: SplitSize,
    test: SplitSize,
    seed: int,
    stratify_by: Sequence[str] = (),
    keys: pd.Series[str] | None = None,
) -> pd.Series[str]:
    """train, val or test for every image (index: image_id), stratified by label; no group crosses.

    Groups are taken in an order drawn by the seed and their key, independent of row order: the test first, then the
    validation, as long as no class exceeds its size; the rest is for training. A size that whole groups cannot meet is
    approached from below. stratify_by: manifest columns whose values each class keeps in proportion as far as whole
    groups allow; the size of a class goes before. keys: `group_keys(manifest)` where the caller has them already.
    Raises DataError, or FaultsError for several, saying for each class that is too small what is possible.
    """
    drawing = _drawing(manifest, keys, stratify_by, seed)
    _check_groups(manifest, drawing)
    taken_test = drawing.take("test", test)
    if short := drawing.short("test", test, taken_test):
        possible = _largest(test, short, lambda size: drawing.works(size, validation))
        _raise_shortages("test", test, drawing, short, possible)
    rest = drawing.without(taken_test)
    taken_val = rest.take("val", validation)
    if short := rest.short("val", validation, taken_val):
        possible = _largest(validation, short, lambda size: not rest.short("val", size, rest.take("val", size)))
        _raise_shortages("val", validation, drawing, short, possible)
    names = ["test" if key in taken_test else "val" if key in taken_val else "train" for key in drawing.keys]
    return pd.Series(names, index=manifest["image_id"].astype(str).tolist(), dtype="string")


def planned_counts(
    manifest: pd.DataFrame,
    *,
    test: SplitSize = DEFAULT_TEST,
    validation: SplitSize = DEFAULT_VALIDATION,
    seed: int = 0,
    stratify_by: Sequence[str] = (),
    keys: pd.Series[str] | None = None,
) -> dict[str, dict[str, int]]:
    """Images by split and label that `grouped_split` would give; nothing is written. Raises what it raises."""
    split = grouped_split(manifest, validation=validation, test=test, seed=seed, stratify_by=stratify_by, keys=keys)
    names, labels = split.to_numpy(dtype=object), manifest["label"].astype(str).to_numpy(dtype=object)
    return {
        name: {label: int(((names == name) & (labels == label)).sum()) for label in labels_of(manifest)}
        for name in SPLITS
    }


def with_validation(
    manifest: pd.DataFrame,
    split: pd.Series[str],
    validation: SplitSize,
    *,
    seed: int,
    stratify_by: Sequence[str] = (),
    keys: pd.Series[str] | None = None,
) -> pd.Series[str]:
    """The split with validation images drawn from its training groups, for an upstream split that has none.

    A group that also lies in the test, which only an allowed crossing can bring about, stays in training whole.
    """
    drawing = _drawing(manifest, keys, stratify_by, seed)
    name_of = {str(image_id): name for image_id, name in split.items()}
    ids = manifest["image_id"].astype(str).tolist()
    fixed = {key for key, image_id in zip(drawing.keys, ids, strict=True) if name_of.get(image_id) != "train"}
    rest = drawing.without(fixed)
    taken = rest.take("val", validation)
    if short := rest.short("val", validation, taken):
        possible = _largest(validation, short, lambda size: not rest.short("val", size, rest.take("val", size)))
        _raise_shortages("val", validation, drawing, short, possible)
    chosen = {image_id for key, image_id in zip(drawing.keys, ids, strict=True) if key in taken}
    return split.where(~split.index.astype(str).isin(chosen), "val")


@dataclass(frozen=True)
class _Drawing:
    """Groups in the order drawn for them, and their images by label and by (label, stratum).

    `keys` is the group of every row; `available` counts all images by (label, stratum), whatever was taken before.
    """

    keys: list[str]
    order: list[str]
    labels: Mapping[str, Counter[str]]
    cells: Mapping[str, Counter[tuple[str, str]]]
    available: Counter[tuple[str, str]]

    def without(self, taken: set[str]) -> _Drawing:
        return replace(self, order=[key for key in self.order if key not in taken])

    def by_label(self) -> dict[str, Counter[str]]:
        """Label -> images by stratum, of all images."""
        found: dict[str, Counter[str]] = {}
        for (label, stratum), count in self.available.items():
            found.setdefault(label, Counter())[stratum] += count
        return found

    def take(self, name: str, size: SplitSize) -> set[str]:
        """Groups taken in order: no class exceeds its target, and each keeps groups for the splits after."""
        reserve, by_label = _RESERVE[name], self.by_label()
        targets = {label: size.target(counts.total()) for label, counts in by_label.items()}
        left = Counter(label for key in self.order for label in self.labels[key])
        filled: Counter[str] = Counter()
        filled_cells: Counter[tuple[str, str]] = Counter()
        taken: set[str] = set()

        def take_if(key: str, is_fitting: bool) -> None:
            if is_fitting and all(left[label] > reserve for label in self.labels[key]):
                taken.add(key)
                filled.update(self.labels[key])
                filled_cells.update(self.cells[key])
                left.subtract(self.labels[key].keys())

        def is_within(key: str) -> bool:
            return all(filled[label] + n <= targets[label] for label, n in self.labels[key].items())

        if any(len(counts) > 1 for counts in by_label.values()):
            cell_targets = {
                (label, stratum): share
                for label, counts in by_label.items()
                for stratum, share in allotted(targets[label], counts).items()
            }
            for key in self.order:
                is_in_cells = all(filled_cells[cell] + n <= cell_targets[cell] for cell, n in self.cells[key].items())
                take_if(key, is_in_cells and is_within(key))
        for key in self.order:
            take_if(key, key not in taken and is_within(key))
        for label in sorted(targets):
            # Every group of this class is larger than its target: the smallest that can be spared is taken whole.
            for key in sorted((key for key in self.order if self.labels[key][label]), key=self._images):
                if not filled[label]:
                    take_if(key, key not in taken)
        return taken

    def short(self, name: str, size: SplitSize, taken: set[str]) -> dict[str, int]:
        """Images that each class got which got none, or fewer than asked for because its groups ran out."""
        found = {}
        for label in sorted(self.by_label()):
            got = sum(self.labels[key][label] for key in taken)
            left = sum(1 for key in self.order if self.labels[key][label] and key not in taken)
            if not got or (left <= _RESERVE[name] and size.per_class is not None and got < size.per_class):
                found[label] = got
        return found

    def works(self, test: SplitSize, validation: SplitSize) -> bool:
        """Whether both sizes can be had."""
        taken = self.take("test", test)
        rest = self.without(taken)
        return not self.short("test", test, taken) and not rest.short("val", validation, rest.take("val", validation))

    def _images(self, key: str) -> int:
        return self.labels[key].total()


def _drawing(manifest: pd.DataFrame, keys: pd.Series[str] | None, stratify_by: Sequence[str], seed: int) -> _Drawing:
    if len(manifest) and (manifest["source"] != "real").any():
        raise DataError("synthetic images cannot be split", todo="split the real manifest only")
    of_row = [str(key) for key in (group_keys(manifest) if keys is None else keys)]
    labels: dict[str, Counter[str]] = {}
    cells: dict[str, Counter[tuple[str, str]]] = {}
    rows = zip(of_row, manifest["label"].astype(str), strata(manifest, stratify_by), strict=True)
    for key, label, stratum in rows:
        labels.setdefault(key, Counter())[label] += 1
        cells.setdefault(key, Counter())[(label, stratum)] += 1
    order = sorted(labels, key=lambda key: derive_seed(seed, "split", key))
    available: Counter[tuple[str, str]] = Counter()
    for counts in cells.values():
        available.update(counts)
    return _Drawing(of_row, order, labels, cells, available)


def _check_groups(manifest: pd.DataFrame, drawing: _Drawing) -> None:
    labels = labels_of(manifest)
    if len(labels) < 2:
        raise DataError(
            f"{len(labels)} classes cannot be told apart" + (f": only {labels[0]!r}" if labels else ""),
            expected="at least two classes",
            todo="choose more classes with intake.classes, or add a class of normal images",
        )
    images = Counter(manifest["label"].astype(str))
    holding = Counter(label for counts in drawing.labels.values() for label in counts)
    possible = [label for label in labels if holding[label] >= MINIMUM_GROUPS]
    faults = Faults()
    for label in labels:
        if holding[label] < MINIMUM_GROUPS:
            faults.add(
                DataError(
                    f"the class {label!r} has {images[label]} images in {holding[label]} groups of patient or lesion",
                    expected=f"at least {MINIMUM_GROUPS} groups: one each for training, validation and test",
                    todo="add images of other patients"
                    + (f", or leave the class out: intake.classes=[{','.join(possible)}]" if len(possible) > 1 else ""),
                )
            )
    faults.raise_if_any()


def _largest(size: SplitSize, short: Mapping[str, int], works: Callable[[SplitSize], bool]) -> int | None:
    """The largest number per class, at most what the short classes got, that can be had; None where none was found."""
    if size.per_class is None:
        return None
    most = min(size.per_class - 1, max(1, min(short.values())))
    sizes = range(most, max(0, most - _TRIES), -1)
    return next((number for number in sizes if works(SplitSize(per_class=number))), None)


def _raise_shortages(
    name: str, size: SplitSize, drawing: _Drawing, short: Mapping[str, int], possible: int | None
) -> None:
    faults = Faults()
    for label, got in short.items():
        available = drawing.by_label()[label].total()
        option = f"split.{'test' if name == 'test' else 'validation'}_per_class"
        if possible is not None:
            todo = f"{option}={possible} is what every class can give; or use a fraction, or leave the class out"
        elif got:
            todo = f"ask for {got} per class or fewer, use a fraction, or leave the class out"
        else:
            todo = "add images of other patients, or leave the class out with intake.classes"
        faults.add(
            DataError(
                f"the class {label!r} cannot give {size.target(available)} images for the {name} split",
                where=f"{available} images in all; groups kept for the other splits: {_RESERVE[name]}",
                expected=f"at most {got} with this seed" if got else "groups that can be parted from the others",
                todo=todo,
            )
        )
    faults.raise_if_any()
