"""Folds: whole groups dealt out evenly, every image tested once."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError, InputError
from tenfold.data.split_folds import fold_numbers, fold_split
from tenfold.data.splits import crossing_groups
from tests.split_manifests import group_rows, grouped_manifest, manifest_of, plain, singles


@settings(max_examples=25, deadline=None)
@given(rows=group_rows, seed=st.integers(0, 5), folds=st.integers(3, 5))
def test_every_image_is_tested_once_and_no_group_crosses(
    rows: list[tuple[str, int, int]], seed: int, folds: int
) -> None:
    manifest = grouped_manifest(rows)
    try:
        numbers = fold_numbers(manifest, folds, seed=seed)
    except InputError as error:
        assert "folds" in str(error) or "classes" in str(error)
        return
    splits = [fold_split(numbers, fold, folds) for fold in range(folds)]
    for split in splits:
        assert crossing_groups(manifest, split) == []
        for name in ("train", "val", "test"):
            assert set(manifest["label"][(split == name).to_numpy()]) == set(manifest["label"])
    table = pd.concat(splits, axis=1)
    assert (table == "test").sum(axis=1).eq(1).all() and (table == "val").sum(axis=1).eq(1).all()
    shuffled = manifest.sample(frac=1, random_state=1).reset_index(drop=True)
    assert fold_numbers(shuffled, folds, seed=seed).loc[numbers.index].tolist() == numbers.tolist()


def test_folds_are_even_by_label_and_stratum_and_differ_by_seed() -> None:
    manifest = singles(20, sex=(["f"] * 15 + ["m"] * 5) * 2)
    numbers = fold_numbers(manifest, 5, seed=1, stratify_by=["sex"])
    counts = manifest.assign(fold=numbers.to_numpy()).groupby(["fold", "label", "sex"]).size()
    assert counts.xs("f", level="sex").eq(3).all() and counts.xs("m", level="sex").eq(1).all()
    assert fold_numbers(manifest, 5, seed=1).equals(fold_numbers(manifest, 5, seed=1))
    assert not fold_numbers(manifest, 5, seed=1).equals(fold_numbers(manifest, 5, seed=2))


def test_the_fold_after_the_test_validates() -> None:
    numbers = pd.Series([0, 1, 2, 3], index=list("wxyz"))
    assert fold_split(numbers, 1, 4).to_dict() == {"w": "train", "x": "test", "y": "val", "z": "train"}
    assert fold_split(numbers, 3, 4).to_dict() == {"w": "val", "x": "train", "y": "train", "z": "test"}
    with pytest.raises(DataError, match=r"no fold 4 of 4(.|\n)*0 to 3"):
        fold_split(numbers, 4, 4)


def test_classes_too_small_for_the_folds() -> None:
    manifest = manifest_of([("a", f"a{k}", None) for k in range(9)] + [("b", f"b{k % 4}", None) for k in range(9)])
    with pytest.raises(DataError, match=r"'b' has 9 images in 4 groups, too few for 5 folds(.|\n)*split.folds=4"):
        fold_numbers(manifest, 5, seed=0)
    tiny = manifest_of([("a", f"a{k}", None) for k in range(9)] + [("b", "one", None)] * 5)
    with pytest.raises(DataError, match=r"'b' has 5 images in 1 groups(.|\n)*leave the class out"):
        fold_numbers(tiny, 3, seed=0)
    with pytest.raises(DataError, match="2 folds are too few"):
        fold_numbers(plain(9), 2, seed=0)
    with pytest.raises(DataError, match="only 'a'"):
        fold_numbers(plain(9, ["a"]), 3, seed=0)
    synthetic = plain(9).assign(source="synthetic")
    with pytest.raises(DataError, match="synthetic images cannot be split"):
        fold_numbers(synthetic, 3, seed=0)
