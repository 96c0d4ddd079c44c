"""Stratified splits: shares kept in proportion beside the label, and columns that cannot stratify."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError, InputError
from tenfold.data.split_strata import allotted, strata
from tenfold.data.splits import SplitSize, crossing_groups, grouped_split
from tests.split_manifests import group_rows, grouped_manifest, singles

TEST, VALIDATION = SplitSize(fraction=0.25), SplitSize(fraction=0.15)


@settings(max_examples=100, deadline=None)
@given(counts=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 40), min_size=1), share=st.floats(0, 1))
def test_shares_add_up_and_never_exceed_what_there_is(counts: dict[str, int], share: float) -> None:
    target = round(share * sum(counts.values()))
    shares = allotted(target, counts)
    assert sum(shares.values()) == target
    assert all(0 <= shares[stratum] <= counts[stratum] for stratum in counts)
    assert all(abs(shares[s] - target * n / max(1, sum(counts.values()))) < 1 for s, n in counts.items())


def test_each_class_keeps_its_strata_in_proportion() -> None:
    groups = (["I-II"] * 20 + ["III-IV"] * 12 + ["V-VI"] * 8) * 2
    manifest = singles(40, skin_type_group=groups)
    plain = grouped_split(manifest, validation=VALIDATION, test=SplitSize(per_class=10), seed=3)
    split = grouped_split(
        manifest, validation=VALIDATION, test=SplitSize(per_class=10), seed=3, stratify_by=["skin_type_group"]
    )
    assert plain.tolist() != split.tolist()
    of_test = zip(manifest["label"], manifest["skin_type_group"], split, strict=True)
    counts = Counter((label, group) for label, group, name in of_test if name == "test")
    for label in "ab":
        assert [counts[(label, group)] for group in ("I-II", "III-IV", "V-VI")] == [5, 3, 2]


@settings(max_examples=20, deadline=None)
@given(rows=group_rows, seed=st.integers(0, 5), data=st.data())
def test_strata_part_no_group_and_row_order_does_not_matter(
    rows: list[tuple[str, int, int]], seed: int, data: st.DataObject
) -> None:
    manifest = grouped_manifest(rows)
    values = data.draw(st.lists(st.sampled_from(["f", "m", None]), min_size=len(rows), max_size=len(rows)))
    manifest["sex"] = pd.array([*values[:-1], "f"], dtype="string")
    try:
        split = grouped_split(manifest, validation=VALIDATION, test=TEST, seed=seed, stratify_by=["sex"])
    except InputError as error:
        assert "groups" in str(error) or "classes" in str(error)
        return
    assert crossing_groups(manifest, split) == []
    for name in ("train", "val", "test"):
        assert set(manifest["label"][(split == name).to_numpy()]) == set(manifest["label"])
    shuffled = manifest.sample(frac=1, random_state=seed).reset_index(drop=True)
    again = grouped_split(shuffled, validation=VALIDATION, test=TEST, seed=seed, stratify_by=["sex"])
    assert again.loc[split.index].tolist() == split.tolist()


def test_missing_values_and_estimated_skin_types_are_unknown() -> None:
    manifest = singles(3, skin_type=[1, 2, None, 1, 5, 6], skin_type_source=["given", "estimated", None] * 2)
    assert strata(manifest, ["skin_type"]) == ["1", "unknown", "unknown", "1", "unknown", "6"]
    manifest["skin_type_source"] = pd.array(["estimated"] * 6, dtype="string")
    with pytest.raises(DataError, match=r"skin_type is known of no image(.|\n)*estimated skin type stratifies nothing"):
        strata(manifest, ["skin_type"])


def test_columns_that_cannot_stratify() -> None:
    manifest = singles(15, sex=["f", "m"] * 15, age=[float(k) for k in range(30)])
    with pytest.raises(DataError, match=r"by 'sexx': there is no such column(.|\n)*one of sex"):
        strata(manifest, ["sexx"])
    with pytest.raises(DataError, match="by 'path': it is not a property"):
        strata(manifest, ["path"])
    with pytest.raises(DataError, match="site is known of no image"):
        strata(manifest, ["site"])
    with pytest.raises(DataError, match=r"age has 30 values(.|\n)*at most 24"):
        strata(manifest, ["age"])


def test_upstream_columns_need_no_prefix() -> None:
    manifest = singles(2, attr_source=["x", "y", "x", None], attr_clinic=["p", "p", "q", "q"])
    assert strata(manifest, ["source", "clinic"]) == ["x / p", "y / p", "x / q", "unknown / q"]
    assert strata(manifest, []) == [""] * 4
