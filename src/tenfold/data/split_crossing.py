"""Split crossings: what is done where an upstream split parts a group. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from tenfold.core.errors import DataError
from tenfold.data.manifest import SPLITS
from tenfold.data.split_groups import CrossingGroup, crossing_groups, link_words

Crossing = Literal["refuse", "move_to_train", "keep_test", "allow"]
"""refuse: an error. move_to_train: the whole group goes to training, so that the test shrinks. keep_test: its images
stay in the test (else in validation) and the others of it are left unused. allow: it stays parted, and results leak."""

_SHOWN = 5


def settle_crossings(
    manifest: pd.DataFrame, split: pd.Series[str], policy: Crossing, *, keys: pd.Series[str]
) -> tuple[pd.Series[str], list[str]]:
    """The split with its parted groups settled by the policy, and notes on what was done; images left out are missing.

    keys: `group_keys(manifest)`. DataError under `refuse`, naming the first groups and what holds each together.
    """
    parted = crossing_groups(manifest, split, keys=keys)
    if not parted:
        return split, []
    images = sum(len(group.image_ids) for group in parted)
    what = f"{len(parted)} groups of patient, lesion or near-duplicates ({images} images) lie in more than one split"
    shown = described(manifest, split, parted)
    if policy == "refuse":
        raise DataError(
            f"this split leaks: {what}",
            where="; ".join(shown),
            expected="every group in one split: else the test holds images that training has seen",
            todo="choose with split.crossing: move_to_train (whole groups train), keep_test (the test keeps its "
            "images, the others of the group are left out) or allow (only to repeat a published figure)",
        )
    if policy == "allow":
        return split, [f"Warning: {what}, as split.crossing=allow permits: results leak. {'; '.join(shown)}"]
    settled: dict[str, str | None] = {str(image_id): name for image_id, name in split.items()}
    changed = 0
    for group in parted:
        strictest = max(group.splits, key=SPLITS.index)
        for image_id in group.image_ids:
            own = settled[image_id]
            new = "train" if policy == "move_to_train" else own if own == strictest else None
            changed += own != new
            settled[image_id] = new
    done = (
        f"{changed} images of them were moved to training"
        if policy == "move_to_train"
        else f"{changed} images of them outside the test (or validation) were left out"
    )
    return pd.Series(settled, dtype="string"), [f"Note: {what} upstream; {done}. {'; '.join(shown)}"]


def described(manifest: pd.DataFrame, split: pd.Series[str], parted: Sequence[CrossingGroup]) -> list[str]:
    """The first few parted groups in words: what holds each together, and its images by split."""
    ids = manifest["image_id"].astype(str)
    originals = manifest.get("attr.original_path", ids).astype(object)
    name_of = {image_id: image_id if pd.isna(name) else name for image_id, name in zip(ids, originals, strict=True)}
    words = []
    for group in parted[:_SHOWN]:
        members = []
        for name in group.splits:
            found = [name_of[image_id] for image_id in group.image_ids if split[image_id] == name]
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            members.append(f"{name} {', '.join(found[:3])}{more}")
        words.append(f"{link_words(manifest, group.image_ids)}: {'; '.join(members)}")
    if len(parted) > _SHOWN:
        words.append(f"and {len(parted) - _SHOWN} groups more")
    return words
