"""Upstream splits: columns, id lists, and groups that they part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError, FaultsError
from tenfold.data.split_crossing import settle_crossings
from tenfold.data.split_groups import group_keys
from tenfold.data.split_id_files import read_ids
from tenfold.data.split_lists import check_every_class, listed_split, upstream_split
from tenfold.data.splits import crossing_groups
from tests.split_manifests import group_rows, grouped_manifest, image_id, manifest_of, singles


def upstream(manifest: pd.DataFrame, **changes: Any) -> Any:
    return upstream_split(manifest, **{"column": "attr.split", "values": {}, "rest": "refuse"} | changes)


def listed(manifest: pd.DataFrame, **changes: Any) -> Any:
    lists = {name: changes.pop(name) for name in ("train", "val", "test") if name in changes}
    return listed_split(manifest, lists, **{"id_column": None, "rest": "drop"} | changes)


def test_the_usual_names_of_splits_are_known() -> None:
    manifest = singles(4, attr_split=["Training", " test ", "valid", "dev", "train", "TEST", "val", "validation"])
    found = upstream(manifest)
    assert found.split.tolist() == ["train", "test", "val", "val"] * 2 and found.notes == ()
    assert upstream(manifest, column="split").split.equals(found.split)
    by_source = singles(2, attr_source=["train", "test"] * 2)  # the manifest's own `source` is real or synthetic
    assert upstream(by_source, column="source").split.tolist() == ["train", "test"] * 2


def test_other_names_need_a_meaning() -> None:
    manifest = singles(2, attr_fold=["1", "2", "1", "holdout"])
    with pytest.raises(
        DataError, match=r"attr.fold has values(.|\n)*'1' \(2 images\)(.|\n)*upstream_values=\{1: test\}"
    ):
        upstream(manifest, column="fold")
    values = {"1": "train", "2": "val", "HOLDOUT": "test"}
    assert upstream(manifest, column="fold", values=values).split.tolist() == ["train", "val", "train", "test"]


def test_a_column_that_is_not_there() -> None:
    manifest = singles(2, attr_splits=["train"] * 4)
    with pytest.raises(DataError, match=r"no image has a value in the column 'attr.split'(.|\n)*attr.splits"):
        upstream(manifest)


def test_images_without_a_split_are_an_error_or_told() -> None:
    manifest = singles(2, attr_split=["train", None, "test", None])
    with pytest.raises(DataError, match=r"2 images have no value in attr.split: a 1, b 1(.|\n)*train(.|\n)*or drop"):
        upstream(manifest)
    trained = upstream(manifest, rest="train")
    assert trained.split.tolist() == ["train", "train", "test", "train"] and "training images" in trained.notes[0]
    dropped = upstream(manifest, rest="drop")
    assert dropped.split.isna().tolist() == [False, True, False, True] and "in no split" in dropped.notes[0]


def test_ids_match_by_image_id_column_path_name_or_stem() -> None:
    manifest = singles(
        4,
        attr_md5hash=["d41d8cd98f00b204e9800998ecf8427e", *[None] * 7],
        attr_original_path=[f"images/{'ab'[k // 4]}/photo.{k}.jpg" for k in range(8)],
    )
    names = ["D41D8CD98F00B204E9800998ECF8427E.jpg", image_id(1), "images/a/photo.2.jpg", "photo.3.jpg", "photo.4"]
    found = listed(manifest, train=names, test=["a\\photo.5.jpg"], val=["b/photo.6.png"])
    assert found.split.tolist()[:7] == ["train"] * 5 + ["test", "val"]
    assert found.split.isna().tolist()[7] and "1 images are in none of the lists: b 1" in found.notes[0]


def test_unknown_ids_are_told_and_a_list_of_strangers_is_refused() -> None:
    manifest = singles(4)
    found = listed(manifest, train=[image_id(0), "gone"], test=[image_id(1)])
    assert "1 of 2 ids in the list of train are of no image here: gone" in found.notes[0]
    with pytest.raises(DataError, match=r"none of the 2 ids in the list of test(.|\n)*ids such as 0000"):
        listed(manifest, train=[image_id(0)], test=["x", "y"])


def test_images_in_two_lists_and_ambiguous_ids_are_refused_at_once() -> None:
    manifest = singles(2, attr_original_path=["a/1.png", "a/2.png", "b/1.png", "b/2.png"])
    with pytest.raises(
        FaultsError, match=r"'1.png' in the list of train fits 2 images(.|\n)*1 images are in two lists"
    ):
        listed(manifest, train=["1.png", "a/2.png"], test=["a/2.png", "b/2.png"])


def test_a_named_column_may_hold_several_images_of_an_id() -> None:
    manifest = manifest_of([(label, f"p{k}", None) for label in "ab" for k in range(3)])
    found = listed(manifest, train=["p0"], val=["p1"], test=["p2"], id_column="patient_id")
    assert found.split.tolist() == ["train", "val", "test"] * 2
    with pytest.raises(DataError, match="no image has a value in the column 'lesion_id'"):
        listed(manifest, train=["p0"], id_column="lesion_id")


def test_classes_without_a_split_are_named() -> None:
    manifest = singles(3, labels="abc")
    split = pd.Series(["train", "val", "test"] * 2 + ["train", "train", "test"], index=manifest["image_id"].tolist())
    with pytest.raises(DataError, match=r"no val image of c(.|\n)*intake.classes=\[a,b\]"):
        check_every_class(manifest, split)
    check_every_class(manifest, split, ("train", "test"))


@pytest.mark.parametrize(
    "text",
    [
        "one\n\n two \n",
        "\ufeffmd5hash,label\none,a\ntwo,b\n,c\n",
        "label;isic_id\na;one\nb;two\n",
        '"image"\n"one"\n"two"\n',
        "row\timage_id\n1\tone\n2\ttwo\n",
    ],
)
def test_lists_are_text_or_tables(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8")
    assert read_ids(path) == ["one", "two"]


def test_lists_in_latin_1_and_by_a_named_column(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("image;Fall\nx;Fu\u00df 1\n".encode("latin-1"))
    assert read_ids(path, "attr.fall") == ["Fu\u00df 1"]
    with pytest.raises(DataError, match=r"no column 'fal'(.|\n)*fall"):
        read_ids(path, "fal")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b" \n", "empty"),
        (b"a\0b", "no text"),
        (b"x,y\n1,2\n", "no column of the table is known"),
        (None, "no such list"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path: Path, data: bytes | None, message: str) -> None:
    path = tmp_path / "list.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_ids(path)


def crossed() -> tuple[pd.DataFrame, pd.Series[str]]:
    manifest = manifest_of(
        [("a", "p1", None), ("a", "p1", None), ("b", None, "l1"), ("b", None, "l1"), ("b", None, None)],
        attr_original_path=[f"{k}.png" for k in range(5)],
    )
    names = ["train", "test", "val", "train", "test"]
    return manifest, pd.Series(names, index=manifest["image_id"].tolist(), dtype="string")


def test_parted_groups_are_refused_with_their_names() -> None:
    manifest, split = crossed()
    with pytest.raises(DataError) as told:
        settle_crossings(manifest, split, "refuse", keys=group_keys(manifest))
    text = str(told.value)
    assert "2 groups of patient, lesion or near-duplicates (4 images) lie in more than one split" in text
    assert "patient_id p1: train 0.png; test 1.png" in text and "lesion_id l1: train 3.png; val 2.png" in text
    assert "move_to_train" in text and "keep_test" in text


def test_parted_groups_move_stay_or_are_left_out_as_told() -> None:
    manifest, split = crossed()
    keys = group_keys(manifest)
    moved, notes = settle_crossings(manifest, split, "move_to_train", keys=keys)
    assert moved.tolist() == ["train"] * 4 + ["test"] and "2 images of them were moved to training" in notes[0]
    kept, notes = settle_crossings(manifest, split, "keep_test", keys=keys)
    assert kept.fillna("-").tolist() == ["-", "test", "val", "-", "test"] and "2 images of them outside" in notes[0]
    allowed, notes = settle_crossings(manifest, split, "allow", keys=keys)
    assert allowed.equals(split) and notes[0].startswith("Warning: 2 groups") and "results leak" in notes[0]
    assert settle_crossings(manifest, moved, "refuse", keys=keys)[1] == []


@settings(max_examples=20, deadline=None)
@given(rows=group_rows, seed=st.integers(0, 99), policy=st.sampled_from(["move_to_train", "keep_test"]))
def test_no_settled_group_crosses(rows: list[tuple[str, int, int]], seed: int, policy: Any) -> None:
    manifest = grouped_manifest(rows)
    names = [("train", "val", "test")[(seed + 5 * k * k) % 3] for k in range(len(rows))]
    split = pd.Series(names, index=manifest["image_id"].tolist(), dtype="string")
    settled, _ = settle_crossings(manifest, split, policy, keys=group_keys(manifest))
    assert settled.index.equals(split.index)
    assert crossing_groups(manifest, settled) == []
    kept = settled.dropna()
    unchanged = kept == split[kept.index]
    assert unchanged.all() if policy == "keep_test" else kept[~unchanged].eq("train").all()
