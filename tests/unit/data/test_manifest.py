"""The manifest: columns, types, formats and checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tenfold.core.errors import DataError
from tenfold.data.manifest import (
    COLUMNS,
    labels_of,
    make_manifest,
    manifest_rows,
    pack_ancestors,
    read_manifest,
    select_images,
    unpack_ancestors,
    write_manifest,
)
from tenfold.data.manifest_checks import check_ancestors, check_manifest


def row(number: int, **changes: Any) -> dict[str, Any]:
    base = {
        "image_id": f"{number:016x}",
        "path": f"data/images/{number}.png",
        "label": "df",
        "source": "real",
        "sha256": "0" * 64,
    }
    return base | changes


def test_all_columns_are_there_in_order_with_attributes_behind() -> None:
    manifest = make_manifest([row(1, **{"attr.z": "1", "attr.a": None, "age": 30, "skin_type": 4.0})])
    assert list(manifest.columns) == [*COLUMNS, "attr.a", "attr.z"]
    assert {name: str(manifest[name].dtype) for name in COLUMNS} == dict(COLUMNS)
    assert manifest["skin_type"][0] == 4
    assert next(manifest_rows(manifest))["patient_id"] is None


def test_unknown_columns_and_wrong_types_are_refused() -> None:
    with pytest.raises(DataError, match="unknown manifest columns: colour"):
        make_manifest([row(1, colour="red")])
    with pytest.raises(DataError, match="column skin_type"):
        make_manifest([row(1, skin_type=2.5)])


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_formats_give_the_table_back_and_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    rows = [
        row(1, caption="=HYPERLINK(1)", site="'quoted", age=2.5, seed=2**62, **{"attr.x": '-1, "a"\n b'}),
        row(2, label="vasc", ancestors=pack_ancestors(["b" * 16, "a" * 16, "b" * 16]), guidance_scale=3.0),
    ]
    manifest = make_manifest(rows)
    path = tmp_path / f"m{suffix}"
    write_manifest(manifest, path)
    first = path.read_bytes()
    pd.testing.assert_frame_equal(read_manifest(path), manifest)
    write_manifest(read_manifest(path), path)
    assert path.read_bytes() == first


def test_csv_cells_that_would_run_as_formulas_are_neutralized(tmp_path: Path) -> None:
    write_manifest(make_manifest([row(1, caption="=cmd()", site="@x", age=3)]), tmp_path / "m.csv")
    text = (tmp_path / "m.csv").read_text()
    assert "'=cmd()" in text and "'@x" in text and ",=" not in text


def test_unreadable_manifests_are_told_with_their_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such manifest"):
        read_manifest(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"bad\.parquet"):
        read_manifest(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="no manifest format"):
        read_manifest(tmp_path / "m.xlsx")
    (tmp_path / "m.jsonl").write_text("[1]\n")
    with pytest.raises(DataError, match="line 1 is no JSON object"):
        read_manifest(tmp_path / "m.jsonl")


def test_ancestors_cells() -> None:
    assert unpack_ancestors(pack_ancestors(["b", "a"])) == ("a", "b")
    assert unpack_ancestors(pd.NA) is None
    assert unpack_ancestors("[]") == ()
    for cell in ("a,b", "{}", "[1]"):
        with pytest.raises(DataError, match="ancestors"):
            unpack_ancestors(cell)


def test_select_images_keeps_the_order_asked_for() -> None:
    manifest = make_manifest([row(1), row(2), row(3)])
    assert select_images(manifest, ["3".zfill(16), "1".zfill(16)])["path"].tolist() == [
        "data/images/3.png",
        "data/images/1.png",
    ]
    with pytest.raises(DataError, match="1 image ids are not in the manifest"):
        select_images(manifest, ["f" * 16])
    assert labels_of(manifest) == ["df"]


def test_a_sound_manifest_has_no_faults() -> None:
    assert check_manifest(make_manifest([row(1), row(2, source="synthetic", split="train")])) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_id": "XYZ"}, "malformed image_id"),
        ({"image_id": f"{2:016x}"}, "share an image_id"),
        ({"label": None}, "have no label"),
        ({"path": "../x.png"}, "path that leaves the workspace"),
        ({"path": "/etc/x.png"}, "path that leaves the workspace"),
        ({"path": "a/../../x.png"}, "path that leaves the workspace"),
        ({"mask_path": "C:/x.png"}, "mask_path that leaves"),
        ({"source": "drawn"}, "unknown source"),
        ({"split": "validation"}, "unknown split"),
        ({"skin_type": 7}, "skin type outside"),
        ({"source": "synthetic", "split": "test"}, "synthetic and in the validation or test split"),
        ({"source": "synthetic", "split": "val"}, "synthetic and in the validation or test split"),
        ({"phash": "12"}, "malformed phash"),
        ({"review": "maybe"}, "unknown review state"),
    ],
)
def test_each_broken_rule_is_told(changes: dict[str, Any], words: str) -> None:
    errors = check_manifest(make_manifest([row(1, **changes), row(2)]))
    assert any(words in error.what for error in errors), errors


def test_a_path_with_dots_in_its_name_is_fine() -> None:
    assert check_manifest(make_manifest([row(1, path="data/images/a..b.png")])) == []


def test_missing_columns_are_named() -> None:
    errors = check_manifest(make_manifest([row(1)]).drop(columns=["sha256"]))
    assert "lacks the columns sha256" in errors[0].what


def test_ancestors_must_be_training_images() -> None:
    real = make_manifest([row(1, split="train"), row(2, split="test"), row(3)])
    ids = [f"{number:016x}" for number in (1, 2, 3, 9)]

    def errors(*ancestors: str) -> list[str]:
        made = make_manifest([row(8, source="synthetic", ancestors=pack_ancestors(ancestors))])
        return [f"{error.what} {error.where}" for error in check_ancestors(made, real)]

    assert errors(ids[0]) == []
    assert errors() == []
    assert "outside the training split" in errors(ids[1])[0] and "(test)" in errors(ids[1])[0]
    assert "no split" in errors(ids[2])[0]
    assert "no split of this workspace" in errors(ids[3])[0]
    unknown = check_ancestors(make_manifest([row(8, source="synthetic")]), real)
    assert "unknown ancestors" in unknown[0].what


def test_texts_kept_once_in_the_file_are_read_as_texts(tmp_path: Path) -> None:
    made = make_manifest([row(1, ancestors='["a"]'), row(2), row(3, ancestors='["a"]')])
    made.assign(ancestors=made["ancestors"].astype("category")).to_parquet(tmp_path / "manifest.parquet", index=False)
    found = read_manifest(tmp_path / "manifest.parquet")
    assert found["ancestors"].dtype == "string" and found["ancestors"].isna().tolist() == [False, True, False]
    assert found["ancestors"].iloc[0] is found["ancestors"].iloc[2]
    assert [one["ancestors"] for one in manifest_rows(found)] == ['["a"]', None, '["a"]']
