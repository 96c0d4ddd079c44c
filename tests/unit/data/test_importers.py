"""Importers: folders and tables are listed whole, columns found, and nothing outside the source is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.data.importers import Listing, SourceOptions, detect_format, import_folder, import_table, list_source
from tests.image_files import write_class_folders, write_image


def reasons(listing: Listing) -> dict[str, str]:
    return {row.path: row.reason for row in listing.quarantined}


def write_table(path: Path, lines: Sequence[str], encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """images/df/a.png, images/vasc/b.jpg and flat.png at the root of a source."""
    write_image(tmp_path / "s/images/df/a.png", 1)
    write_image(tmp_path / "s/images/vasc/b.jpg", 2)
    write_image(tmp_path / "s/flat.png", 3)
    return tmp_path / "s"


def test_a_folder_per_class(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"b": 2, "a": 3})
    write_image(root / "a/patient 1/deep.PNG", 90)
    (root / "a/image_0.txt").write_text("Early,\n grey lesion ", encoding="utf-8")
    for name in ("a/readme.pdf", "a/alone.txt", ".hidden.png", "a/Thumbs.db"):
        (root / name).write_bytes(b"x")
    write_image(root / "stray.png", 91)
    listing = import_folder(root)
    assert [item.name for item in listing.items] == [
        "a/image_0.png", "a/image_1.png", "a/image_2.png", "a/patient 1/deep.PNG", "b/image_0.png", "b/image_1.png",
    ]  # fmt: skip
    assert [item.label for item in listing.items] == ["a"] * 4 + ["b"] * 2
    assert listing.items[0].fields == {"caption": "Early, grey lesion", "attr.caption_source": "sidecar"}
    assert reasons(listing) == {
        "stray.png": "no_class_folder", "a/readme.pdf": "not_an_image", "a/alone.txt": "not_an_image",
    }  # fmt: skip


def test_chosen_classes_and_those_left_out(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s" / "images", {"akiec": 2, "df": 1, "vasc": 3}).parent
    listing = import_folder(root, ["df", "vasc"])
    assert {item.label for item in listing.items} == {"df", "vasc"}
    assert listing.other_classes == {"akiec": 2}
    with pytest.raises(DataError, match=r"unknown classes: 'vas'(.|\n)*akiec, df, vasc(.|\n)*did you mean 'vasc'"):
        import_folder(root, ["vas"])
    with pytest.raises(DataError, match="choose from the list"):
        import_folder(root, ["zzzz"])


def test_empty_and_flat_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        list_source(tmp_path / "empty")
    write_image(tmp_path / "flat/a.png", 1)
    with pytest.raises(DataError, match=r"lie in no class folder(.|\n)*one folder per class"):
        list_source(tmp_path / "flat")
    with pytest.raises(DataError, match="no such source"):
        list_source(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no such folder"):
        import_folder(tmp_path / "nowhere")


def test_links_out_of_the_source_are_refused(tmp_path: Path) -> None:
    secret = write_image(tmp_path / "secret/s.png", 1)
    root = write_class_folders(tmp_path / "s", {"a": 2})
    (root / "a/link.png").symlink_to(secret)
    (root / "a/inner.png").symlink_to(root / "a/image_0.png")
    (root / "a/broken.png").symlink_to(root / "nowhere.png")
    (root / "a/loop.png").symlink_to(root / "a/loop.png")
    (root / "a/folder").symlink_to(secret.parent)
    (root / "b").symlink_to(secret.parent)
    (root / "a/image_1.txt").symlink_to(tmp_path / "secret/words.txt")
    (tmp_path / "secret/words.txt").write_text("private")
    listing = import_folder(root)
    assert reasons(listing) == {
        "a/link.png": "leaves_source_root", "a/broken.png": "missing_file", "a/loop.png": "missing_file",
        "a/folder": "linked_folder", "b": "linked_folder",
    }  # fmt: skip
    assert [item.name for item in listing.items] == ["a/image_0.png", "a/image_1.png", "a/inner.png"]
    assert not any(item.fields for item in listing.items)


def test_images_are_found_where_tables_usually_put_them(photos: Path) -> None:
    names = [
        "images/df/a.png",
        "a.png",
        "a",
        "df/a",
        "df\\a.png",
        "./images/../images/df/a.png",
        str(photos / "images/df/a.png"),
    ]
    table = write_table(photos / "metadata.csv", ["file,dx", *[f"{name},df" for name in names], "b,vasc", "flat,df"])
    listing = import_table(table)
    assert [item.name for item in listing.items] == ["images/df/a.png"] * 7 + ["images/vasc/b.jpg", "flat.png"]
    assert [item.line for item in listing.items] == list(range(2, 11))
    assert not listing.quarantined


def test_rows_that_cannot_be_imported_keep_their_line(photos: Path, tmp_path: Path) -> None:
    secret = write_image(tmp_path / "secret.png", 9)
    (photos / "images/df/link.png").symlink_to(secret)
    write_image(photos / "images/df/twice.png", 4)
    write_image(photos / "images/df/twice.jpg", 5)
    (photos / "images/df/folder").mkdir()
    cells = [
        "gone.png", "../secret.png", str(secret), "link.png", "https://x.org/a.png", "twice", "folder", "", "a\0b",
        "x" * 300,
    ]  # fmt: skip
    lines = ["image,label", *[f'"{cell}",df' for cell in cells], "a.png,", "", "a.png,df,extra", "a.png,df"]
    listing = import_table(write_table(photos / "metadata.csv", lines))
    assert [(row.line, row.reason) for row in listing.quarantined] == [
        (2, "missing_file"), (3, "leaves_source_root"), (4, "leaves_source_root"), (5, "leaves_source_root"),
        (6, "missing_file"), (7, "ambiguous_file"), (8, "missing_file"), (9, "no_image_name"), (10, "missing_file"),
        (11, "missing_file"), (12, "no_label"), (14, "ragged_row"),
    ]  # fmt: skip
    assert [item.line for item in listing.items] == [15]
    assert set(listing.notes) == {
        "1 folders hold nothing, e.g. images/df/folder",
        "1 images lie in the source but in no row or class folder that is read, e.g. images/vasc/b.jpg",
    }


def test_a_label_cannot_lead_out_of_the_source(photos: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "secret/s.png", 9)
    listing = import_table(
        write_table(photos / "metadata.csv", ["image,label", "s.png,../secret", "s.png,../../secret"])
    )
    assert [row.reason for row in listing.quarantined] == ["missing_file", "missing_file"]


def test_usual_columns_are_recognized_and_the_rest_kept(photos: Path) -> None:
    header = "Image ID,dx,patient,lesion_id,fitzpatrick_scale,age,sex,localization,Caption,clinic,original_path"
    lines = [header, "a,df,p1,l1,5,61.5,F,face,a small lesion,north,x", "b,vasc,unknown,,-1,old,unknown,,,south,"]
    listing = import_table(write_table(photos / "metadata.csv", lines))
    assert listing.columns == {
        "image": "Image ID", "label": "dx", "patient_id": "patient", "lesion_id": "lesion_id",
        "skin_type": "fitzpatrick_scale", "age": "age", "sex": "sex", "site": "localization", "caption": "Caption",
    }  # fmt: skip
    assert listing.items[0].fields == {
        "patient_id": "p1", "lesion_id": "l1", "skin_type": 5, "skin_type_group": "V-VI", "skin_type_source": "given",
        "age": 61.5, "sex": "female", "site": "face", "caption": "a small lesion", "attr.caption_source": "given",
        "attr.clinic": "north", "attr.upstream_original_path": "x",
    }  # fmt: skip
    assert listing.items[1].fields == {"attr.clinic": "south", "attr.age": "old", "skin_type_source": "given"}
    assert listing.reasons["label"] == "its name 'dx' usually means label"
    assert listing.reasons["attr.clinic"] == "kept as it is"
    assert listing.skin_types == {"df": {"5": 1}, "vasc": {"unknown": 1}}
    assert listing.notes == ("column age: 1 cells are no age and were kept as attr.age",)


@pytest.mark.parametrize(
    ("cell", "skin_type", "group"),
    [("IV", 4, "III-IV"), ("2.0", 2, "I-II"), ("-1", None, None), ("9", None, None), ("unknown", None, None)],
)
def test_skin_types(photos: Path, cell: str, skin_type: int | None, group: str | None) -> None:
    table = write_table(photos / "metadata.csv", ["image,label,fst", f"a,df,{cell}"])
    fields = import_table(table).items[0].fields
    assert (fields.get("skin_type"), fields.get("skin_type_group")) == (skin_type, group)


@pytest.mark.parametrize(("cell", "group"), [("12", "I-II"), ("V-VI", "V-VI"), ("3 - 4", "III-IV"), ("7", None)])
def test_skin_type_groups(photos: Path, cell: str, group: str | None) -> None:
    table = write_table(photos / "metadata.csv", ["image,label,skin_tone", f"a,df,{cell}"])
    assert import_table(table).items[0].fields.get("skin_type_group") == group


def test_column_maps(photos: Path) -> None:
    lines = ["name;verdict;person;label", "a;df;p1;x", "b;vasc;p2;y"]
    table = write_table(photos / "t.csv", lines)
    listing = import_table(table, {"image": "name", "label": "verdict", "patient_id": "person"})
    assert [(item.label, item.fields["patient_id"], item.fields["attr.label"]) for item in listing.items] == [
        ("df", "p1", "x"),
        ("vasc", "p2", "y"),
    ]
    with pytest.raises(DataError, match=r"no column 'verdit'(.|\n)*did you mean 'verdict'"):
        import_table(table, {"label": "verdit"})
    with pytest.raises(DataError, match=r"column map: lable(.|\n)*did you mean 'label'"):
        import_table(table, {"lable": "verdict"})
    with pytest.raises(DataError, match=r"tells the image(.|\n)*column_map={image: COLUMN}"):
        import_table(table)


def test_table_formats_agree(photos: Path) -> None:
    rows = [
        {"image": "a", "label": "df", "age": 60, "pid": "007"},
        {"image": "b", "label": "vasc", "age": None, "pid": "8"},
    ]
    write_table(photos / "t.jsonl", [json.dumps(row) for row in rows])
    pd.DataFrame(rows).to_parquet(photos / "t.parquet")
    write_table(photos / "t.tsv", ["image\tlabel\tage\tpid", "a\tdf\t60\t007", "b\tvasc\t\t8"])
    write_table(photos / "t.csv", ["image;label;age;pid", "a;df;60;007", "b;vasc;;8"], "utf-8-sig")
    write_table(photos / "u.csv", ["image,label,age,pid", "a,df,60,007", "b,vasc,,8"], "utf-16")
    listings = [import_table(photos / name) for name in ("t.jsonl", "t.parquet", "t.tsv", "t.csv", "u.csv")]
    seen = [[(item.name, item.label, dict(item.fields)) for item in listing.items] for listing in listings]
    assert all(items == seen[0] for items in seen)
    assert seen[0][0][2] == {"age": 60.0, "patient_id": "007"}


def test_broken_tables(photos: Path) -> None:
    listing = import_table(write_table(photos / "t.jsonl", ['{"image": "a", "label": "df"}', "{bad", "[1]"]))
    assert [(row.line, row.reason) for row in listing.quarantined] == [(2, "unreadable_row"), (3, "unreadable_row")]
    latin = import_table(write_table(photos / "l.csv", ["image,label,site", "a,df,Gesäß"], "cp1252"))
    assert latin.items[0].fields["site"] == "Gesäß" and "Windows-1252" in latin.notes[0]
    for name, lines, words in [
        ("e.csv", [""], "no rows"),
        ("h.csv", ["image,label"], "no rows"),
        ("d.csv", ["image,label,label", "a,b,c"], "columns of the same name: label"),
        ("x.parquet", ["no"], "cannot be read"),
        ("x.xlsx", ["no"], "no table format"),
    ]:
        with pytest.raises(DataError, match=words):
            import_table(write_table(photos / name, lines))
    with pytest.raises(DataError, match="no such table"):
        import_table(photos / "gone.csv")


def test_formats_are_detected(photos: Path, tmp_path: Path) -> None:
    assert detect_format(photos) == ("folder", photos)
    table = write_table(photos / "metadata.tsv", ["image\tlabel", "a\tdf"])
    assert detect_format(photos) == ("table", table)
    assert detect_format(photos, "folder") == ("folder", photos)
    assert detect_format(table) == ("table", table)
    only = write_table(tmp_path / "flat/labels.csv", ["image,label", "a,df"])
    assert detect_format(tmp_path / "flat") == ("table", only)
    with pytest.raises(DataError, match="no source of images"):
        detect_format(photos / "flat.png")
    with pytest.raises(DataError, match="no table to import from"):
        detect_format(photos / "images", "table")
    with pytest.raises(DataError, match="column map was given"):
        list_source(photos, SourceOptions("folder", {"label": "x"}))


cells = st.sampled_from(["a", "b", "flat.png", "gone", "", "../x", "images/df/a.png"])
labels = st.sampled_from(["df", "vasc", "", "other"])


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(cells, labels, st.booleans()), min_size=1, max_size=20))
def test_no_row_is_lost(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, bool]]) -> None:
    root = tmp_path_factory.mktemp("source")
    for number, name in enumerate(("images/df/a.png", "images/vasc/b.jpg", "flat.png")):
        write_image(root / name, number)
    lines = [f"{cell},{label},x" + (",surplus" if ragged else "") for cell, label, ragged in rows]
    listing = import_table(write_table(root / "metadata.csv", ["image,label,note", *lines]))
    assert len(listing.items) + len(listing.quarantined) == len(rows)
    told = [item.line for item in listing.items] + [row.line for row in listing.quarantined]
    assert sorted(line or 0 for line in told) == list(range(2, len(rows) + 2))
