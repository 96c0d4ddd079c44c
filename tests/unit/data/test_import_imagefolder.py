"""Imagefolders: metadata with file_name, split folders and class folders, as Hugging Face datasets lay them out."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tenfold.core.errors import DataError
from tenfold.data.importers import Listing, SourceOptions, detect_format, list_source
from tests.image_files import write_image

NAMES = ("train/df/a.png", "train/vasc/b.png", "test/df/c.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        write_image(tmp_path / name, number)
    return tmp_path


def told(listing: Listing) -> list[tuple[str, str, object]]:
    return sorted((item.name, item.label, item.fields.get("attr.split")) for item in listing.items)


EXPECTED = [("test/df/c.png", "df", "test"), ("train/df/a.png", "df", "train"), ("train/vasc/b.png", "vasc", "train")]


def test_split_folders_with_class_folders(photos: Path) -> None:
    write_image(photos / "train/stray.png", 9)
    listing = list_source(photos)
    assert listing.format == "imagefolder"
    assert told(listing) == EXPECTED
    assert [(row.path, row.reason) for row in listing.quarantined] == [("train/stray.png", "no_class_folder")]
    chosen = list_source(photos, SourceOptions(classes=["vasc"]))
    assert len(chosen.items) == 1 and chosen.other_classes == {"df": 2}
    with pytest.raises(DataError, match="column map was given, but the imagefolder has no metadata"):
        list_source(photos, SourceOptions(column_map={"label": "x"}))
    with pytest.raises(DataError, match="unknown classes: 'x'"):
        list_source(photos, SourceOptions(classes=["x"]))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_metadata_at_the_root(photos: Path, suffix: str) -> None:
    rows = [{"file_name": name, "text": f"words on {name}"} for name in NAMES]
    path = photos / f"metadata.{suffix}"
    if suffix == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif suffix == "csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    listing = list_source(photos)
    assert listing.format == "imagefolder"
    assert told(listing) == EXPECTED
    assert {item.fields["caption"] for item in listing.items} == {row["text"] for row in rows}
    assert listing.columns == {"image": "file_name", "caption": "text"}
    assert listing.reasons["label"] == "the folder the image lies in: no column tells it"
    assert listing.reasons["attr.split"] == "the split folder the image lies in"


def test_metadata_in_each_split(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "validation")):
        write_image(tmp_path / "data" / split / "a.png", number)
        text = f"file_name,diagnosis,split\na.png,df,\n{'b.png,vasc' if split == 'train' else 'a.png,'},\n"
        (tmp_path / "data" / split / "metadata.csv").write_text(text.replace(",split", "").replace(",\n", "\n"))
    listing = list_source(tmp_path)
    assert told(listing) == [("data/train/a.png", "df", "train"), ("data/validation/a.png", "df", "validation")]
    assert [(row.path, row.line, row.reason) for row in listing.quarantined] == [
        ("data/train/b.png", 3, "missing_file"), ("data/validation/a.png", 3, "no_label"),
    ]  # fmt: skip


def test_the_metadata_own_split_column_stays(photos: Path) -> None:
    (photos / "metadata.csv").write_text("file_name,label,split\ntrain/df/a.png,x,test\n")
    listing = list_source(photos)
    assert told(listing) == [("train/df/a.png", "x", "test")]


def test_nothing_tells_the_label(tmp_path: Path) -> None:
    write_image(tmp_path / "train/a.png", 1)
    (tmp_path / "metadata.csv").write_text("file_name,note\ntrain/a.png,x\n")
    with pytest.raises(DataError, match=r"nothing tells the label(.|\n)*file_name, note(.|\n)*--map label=COLUMN"):
        list_source(tmp_path)
    listing = list_source(tmp_path, SourceOptions(column_map={"label": "note"}))
    assert told(listing) == [("train/a.png", "x", "train")]


def test_what_is_no_imagefolder(tmp_path: Path) -> None:
    write_image(tmp_path / "df/a.png", 1)
    assert detect_format(tmp_path)[0] == "folder"
    with pytest.raises(DataError, match=r"no imagefolder(.|\n)*file_name column"):
        list_source(tmp_path, SourceOptions("imagefolder"))


def test_paths_that_leave_the_folder_are_refused(photos: Path, tmp_path: Path) -> None:
    (photos / "train/metadata.csv").write_text("file_name,label\n../test/df/c.png,df\n../../x.png,df\n")
    listing = list_source(photos)
    assert [item.name for item in listing.items] == ["test/df/c.png"]
    assert [row.reason for row in listing.quarantined] == ["leaves_source_root"]
