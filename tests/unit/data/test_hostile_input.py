"""Input that means harm, or looks like it: it is set aside with a reason, and nothing is swallowed in silence."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tenfold.core.errors import DataError
from tenfold.core.workspace import Workspace
from tenfold.data.dicom_decoding import refuse_unreadable
from tenfold.data.dicom_header import is_dicom, read_dicom_header
from tenfold.data.images import ImageError
from tenfold.data.importers import SourceOptions, import_folder, import_table, list_source
from tenfold.data.label_spelling import tidy
from tenfold.data.manifest import csv_text, make_manifest, read_manifest, write_manifest
from tenfold.data.pseudonyms import temporary_pseudonyms
from tenfold.data.table_reading import read_columns, read_table
from tests.dicom_files import dicom_bytes, gray_ramp, in_series, make_dicom, write_dicom
from tests.image_files import write_class_folders, write_image

OVERRIDE = "\u202e"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """a.png, b.png and c.png in one folder."""
    for number, name in enumerate("abc"):
        write_image(tmp_path / f"s/{name}.png", number)
    return tmp_path / "s"


def test_a_quotation_mark_that_is_never_closed_sets_every_line_behind_it_aside(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('image,label,note\na,df,x\nb,df,"y\nc,df,z\n\nd,df,z\n')
    table = read_table(tmp_path / "t.csv")
    assert [row.cells["image"] for row in table.rows] == ["a"]
    assert [(row.line, row.reason) for row in table.bad_rows] == [
        (3, "open_quote"),
        (4, "open_quote"),
        (6, "open_quote"),
    ]
    assert table.bad_rows[0].detail == "a quotation mark is not closed from line 3 to the end of the file"


def test_a_row_over_several_lines_is_kept_and_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('image,label,note\na,df,"x\ny"\nb,df,5" wide\n')
    table = read_table(tmp_path / "t.csv")
    assert [row.line for row in table.rows] == [2, 4] and not table.bad_rows
    assert "1 rows go over several lines, the longest from line 2 to 3" in table.notes[0]


def test_a_huge_cell_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"image,label\na,{'x' * 200_000}\n")
    with pytest.raises(DataError, match=r"t\.csv:2(.|\n)*a quotation mark that is not closed"):
        read_table(tmp_path / "t.csv")


def test_half_a_surrogate_pair_is_a_bad_row(photos: Path) -> None:
    rows = [
        '{"image": "a", "label": "df"}',
        '{"image": "b", "label": "d\\ud800"}',
        '{"image": "\\udfff", "label": "df"}',
    ]
    (photos / "t.jsonl").write_text("\n".join(rows))
    listing = import_table(photos / "t.jsonl")
    assert [(row.line, row.reason) for row in listing.quarantined] == [(2, "unreadable_row"), (3, "unreadable_row")]
    assert len(listing.items) == 1


def test_binary_cells_are_text_or_a_picture_in_the_table(photos: Path) -> None:
    png = (photos / "a.png").read_bytes()
    for name, cells in {"text": [b"a.png", b"b.png"], "raw": [png, png]}.items():
        pq.write_table(pa.table({"image": cells, "label": [b"df", b"vasc"]}), photos / f"{name}.parquet")
    nested = [{"bytes": png, "path": "a.png"}, {"bytes": png, "path": "b.png"}]
    pq.write_table(pa.table({"image": nested, "label": ["df", "vasc"]}), photos / "nested.parquet")
    listing = import_table(photos / "text.parquet")
    assert [(item.name, item.label) for item in listing.items] == [("a.png", "df"), ("b.png", "vasc")]
    for name in ("raw", "nested"):
        refused = import_table(photos / f"{name}.parquet").quarantined
        assert {row.reason for row in refused} == {"image_in_table"} and len(refused) == 2
        assert "write the pictures to files" in refused[0].detail and len(refused[0].path) < 100


@pytest.mark.parametrize("values", [pa.array([2**58], pa.timestamp("us")), pa.array([2**30], pa.date32())])
def test_a_parquet_column_that_no_calendar_holds_is_named(tmp_path: Path, values: pa.Array) -> None:
    pq.write_table(pa.table({"image": ["a"], "label": ["df"], "seen": values}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column cannot be read(.|\n)*t\.parquet, column seen"):
        read_table(tmp_path / "t.parquet")


def test_column_names_are_neutralized_too_and_come_back(tmp_path: Path) -> None:
    table = pd.DataFrame({"=cmd()": ["-1", "'+x"], "label": ["=a", "b"]})
    text = csv_text(table)
    assert text.splitlines()[0] == "'=cmd(),label" and "\n=" not in text
    (tmp_path / "t.csv").write_text(text)
    found = read_table(tmp_path / "t.csv")
    assert found.columns == ("=cmd()", "label")
    assert [dict(row.cells) for row in found.rows] == table.to_dict("records")


def test_a_manifest_in_jsonl_may_hold_any_line_end_of_unicode(tmp_path: Path) -> None:
    manifest = make_manifest([{"image_id": "0" * 16, "caption": "a\u2028b\u0085c"}])
    write_manifest(manifest, tmp_path / "m.jsonl")
    assert read_manifest(tmp_path / "m.jsonl")["caption"].tolist() == ["a\u2028b\u0085c"]


def test_labels_lose_what_nobody_sees() -> None:
    assert tidy(f"a{OVERRIDE}b") == "a b" and tidy("\x1b[31mred\x07") == "[31mred" and tidy("d\0f") == "d f"
    assert tidy("שלום") == "שלום"


def test_ids_that_differ_in_case_alone_are_told(photos: Path) -> None:
    (photos / "t.csv").write_text("image,label,patient_id\na,df,P1\nb,df,p1\nc,df,p2\n")
    notes = import_table(photos / "t.csv").notes
    assert any("1 patient_ids differ in case alone, e.g. 'P1' and 'p1'" in note for note in notes)


def test_a_class_folder_whose_name_is_no_text_is_set_aside(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 1, "vasc": 2})
    (root / "vasc").rename(root / os.fsdecode(b"va\xffsc"))
    listing = import_folder(root)
    assert {(row.reason, row.label) for row in listing.quarantined} == {("unreadable_name", "va?sc")}
    assert len(listing.items) == 1 and len(listing.quarantined) == 2
    assert "rename the folder" in listing.quarantined[0].detail
    json.dumps(import_folder(root, ["df"]).other_classes).encode("utf-8")


def test_pipes_keep_nobody_waiting(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 1, "vasc": 1})
    for name in ("df/pipe", "df/pipe.dcm", "df/pipe.png", "pipe.csv", "metadata.csv"):
        os.mkfifo(root / name)
    assert not is_dicom(root / "df/pipe") and not is_dicom(root / "df/pipe.dcm")
    assert read_columns(root / "pipe.csv") == ()
    listing = list_source(root)
    assert len(listing.items) == 2 and len(listing.quarantined) == 3


def test_a_workspace_among_the_images_is_no_class_and_no_source(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 1, "vasc": 1})
    for place in ("ws", "df/ws"):
        Workspace.create(root / place, name="ws", root_seed=0, data_license="x")
        write_image(root / place / "data/images/a.png", 5)
    listing = list_source(root)
    assert [item.name for item in listing.items] == ["df/image_0.png", "vasc/image_0.png"]
    assert not listing.quarantined
    with pytest.raises(DataError, match=r"the source is a workspace(.|\n)*tenfold data export"):
        list_source(root / "ws")


def test_another_programs_workspace_file_hides_no_class(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "s", {"df": 1, "vasc": 1})
    (root / "df/workspace.json").write_text('{"version": 2}')
    assert len(list_source(root).items) == 2


def test_files_beside_dicom_files_give_no_name_away(tmp_path: Path) -> None:
    for number, label in enumerate(("a", "b")):
        pixels = gray_ramp(high=3000 + number).astype(np.uint16)
        write_dicom(tmp_path / f"s/{label}/DOE^JANE.dcm", in_series(make_dicom(pixels), f"P{label}", 1, 1))
    (tmp_path / "s/a/DOE^JANE.txt").write_text("a letter")
    (tmp_path / "s/a/DOE^JANE.exe").write_text("x")
    listing = list_source(tmp_path / "s", SourceOptions(pseudonyms=temporary_pseudonyms()))
    assert len(listing.items) == 2 and len(listing.quarantined) == 1
    assert "DOE" not in str([(item.name, item.fields) for item in listing.items]) + str(listing.quarantined)
    assert listing.quarantined[0].label == "a" and "its name is left out" in listing.quarantined[0].detail


def test_a_malformed_uid_is_quoted_nowhere(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="unknown transfer syntax"):
            refuse_unreadable("1.2.DOE^JANE", 8, tmp_path / "a.dcm")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = dicom_bytes(make_dicom(None, SOPClassUID="1.2.DOE^JANE"))
        with pytest.raises(ImageError) as caught:
            read_dicom_header(data)
    assert "DOE" not in str(caught.value)
