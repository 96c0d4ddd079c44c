"""Splits and subsets: grouped, stratified, sealed, nested."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError, InputError
from tenfold.data.manifest import make_manifest
from tenfold.data.splits import (
    SplitSize,
    group_keys,
    grouped_split,
    read_sealed_split,
    seal_split,
    with_split,
)
from tenfold.data.subsets import nested_subset

TEST, VALIDATION = SplitSize(fraction=0.25), SplitSize(fraction=0.15)

Rows = Sequence[tuple[str, str | None, str | None]]


def manifest_of(rows: Rows) -> pd.DataFrame:
    """rows: (label, patient, lesion)."""
    made: list[dict[str, Any]] = [
        {
            "image_id": f"{number:016x}", "path": f"{number}.png", "label": label, "source": "real",
            "sha256": f"{number:064x}", "patient_id": patient, "lesion_id": lesion,
        }
        for number, (label, patient, lesion) in enumerate(rows)
    ]  # fmt: skip
    return make_manifest(made)


def plain(count: int, labels: Sequence[str] = ("a", "b")) -> pd.DataFrame:
    return manifest_of([(label, f"{label}{k // 2}", None) for label in labels for k in range(count)])


def test_groups_join_over_patient_lesion_group_and_near_duplicates() -> None:
    manifest = manifest_of(
        [("a", "p1", "l1"), ("a", None, "l1"), ("b", "p1", None), ("b", None, None), ("b", None, None)]
    )
    manifest["phash"] = pd.array([None, None, None, "00000000000000ff", "00000000000000f0"], dtype="string")
    keys = group_keys(manifest).tolist()
    assert keys[0] == keys[1] == keys[2] == f"{0:016x}"
    assert keys[3] == keys[4] == f"{3:016x}"
    manifest.loc[4, "phash"] = "0000000000000000"
    keys = group_keys(manifest).tolist()
    assert keys[3] != keys[4]
    manifest["group_id"] = pd.array(["x", None, None, "x", None], dtype="string")
    assert len(set(group_keys(manifest))) == 2


rows_strategy = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 12), st.integers(0, 20)), min_size=20, max_size=60
)


@settings(max_examples=25, deadline=None)
@given(rows=rows_strategy, seed=st.integers(0, 5))
def test_no_group_crosses_and_row_order_does_not_matter(rows: list[tuple[str, int, int]], seed: int) -> None:
    manifest = manifest_of([(label, f"p{p}" if p else None, f"l{n}" if n else None) for label, p, n in rows])
    try:
        split = grouped_split(manifest, validation=VALIDATION, test=TEST, seed=seed)
    except InputError as error:
        assert "groups" in str(error) or "classes" in str(error)
        return
    table = pd.DataFrame({"key": group_keys(manifest).to_numpy(), "split": split.loc[manifest["image_id"]].to_numpy()})
    assert (table.groupby("key")["split"].nunique() == 1).all()
    for name in ("train", "val", "test"):
        assert set(manifest["label"][(split == name).to_numpy()]) == set(manifest["label"])
    shuffled = manifest.sample(frac=1, random_state=1).reset_index(drop=True)
    again = grouped_split(shuffled, validation=VALIDATION, test=TEST, seed=seed)
    assert again.loc[split.index].tolist() == split.tolist()


def test_sizes_per_class_are_met_and_seeds_differ() -> None:
    manifest = plain(40)
    sizes = {"test": SplitSize(per_class=10), "validation": SplitSize(per_class=4)}
    splits = [grouped_split(manifest, **sizes, seed=seed) for seed in (1, 1, 2)]
    assert splits[0].equals(splits[1]) and not splits[0].equals(splits[2])
    for label in ("a", "b"):
        chosen = splits[0][(manifest["label"] == label).to_numpy()]
        assert chosen.value_counts().to_dict() == {"train": 26, "test": 10, "val": 4}


def test_a_group_larger_than_the_fraction_is_taken_whole() -> None:
    manifest = manifest_of([(label, f"{label}{k // 5}", None) for label in "ab" for k in range(15)])
    split = grouped_split(manifest, validation=SplitSize(fraction=0.1), test=SplitSize(fraction=0.1), seed=0)
    assert split.value_counts().to_dict() == {"train": 10, "val": 10, "test": 10}


def test_too_small_classes_say_what_is_possible() -> None:
    manifest = manifest_of([("a", f"a{k}", None) for k in range(9)] + [("b", f"b{k}", None) for k in range(9)])
    with pytest.raises(InputError, match=r"cannot give 40 images for the test split(.|\n)*at most 7"):
        grouped_split(manifest, validation=VALIDATION, test=SplitSize(per_class=40), seed=0)
    with pytest.raises(InputError, match=r"for the val split(.|\n)*at most 2"):
        grouped_split(manifest, validation=SplitSize(per_class=5), test=SplitSize(per_class=6), seed=0)


def test_a_class_with_one_image_and_a_class_of_one_patient() -> None:
    many = [(label, f"{label}{k}", None) for label in "ab" for k in range(9)]
    with pytest.raises(DataError, match=r"'c' has 1 images in 1 groups(.|\n)*at least 3 groups(.|\n)*classes=\[a,b\]"):
        grouped_split(manifest_of([*many, ("c", None, None)]), validation=VALIDATION, test=TEST, seed=0)
    with pytest.raises(DataError, match="'c' has 8 images in 1 groups"):
        grouped_split(manifest_of([*many, *[("c", "one", None)] * 8]), validation=VALIDATION, test=TEST, seed=0)


def test_one_class_and_synthetic_rows_are_refused() -> None:
    with pytest.raises(DataError, match="only 'a'"):
        grouped_split(plain(9, ["a"]), validation=VALIDATION, test=TEST, seed=0)
    manifest = plain(9)
    manifest.loc[0, "source"] = "synthetic"
    with pytest.raises(DataError, match="synthetic images cannot be split"):
        grouped_split(manifest, validation=VALIDATION, test=TEST, seed=0)


@pytest.mark.parametrize("size", [{}, {"per_class": 1, "fraction": 0.5}, {"per_class": 0}, {"fraction": 1.0}])
def test_impossible_sizes(size: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        SplitSize(**size)


def test_a_sealed_split_cannot_be_changed_unseen(tmp_path: Path) -> None:
    manifest = plain(20)
    split = grouped_split(manifest, validation=VALIDATION, test=TEST, seed=3)
    path = tmp_path / "splits.json"
    sealed = seal_split(path, manifest, split, seed=3)
    assert read_sealed_split(path) == sealed
    table = with_split(manifest, sealed)
    assert table["split"].tolist() == split.tolist()
    assert sealed.counts["test"] == {"a": 4, "b": 4}  # pairs are not parted to make 5
    record = json.loads(path.read_text())
    record["assignments"][f"{0:016x}"] = "val"
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="changed after it was sealed"):
        read_sealed_split(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        read_sealed_split(path)
    path.unlink()
    with pytest.raises(DataError, match="not split yet"):
        read_sealed_split(path)


def test_changed_test_rows_and_foreign_manifests_are_noticed(tmp_path: Path) -> None:
    manifest = plain(20)
    split = grouped_split(manifest, validation=VALIDATION, test=TEST, seed=3)
    sealed = seal_split(tmp_path / "s.json", manifest, split, seed=3)
    test_row = int((split == "test").to_numpy().argmax())
    changed = manifest.copy()
    changed.loc[test_row, "sha256"] = "f" * 64
    with pytest.raises(DataError, match="test images were changed"):
        with_split(changed, sealed)
    with pytest.raises(DataError, match="1 are gone"):
        with_split(manifest.iloc[1:], sealed)


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(0, 12), min_size=2, max_size=2), seed=st.integers(0, 9))
def test_subsets_nest(sizes: list[int], seed: int) -> None:
    manifest = plain(12)
    small, large = (nested_subset(manifest, per_class=size, seed=seed) for size in sorted(sizes))
    assert set(small) <= set(large)
    assert len(small) == 2 * min(sizes)
    shuffled = manifest.sample(frac=1, random_state=seed)
    assert nested_subset(shuffled, per_class=max(sizes), seed=seed) == large


def test_subsets_spread_over_groups_first() -> None:
    manifest = manifest_of([("a", f"p{k % 3}", None) for k in range(9)] + [("b", f"q{k}", None) for k in range(9)])
    patient = dict(zip(manifest["image_id"], manifest["patient_id"], strict=True))
    for seed in range(5):
        ids = nested_subset(manifest, per_class=3, seed=seed)
        assert {patient[image_id] for image_id in ids[:3]} == {"p0", "p1", "p2"}
    assert nested_subset(manifest, per_class=3, seed=0) != nested_subset(manifest, per_class=3, seed=1)


def test_subsets_larger_than_the_class() -> None:
    with pytest.raises(DataError, match=r"'a' has 4(.|\n)*at most 4 per class"):
        nested_subset(plain(4), per_class=5, seed=0)
