"""Tables of bad input: odd encodings, cells, labels, ids and widths are read, or set aside with a reason."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.data.import_items import Listing
from tenfold.data.importers import SourceOptions, import_folder, import_table, list_source
from tenfold.data.label_spelling import one_spelling
from tenfold.data.table_columns import MOST_ATTRIBUTES
from tenfold.data.table_layout import TableLayout
from tenfold.data.table_reading import read_columns
from tests.image_files import write_class_folders, write_image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """a.png, b.png and c.png in one folder."""
    for number, name in enumerate("abc"):
        write_image(tmp_path / f"s/{name}.png", number)
    return tmp_path / "s"


def listed(folder: Path, lines: Sequence[str], encoding: str = "utf-8", name: str = "metadata.csv") -> Listing:
    (folder / name).write_bytes("\r\n".join(lines).encode(encoding))
    return import_table(folder / name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "latin-1"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_encodings_and_separators(photos: Path, encoding: str, mark: str) -> None:
    rows = (("image", "label", "site"), ("a", "naevus", "Gesäß"), ("b", "mélanome", ""))
    listing = listed(photos, [mark.join(row) for row in rows], encoding)
    assert [(item.label, item.fields.get("site")) for item in listing.items] == [
        ("naevus", "Gesäß"),
        ("mélanome", None),
    ]
    note = "metadata.csv is not UTF-8: read as Windows-1252; check accented letters"
    assert (note in listing.notes) == (encoding in ("cp1252", "latin-1"))


def test_labels_are_trimmed_and_mixed_case_is_one_class(photos: Path) -> None:
    write_image(photos / "d.png", 9)
    listing = listed(photos, ["image,label", "a, Nevus ", "b,nevus", "c,nevus", "d,NEVUS"])
    assert {item.label for item in listing.items} == {"nevus"}
    assert listing.notes[0] == "labels spelled in several ways: 'NEVUS' (1 rows), 'Nevus' (1 rows) counted as 'nevus'"
    chosen = import_table(photos / "metadata.csv", classes=["NEVUS"])
    assert len(chosen.items) == 4 and {item.label for item in chosen.items} == {"NEVUS"}


def test_equally_frequent_spellings_give_the_first() -> None:
    assert one_spelling({"b": 1, "B": 1})("b") == "B"
    assert not one_spelling({"a": 1, "b": 2}).notes


def test_class_folders_of_mixed_case_are_one_class(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"Nevus": 1, "nevus": 2, "df": 1})
    listing = import_folder(root)
    assert sorted(item.label for item in listing.items) == ["df", "nevus", "nevus", "nevus"]
    assert "'Nevus' (1 rows) counted as 'nevus'" in listing.notes[0]


def test_cells_that_say_nothing(photos: Path) -> None:
    listing = listed(photos, ["image,label", "a,nan", "b,  ", ",df", "c,df", ",", ""])
    assert [(row.line, row.reason, row.detail) for row in listing.quarantined] == [
        (2, "no_label", "column label says 'nan'"),
        (3, "no_label", "column label is empty"),
        (4, "no_image_name", "column image is empty"),
    ]
    assert [item.line for item in listing.items] == [5]


def test_an_image_named_twice_is_told(photos: Path) -> None:
    listing = listed(photos, ["image,label", "a,df", "b,df", "a.png,vasc"])
    assert len(listing.items) == 3
    assert "1 rows name an image that an earlier row names, e.g. line 4: a.png, as in line 2" in listing.notes


def test_thousands_of_columns(photos: Path) -> None:
    names = [f"feature {number}" for number in range(5000)]
    cells = ",".join("1" for _ in names)
    listing = listed(photos, [f"image,{','.join(names)},dx", *[f"{name},{cells},df" for name in "abc"]])
    assert len([name for name in listing.items[0].fields if name.startswith("attr.")]) == MOST_ATTRIBUTES
    assert "the table has 5002 columns" in listing.notes[0] and "4744 are left out" in listing.notes[0]
    with pytest.raises(DataError, match=r"no column 'feature 50000'(.|\n)*did you mean 'feature 5000'|'feature \d+'"):
        import_table(photos / "metadata.csv", {"label": "feature 50000"})


@pytest.mark.parametrize(
    ("column_map", "words"),
    [
        ({"label": "diagnose"}, r"no column 'diagnose'(.|\n)*did you mean 'dignosis' for 'diagnose'"),
        ({"patient": "image"}, r"unknown columns in the column map: patient(.|\n)*did you mean 'patient_id'"),
        (
            {},
            r"no column of the table tells the label(.|\n)*column_map={label: COLUMN}\); did you mean 'dignosis'",
        ),
    ],
)
def test_a_missing_column_offers_the_nearest_names(photos: Path, column_map: dict[str, str], words: str) -> None:
    (photos / "metadata.csv").write_text("image,dignosis\na,df\n")
    with pytest.raises(DataError, match=words):
        import_table(photos / "metadata.csv", column_map)


def test_long_and_accented_names(tmp_path: Path) -> None:
    long, accented = "x" * 200, "lésion Ⅳ 皮膚"
    write_image(tmp_path / f"s/{long}.png", 1)
    write_image(tmp_path / "s" / (unicodedata.normalize("NFD", accented) + ".png"), 2)
    listing = listed(tmp_path / "s", ["image,label", f"{long},df", f"{unicodedata.normalize('NFC', accented)},df"])
    assert len(listing.items) == 2 and not listing.quarantined


def test_a_name_that_is_no_text_is_set_aside(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 2})
    (root / "df/image_1.png").rename(root / "df" / os.fsdecode(b"b\xff.png"))
    listing = import_folder(root)
    assert [(row.path, row.reason) for row in listing.quarantined] == [("df/b?.png", "unreadable_name")]
    assert "no text in UTF-8" in listing.quarantined[0].detail


@pytest.mark.parametrize(("cell", "age"), [("034Y", 34.0), ("006M", 0.5), ("61.5", 61.5), ("414", None), ("old", None)])
def test_ages(photos: Path, cell: str, age: float | None) -> None:
    fields = listed(photos, ["image,label,age", f"a,df,{cell}"]).items[0].fields
    assert fields.get("age") == age
    assert fields.get("attr.age") == (None if age is not None else cell)


def test_an_unknown_skin_type_stays_unknown_and_a_missing_one_is_missing(photos: Path) -> None:
    listing = listed(photos, ["image,label,fst", "a,df,unknown", "b,df,-1", "c,df,"])
    assert [item.fields.get("skin_type_source") for item in listing.items] == ["given", "given", None]
    assert not any("skin_type" in item.fields for item in listing.items)


def test_tables_beside_class_folders_are_told(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 1, "vasc": 1})
    (root / "labels.csv").write_text("image,label\nimage_0,df\n")
    listing = list_source(root)
    assert listing.format == "folder"
    assert listing.notes == ("not read: labels.csv; to use a table, name it as the source, or its kind by --format",)


def test_a_tab_file_is_a_table(photos: Path) -> None:
    (photos / "t.tab").write_text('"image"\t"dx"\n"a"\t"df"\n')
    assert [item.label for item in list_source(photos / "t.tab", SourceOptions("table")).items] == ["df"]


def test_columns_are_read_without_the_rows(photos: Path) -> None:
    import pandas as pd

    (photos / "t.csv").write_text("\ufeff a ; b\n1;2\n", encoding="utf-8")
    (photos / "t.jsonl").write_text('\n{"a": 1, "b": 2}\n')
    pd.DataFrame({"a": [1], "b": [2]}).to_parquet(photos / "t.parquet")
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        assert read_columns(photos / name) == ("a", "b")
    (photos / "broken.parquet").write_bytes(b"no")
    (photos / "broken.jsonl").write_text("[1]\n")
    for name in ("broken.parquet", "broken.jsonl", "gone.csv"):
        assert read_columns(photos / name) == ()


def test_each_refusal_says_why(photos: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "secret.png", 9)
    write_image(photos / "a.jpg", 8)
    (photos / "out.png").symlink_to(tmp_path / "secret.png")
    (photos / "loop.png").symlink_to(photos / "loop.png")
    (photos / "folder").mkdir()
    cells = ["../secret.png", "out.png", "loop.png", "http://x.invalid/a.png", "a", "folder", "gone", "x" * 300]
    listing = listed(photos, ["image,label", *[f"{cell},df" for cell in cells]])
    assert [row.detail for row in listing.quarantined] == [
        "the path leads out of the source folder",
        "a link leads out of the source folder",
        "a link that leads nowhere",
        "a web address: nothing is downloaded",
        "several files fit: a.png, a.jpg",
        *["no such image beside the table or in its images folder"] * 3,
    ]


names = st.sampled_from(["a", "b", "gone", "", "../x"])
labels = st.sampled_from(["df", "DF", "df|nv", "nv", "", "nan"])


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(names, labels), min_size=1, max_size=20),
    classes=st.sampled_from([None, ["df"], ["nv", "df"]]),
)
def test_every_row_is_an_image_or_set_aside_or_of_another_class(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], classes: list[str] | None
) -> None:
    root = tmp_path_factory.mktemp("source")
    for number, name in enumerate("ab"):
        write_image(root / f"{name}.png", number)
    (root / "t.csv").write_text("\n".join(["image,label,note", *[f"{image},{label},x" for image, label in rows]]))
    found = {part.lower() for _, label in rows for part in label.split("|")} - {"", "nan"}
    wanted = None if classes is None else [name for name in classes if name in found]
    listing = import_table(root / "t.csv", None, wanted, TableLayout(separator="|"))
    counted = len(listing.items) + len(listing.quarantined) + sum(listing.other_classes.values())
    assert counted == len(rows)
    assert {item.label.lower() for item in listing.items} <= set(found if wanted is None else wanted)
