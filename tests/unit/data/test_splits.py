"""Splits: grouped, planned, sealed; what is said of classes that are too small."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError, InputError
from tenfold.data.splits import (
    CrossingGroup,
    SplitSize,
    crossing_groups,
    group_keys,
    grouped_split,
    planned_counts,
    read_sealed_split,
    seal_split,
    with_split,
    with_validation,
)
from tests.split_manifests import group_rows, grouped_manifest, manifest_of, plain, singles

TEST, VALIDATION = SplitSize(fraction=0.25), SplitSize(fraction=0.15)


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


@settings(max_examples=25, deadline=None)
@given(rows=group_rows, seed=st.integers(0, 5))
def test_no_group_crosses_and_row_order_does_not_matter(rows: list[tuple[str, int, int]], seed: int) -> None:
    manifest = grouped_manifest(rows)
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


def test_the_default_split_of_earlier_versions_stays(tmp_path: Path) -> None:
    rows = [
        (label, f"{label}{k // 3}" if k % 4 else None, f"shared{k}" if k in (5, 6) else None)
        for label in "abc"
        for k in range(14)
    ]
    manifest = manifest_of(rows)
    split = grouped_split(manifest, validation=VALIDATION, test=TEST, seed=11)
    assert "".join(name[1] for name in split) == "aeerrrrrerrraeaeerarrrerrrerarrrerrrreeear"  # tRain, vAl, tEst
    sealed = seal_split(tmp_path / "splits.json", manifest, split, seed=11)
    assert sealed.sha256 == "f80b1bf432c2d7436673f9c4ab9fc279656a770612521c2cf638ff5efd1f07ba"
    assert sealed.test_sha256 == "7fde11f387d4c711db7f9e58f08054be475ce1d3d2dd3231732108fe8e901635"
    assert set(json.loads((tmp_path / "splits.json").read_text())) == {
        "seed", "assignments", "sha256", "test_sha256", "counts",
    }  # fmt: skip
    sized = grouped_split(manifest, validation=SplitSize(per_class=2), test=SplitSize(per_class=4), seed=5)
    assert "".join(name[1] for name in sized) == "arrrrrrraeeereeeererrrrrrraaraarerrrerrree"


def test_planned_counts_are_those_of_the_split(tmp_path: Path) -> None:
    manifest = plain(21)
    planned = planned_counts(manifest, test=SplitSize(per_class=6), validation=VALIDATION, seed=4)
    split = grouped_split(manifest, test=SplitSize(per_class=6), validation=VALIDATION, seed=4)
    assert planned == seal_split(tmp_path / "splits.json", manifest, split, seed=4).counts
    assert planned["test"] == {"a": 6, "b": 6}
    assert sum(sum(counts.values()) for counts in planned_counts(manifest).values()) == len(manifest)


def test_crossing_groups_are_found_and_named() -> None:
    manifest = plain(12)
    split = grouped_split(manifest, validation=VALIDATION, test=TEST, seed=0)
    assert crossing_groups(manifest, split) == []
    parted = pd.Series({f"{k:016x}": "train" for k in range(20)} | {f"{k:016x}": "test" for k in (1, 4)})
    first, second = crossing_groups(manifest, parted)
    assert first == CrossingGroup(f"{0:016x}", ("train", "test"), (f"{0:016x}", f"{1:016x}"))
    assert second.image_ids == (f"{4:016x}", f"{5:016x}")


@settings(max_examples=20, deadline=None)
@given(rows=group_rows, seed=st.integers(0, 5))
def test_a_split_by_chance_crosses_where_its_groups_say(rows: list[tuple[str, int, int]], seed: int) -> None:
    manifest = grouped_manifest(rows)
    names = [("train", "val", "test")[(seed + 7 * k) % 3] for k in range(len(rows))]
    split = pd.Series(names, index=manifest["image_id"].tolist())
    keys = group_keys(manifest)
    table = pd.DataFrame({"key": keys.to_numpy(), "split": names})
    expected = table.groupby("key")["split"].nunique()
    assert [group.key for group in crossing_groups(manifest, split)] == sorted(expected.index[expected > 1])


def test_the_largest_number_that_every_class_can_give_is_named() -> None:
    manifest = manifest_of([(label, f"{label}{k}", None) for label, n in (("a", 30), ("b", 9)) for k in range(n)])
    message = r"'b' cannot give 20(.|\n)*test_per_class=7 is what every class can give"
    with pytest.raises(DataError, match=message) as told:
        grouped_split(manifest, validation=VALIDATION, test=SplitSize(per_class=20), seed=0)
    assert "'a'" not in str(told.value)
    assert grouped_split(manifest, validation=VALIDATION, test=SplitSize(per_class=7), seed=0).size == 39
    with pytest.raises(DataError, match="validation_per_class=2 is what every class can give"):
        grouped_split(manifest, validation=SplitSize(per_class=9), test=SplitSize(per_class=6), seed=0)


@settings(max_examples=20, deadline=None)
@given(rows=group_rows, asked=st.integers(4, 30))
def test_the_number_that_is_said_to_be_possible_is_possible(rows: list[tuple[str, int, int]], asked: int) -> None:
    manifest = grouped_manifest(rows)
    try:
        grouped_split(manifest, validation=VALIDATION, test=SplitSize(per_class=asked), seed=2)
    except InputError as error:
        said = re.search(r"test_per_class=(\d+)", str(error))
        if said:
            grouped_split(manifest, validation=VALIDATION, test=SplitSize(per_class=int(said[1])), seed=2)
            assert int(said[1]) < asked


def test_images_without_a_split_are_sealed_as_unused(tmp_path: Path) -> None:
    manifest = singles(10)
    split = grouped_split(manifest, validation=VALIDATION, test=TEST, seed=0)
    left_out = [image_id for image_id, name in split.items() if name == "train"][:3]
    split[left_out] = pd.NA
    path = tmp_path / "splits.json"
    sealed = seal_split(path, manifest, split, seed=0, details={"method": "ids"})
    assert read_sealed_split(path) == sealed
    assert sealed.unused == tuple(sorted(left_out)) and not sealed.assignments.keys() & set(left_out)
    table = with_split(manifest, sealed)
    assert len(table) == 17 and not set(table["image_id"]) & set(left_out)
    record = json.loads(path.read_text())
    record["details"]["unused"] = []
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="changed after it was sealed"):
        read_sealed_split(path)


def test_a_seal_needs_every_image_and_known_splits(tmp_path: Path) -> None:
    manifest = singles(3)
    split = pd.Series(["train"] * 6, index=manifest["image_id"].tolist())
    with pytest.raises(DataError, match="1 are in one of them only"):
        seal_split(tmp_path / "s.json", manifest, split.iloc[1:], seed=0)
    with pytest.raises(DataError, match="no split 'holdout'"):
        seal_split(tmp_path / "s.json", manifest, split.replace("train", "holdout"), seed=0)
    assert not (tmp_path / "s.json").exists()


def test_validation_is_drawn_from_training_groups_alone() -> None:
    manifest = plain(20)
    split = pd.Series(["test" if k % 20 < 6 else "train" for k in range(40)], index=manifest["image_id"].tolist())
    drawn = with_validation(manifest, split, SplitSize(per_class=4), seed=1)
    assert drawn[split == "test"].eq("test").all()
    assert drawn.value_counts().to_dict() == {"train": 20, "test": 12, "val": 8}
    assert crossing_groups(manifest, drawn) == []
    with pytest.raises(InputError, match="validation_per_class=12 is what every class can give"):
        with_validation(manifest, split, SplitSize(per_class=30), seed=1)
