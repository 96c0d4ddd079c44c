"""Split groups: which images belong together, and which of these groups a split parts. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tenfold.data.manifest import SPLITS
from tenfold.data.near_duplicates import near_duplicate_clusters

GROUP_COLUMNS = ("group_id", "patient_id", "lesion_id")
COPY_COLUMN = "attr.copy_cluster"
"""Equal for images of one picture that intake found by features though their hashes differ; often not there."""

NEAR_DUPLICATE_DISTANCE = 4
"""Hamming distance of perceptual hashes up to which two images are one: measured on four public sets and the phantom,
where 6 and more start to join strangers."""


class CrossingGroup(NamedTuple):
    """A group whose images lie in more than one split: its key, the splits in their order, its image ids sorted."""

    key: str
    splits: tuple[str, ...]
    image_ids: tuple[str, ...]


def group_keys(manifest: pd.DataFrame) -> pd.Series[str]:
    """The group of every row (index as the manifest's): the smallest image_id among the rows it is connected to.

    Two rows are connected when they share a group_id, patient_id, lesion_id or `COPY_COLUMN`, or when their perceptual
    hashes are at most `NEAR_DUPLICATE_DISTANCE` apart, directly or through other rows. No group may be parted by a
    split.
    """
    ids = manifest["image_id"].astype(str).to_numpy(dtype=object)
    component = _components(manifest)
    smallest: dict[int, str] = {}
    for number, image_id in zip(component, ids, strict=True):
        smallest[number] = min(smallest.get(number, image_id), image_id)
    return pd.Series([smallest[number] for number in component], index=manifest.index, dtype="string")


def crossing_groups(
    manifest: pd.DataFrame, split: pd.Series[str], *, keys: pd.Series[str] | None = None
) -> list[CrossingGroup]:
    """Every group with images in more than one split, in order of its key; empty when no group is parted.

    split: train, val or test by image_id, as `grouped_split` gives it; images without one are passed over.
    keys: `group_keys(manifest)` where the caller has them already.
    """
    of_image = {str(image_id): str(name) for image_id, name in split.items() if not pd.isna(name)}
    members: dict[str, dict[str, str]] = {}
    ids = manifest["image_id"].astype(str)
    for image_id, key in zip(ids, group_keys(manifest) if keys is None else keys, strict=True):
        if image_id in of_image:
            members.setdefault(str(key), {})[image_id] = of_image[image_id]
    return [
        CrossingGroup(key, tuple(name for name in SPLITS if name in found), tuple(sorted(members[key])))
        for key in sorted(members)
        if len(found := set(members[key].values())) > 1
    ]


def link_words(manifest: pd.DataFrame, image_ids: Sequence[str]) -> str:
    """What holds these images together, in words: `patient_id p7`, `lesion_id l3`, or `near-duplicates`."""
    rows = manifest[manifest["image_id"].astype(str).isin(list(image_ids))]
    words = []
    for name in ("patient_id", "lesion_id"):
        shared = rows[name].value_counts()
        words += [f"{name} {value}" for value in sorted(str(value) for value in shared.index[shared > 1])]
    if words:
        return ", ".join(words[:3]) + (" and more" if len(words) > 3 else "")
    hashes = rows["phash"].dropna().astype(str).tolist()
    if len(hashes) > 1 and len(set(near_duplicate_clusters(hashes, NEAR_DUPLICATE_DISTANCE).tolist())) < len(hashes):
        return "near-duplicates"
    if COPY_COLUMN in rows.columns and rows[COPY_COLUMN].dropna().duplicated().any():
        return "near-duplicates by features"
    shared = rows["group_id"].dropna()
    return f"group_id {shared.iloc[0]}" if len(shared) else "one image"


def near_duplicate_codes(manifest: pd.DataFrame, max_distance: int) -> NDArray[np.int64]:
    """The near-duplicate cluster (N,) of every row by its perceptual hash, from 0; -1 for a row without one."""
    codes = np.full(len(manifest), -1, dtype=np.int64)
    hashed = np.flatnonzero(manifest["phash"].notna().to_numpy())
    if len(hashed):
        hashes = manifest["phash"].iloc[hashed].astype(str).tolist()
        codes[hashed] = near_duplicate_clusters(hashes, max_distance)
    return codes


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
    names = [*GROUP_COLUMNS, *([COPY_COLUMN] if COPY_COLUMN in manifest.columns else [])]
    codes = [np.asarray(pd.factorize(manifest[name])[0], dtype=np.int64) for name in names]
    return [*codes, near_duplicate_codes(manifest, NEAR_DUPLICATE_DISTANCE)]
