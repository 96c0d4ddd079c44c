"""Splits: grouped, stratified assignment of images to train, val and test, sealed by hash. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tenfold.core.errors import DataError, Faults
from tenfold.core.files import read_json, write_json_atomic
from tenfold.core.hashing import sha256_json
from tenfold.core.seeds import derive_seed
from tenfold.data.manifest import SPLITS, labels_of
from tenfold.data.near_duplicates import near_duplicate_clusters

GROUP_COLUMNS = ("group_id", "patient_id", "lesion_id")
NEAR_DUPLICATE_DISTANCE = 4
"""Hamming distance of perceptual hashes up to which two images are one: measured on four public sets and the phantom,
where
6 and more start to join strangers."""

MINIMUM_GROUPS = 3
"""Groups a class needs: one each for train, val and test."""


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


@dataclass(frozen=True)
class SealedSplit:
    """A split as written in data/splits.json; `counts` is images by split and label."""

    seed: int
    assignments: Mapping[str, str]
    test_sha256: str
    sha256: str
    counts: Mapping[str, Mapping[str, int]]


def group_keys(manifest: pd.DataFrame) -> pd.Series[str]:
    """The group of every row (index as the manifest's): the smallest image_id among the rows it is connected to.

    Two rows are connected when they share a group_id, patient_id or lesion_id, or when their perceptual hashes are at
    most `NEAR_DUPLICATE_DISTANCE` apart, directly or through other rows. No group may be parted by a split.
    """
    ids = manifest["image_id"].astype(str).to_numpy(dtype=object)
    component = _components(manifest)
    smallest: dict[int, str] = {}
    for number, image_id in zip(component, ids, strict=True):
        smallest[number] = min(smallest.get(number, image_id), image_id)
    return pd.Series([smallest[number] for number in component], index=manifest.index, dtype="string")


def grouped_split(manifest: pd.DataFrame, *, validation: SplitSize, test: SplitSize, seed: int) -> pd.Series[str]:
    """train, val or test for every image (index: image_id), stratified by label; no group crosses.

    Groups are taken in an order drawn by the seed and their key, independent of row order: the test first, then the
    validation, as long as no class exceeds its size; the rest is for training. A size that whole groups cannot meet is
    approached from below. Raises DataError, or FaultsError for several, saying for each class that is too small what is
    possible.
    """
    if len(manifest) and (manifest["source"] != "real").any():
        raise DataError("synthetic images cannot be split", todo="split the real manifest only")
    groups = _label_counts(manifest)
    _check_groups(manifest, groups)
    order = sorted(groups, key=lambda key: derive_seed(seed, "split", key))
    available = Counter(manifest["label"].astype(str))
    taken_test = _fill(groups, order, {label: test.target(n) for label, n in available.items()}, reserve=2)
    rest = [key for key in order if key not in taken_test]
    taken_val = _fill(groups, rest, {label: validation.target(n) for label, n in available.items()}, reserve=1)
    _check_shortages("test", test, groups, taken_test, available)
    _check_shortages("val", validation, {key: groups[key] for key in rest}, taken_val, available)
    keys = group_keys(manifest)
    names = ["test" if key in taken_test else "val" if key in taken_val else "train" for key in keys]
    return pd.Series(names, index=manifest["image_id"].astype(str).tolist(), dtype="string")


def seal_split(path: Path, manifest: pd.DataFrame, split: pd.Series[str], *, seed: int) -> SealedSplit:
    """Write the split to `path` (data/splits.json); its test hash covers id, label and pixels of every test row."""
    assignments = {str(image_id): str(name) for image_id, name in sorted(split.items(), key=lambda item: str(item[0]))}
    table = manifest.assign(split=[assignments[str(image_id)] for image_id in manifest["image_id"]])
    labels = labels_of(manifest)
    counts = {
        name: {label: int(((table["split"] == name) & (table["label"] == label)).sum()) for label in labels}
        for name in SPLITS
    }
    test_sha256 = _test_sha256(table)
    sealed = SealedSplit(seed, assignments, test_sha256, _seal(seed, assignments, test_sha256), counts)
    write_json_atomic(
        path,
        {
            "seed": seed,
            "assignments": assignments,
            "sha256": sealed.sha256,
            "test_sha256": test_sha256,
            "counts": counts,
        },
    )
    return sealed


def read_sealed_split(path: Path) -> SealedSplit:
    """The split of a workspace; DataError when it is missing, damaged or was changed after it was sealed."""
    if not path.is_file():
        raise DataError("the images are not split yet", where=str(path), todo="run the split stage first")
    record = read_json(path)
    try:
        sealed = SealedSplit(
            int(record["seed"]), dict(record["assignments"]), str(record["test_sha256"]), str(record["sha256"]),
            {name: dict(counts) for name, counts in record["counts"].items()},
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"the sealed split is damaged: {error}", where=str(path), todo="restore it from a copy"
        ) from error
    if _seal(sealed.seed, sealed.assignments, sealed.test_sha256) != sealed.sha256:
        raise DataError(
            "the split was changed after it was sealed",
            where=str(path),
            expected=f"content with the hash {sealed.sha256}",
            todo="restore the file from a copy; a new split needs a new workspace, as results saw this one",
        )
    return sealed


def with_split(manifest: pd.DataFrame, sealed: SealedSplit) -> pd.DataFrame:
    """A copy of the full real manifest with its split column filled.

    DataError when images and split do not belong together, or when test rows were changed since the sealing.
    """
    ids = [str(image_id) for image_id in manifest["image_id"]]
    unknown, absent = set(ids) - sealed.assignments.keys(), sealed.assignments.keys() - set(ids)
    if unknown or absent:
        raise DataError(
            f"manifest and split do not belong together: {len(unknown)} images have no split, {len(absent)} are gone",
            expected="the full real manifest that was split", todo="run intake and split again, in a new workspace",
        )  # fmt: skip
    table = manifest.assign(split=pd.array([sealed.assignments[image_id] for image_id in ids], dtype="string"))
    if _test_sha256(table) != sealed.test_sha256:
        raise DataError(
            "test images were changed after the split was sealed",
            expected=f"test rows with the hash {sealed.test_sha256}",
            todo="restore data/manifest.parquet and data/images, or start a new workspace",
        )
    return table


def _components(manifest: pd.DataFrame) -> NDArray[np.int64]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(manifest)
    rows, nodes, offset = [np.arange(count)], [np.arange(count)], count
    for codes in _link_codes(manifest):
        linked = np.flatnonzero(codes >= 0)
        rows.append(linked)
        nodes.append(codes[linked] + offset)
        offset += int(codes.max(initial=-1)) + 1
    links = (np.concatenate(rows), np.concatenate(nodes))
    graph = coo_matrix((np.ones(len(links[0]), dtype=np.int8), links), shape=(offset, offset))
    _, component = connected_components(graph, directed=False)
    return np.asarray(component[:count], dtype=np.int64)


def _link_codes(manifest: pd.DataFrame) -> list[NDArray[np.int64]]:
    codes = [np.asarray(pd.factorize(manifest[name])[0], dtype=np.int64) for name in GROUP_COLUMNS]
    clusters = np.full(len(manifest), -1, dtype=np.int64)
    hashed = np.flatnonzero(manifest["phash"].notna().to_numpy())
    if len(hashed):
        hashes = manifest["phash"].iloc[hashed].astype(str).tolist()
        clusters[hashed] = near_duplicate_clusters(hashes, NEAR_DUPLICATE_DISTANCE)
    return [*codes, clusters]


def _label_counts(manifest: pd.DataFrame) -> dict[str, Counter[str]]:
    groups: dict[str, Counter[str]] = {}
    for key, label in zip(group_keys(manifest), manifest["label"].astype(str), strict=True):
        groups.setdefault(str(key), Counter())[label] += 1
    return groups


def _check_groups(manifest: pd.DataFrame, groups: Mapping[str, Counter[str]]) -> None:
    labels = labels_of(manifest)
    if len(labels) < 2:
        raise DataError(
            f"{len(labels)} classes cannot be told apart" + (f": only {labels[0]!r}" if labels else ""),
            expected="at least two classes",
            todo="choose more classes with intake.classes, or add a class of normal images",
        )
    images = Counter(manifest["label"].astype(str))
    faults = Faults()
    for label in labels:
        holding = sum(1 for counts in groups.values() if counts[label])
        if holding < MINIMUM_GROUPS:
            possible = [other for other in labels if sum(1 for c in groups.values() if c[other]) >= MINIMUM_GROUPS]
            faults.add(
                DataError(
                    f"the class {label!r} has {images[label]} images in {holding} groups of patient or lesion",
                    expected=f"at least {MINIMUM_GROUPS} groups: one each for training, validation and test",
                    todo=f"add images of other patients, or leave the class out: intake.classes=[{','.join(possible)}]",
                )
            )
    faults.raise_if_any()


def _fill(
    groups: Mapping[str, Counter[str]], order: list[str], targets: Mapping[str, int], *, reserve: int
) -> set[str]:
    """Groups taken in order: no class exceeds its target, and each keeps `reserve` groups for the splits after."""
    left = Counter(label for key in order for label in groups[key])
    filled: Counter[str] = Counter()
    taken: set[str] = set()

    def take_if(key: str, is_fitting: bool) -> None:
        if is_fitting and all(left[label] > reserve for label in groups[key]):
            taken.add(key)
            filled.update(groups[key])
            left.subtract(groups[key].keys())

    for key in order:
        take_if(key, all(filled[label] + n <= targets[label] for label, n in groups[key].items()))
    for label in sorted(targets):
        # Every group of this class is larger than its target: the smallest that can be spared is taken whole.
        for key in sorted((key for key in order if groups[key][label]), key=lambda key: groups[key].total()):
            if not filled[label]:
                take_if(key, key not in taken)
    return taken


def _check_shortages(
    name: str, size: SplitSize, groups: Mapping[str, Counter[str]], taken: set[str], available: Mapping[str, int]
) -> None:
    """A fault for each class that got nothing, or fewer than asked for because its groups ran out."""
    reserve = 2 if name == "test" else 1
    faults = Faults()
    for label in sorted(available):
        got = sum(groups[key][label] for key in taken)
        left = sum(1 for key, counts in groups.items() if counts[label] and key not in taken)
        is_used_up = left <= reserve and size.per_class is not None and got < size.per_class
        if not got or is_used_up:
            faults.add(
                DataError(
                    f"the class {label!r} cannot give {size.target(available[label])} images for the {name} split",
                    where=f"{available[label]} images in all; groups kept for the other splits: {reserve}",
                    expected=f"at most {got} with this seed" if got else "groups that can be parted from the others",
                    todo=f"ask for {got} per class or fewer, use a fraction, or leave the class out" if got
                    else "add images of other patients, or leave the class out with intake.classes",
                )
            )  # fmt: skip
    faults.raise_if_any()


def _test_sha256(table: pd.DataFrame) -> str:
    rows: Any = table.loc[table["split"] == "test", ["image_id", "label", "sha256"]].astype(str)
    return sha256_json(sorted(rows.to_numpy().tolist()))


def _seal(seed: int, assignments: Mapping[str, str], test_sha256: str) -> str:
    return sha256_json({"seed": seed, "assignments": dict(assignments), "test_sha256": test_sha256})
