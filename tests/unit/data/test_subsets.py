"""Subsets: nested, spread over groups, independent of row order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.data.splits import group_keys
from tenfold.data.subsets import nested_subset
from tests.split_manifests import group_rows, grouped_manifest, manifest_of, plain


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
    with pytest.raises(DataError, match=r"'a' has 4(.|\n)*at most 4 per class") as refused:
        nested_subset(plain(4), per_class=5, seed=0)
    assert all(way in str(refused.value) for way in ("--images-per-class", "--classes", "intake.classes"))


@settings(max_examples=20, deadline=None)
@given(rows=group_rows, seed=st.integers(0, 5))
def test_each_larger_subset_holds_the_smaller_whatever_the_groups(rows: list[tuple[str, int, int]], seed: int) -> None:
    manifest = grouped_manifest(rows)
    counts = manifest["label"].value_counts()
    keys = dict(zip(manifest["image_id"], group_keys(manifest), strict=True))
    before: set[str] = set()
    for size in range(int(counts.min()) + 1):
        ids = nested_subset(manifest, per_class=size, seed=seed)
        assert before <= set(ids) and len(set(ids)) == size * len(counts)
        before = set(ids)
    assert len({keys[image_id] for image_id in nested_subset(manifest, per_class=1, seed=seed)}) <= len(counts)
    with pytest.raises(DataError, match=f"at most {counts.min()} per class"):
        nested_subset(manifest, per_class=int(counts.min()) + 1, seed=seed)
