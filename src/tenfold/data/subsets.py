"""Subsets: nested training sets of any size for learning curves. Torch-free."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.core.seeds import derive_seed
from tenfold.data.manifest import labels_of
from tenfold.data.splits import group_keys


def nested_subset(manifest_split: pd.DataFrame, *, per_class: int, seed: int) -> list[str]:
    """Image ids of `per_class` images of every class in the table, by class in sorted order.

    Nested: with the same table and seed, a smaller subset is contained in a larger one. Spread over groups: within a
    class, no group (see `splits.group_keys`) gives a second image before each has given one, and so on. Row order does
    not matter. Raises DataError when a class has fewer images, saying how many are possible.
    """
    if per_class < 0:
        raise DataError(f"{per_class} images per class cannot be chosen", expected="0 or more")
    available = Counter(manifest_split["label"].astype(str))
    short = {label: count for label, count in sorted(available.items()) if count < per_class}
    if short:
        raise DataError(
            f"{per_class} images per class are not there: "
            + ", ".join(f"{label!r} has {count}" for label, count in short.items()),
            expected=f"at most {min(short.values())} per class",
            todo=f"use at most {min(short.values())} (--images-per-class of a command, training sizes of a recipe), or "
            "leave small classes out (--classes of a command, intake.classes of a recipe)",
        )
    keys = group_keys(manifest_split).astype(str)
    chosen: list[str] = []
    for label in labels_of(manifest_split):
        rows = (manifest_split["label"] == label).to_numpy(dtype=bool)
        ids = manifest_split.loc[rows, "image_id"].astype(str).tolist()
        chosen.extend(_spread(ids, keys[rows].tolist(), seed)[:per_class])
    return chosen


def _spread(ids: list[str], groups: list[str], seed: int) -> list[str]:
    """Ids in the order of (how many of their group came before, order of the group, order of the image)."""
    order_of_image = {image_id: derive_seed(seed, "subset-image", image_id) for image_id in ids}
    order_of_group = {group: derive_seed(seed, "subset-group", group) for group in groups}
    by_image = sorted(zip(ids, groups, strict=True), key=lambda pair: order_of_image[pair[0]])
    seen: Counter[str] = Counter()
    ranked = []
    for image_id, group in by_image:
        ranked.append((seen[group], order_of_group[group], image_id))
        seen[group] += 1
    return [image_id for _, _, image_id in sorted(ranked)]
