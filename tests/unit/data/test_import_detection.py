"""DICOM among the importers: exports are told from class folders and tables, and files in those are opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.data.importers import SourceOptions, detect_format, list_source
from tenfold.data.pseudonyms import temporary_pseudonyms
from tests.dicom_files import gray_ramp, in_series, make_dicom, write_dicom
from tests.image_files import write_image


def dicom(path: Path) -> Path:
    """A file with no more than the mark of DICOM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0" * 128 + b"DICM")
    return path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["patient/study/series/IM1", "patient/study/series/IM2"], "dicom"),
        (["IM1", "IM2"], "dicom"),
        (["x.dcm"], "dicom"),
        (["df/a.dcm", "vasc/IM1"], "folder"),
        (["images/df/a.dcm", "images/vasc/b.dcm"], "folder"),
    ],
)
def test_dicom_exports_are_detected(tmp_path: Path, names: list[str], found: str) -> None:
    for name in names:
        dicom(tmp_path / "s" / name)
    assert detect_format(tmp_path / "s") == (found, tmp_path / "s")
    assert detect_format(tmp_path / "s" / names[0]) == ("dicom", tmp_path / "s" / names[0])


def test_class_folders_and_tables_of_dicom_files_are_opened(tmp_path: Path) -> None:
    pseudonyms = temporary_pseudonyms()
    for number, (label, patient) in enumerate([("df", "P1"), ("df", "P2"), ("vasc", "P1")]):
        file = in_series(make_dicom(gray_ramp(), "DX"), patient, series=number, number=1)
        write_dicom(tmp_path / "s" / label / f"IM{number}", file)
    write_image(tmp_path / "s/vasc/photo.png", 1)
    listing = list_source(tmp_path / "s", SourceOptions(pseudonyms=pseudonyms))
    assert listing.format == "folder" and len(listing.items) == 4 and not listing.quarantined
    patients = [item.fields.get("patient_id") for item in listing.items]
    assert patients[0] == patients[2] and patients[1] not in (patients[0], None) and patients[3] is None
    table = tmp_path / "s/t.csv"
    table.write_text("image,label,patient_id\ndf/IM0,x,given\ndf/IM1,y,\n")
    by_table = list_source(table, SourceOptions(pseudonyms=pseudonyms))
    assert [(item.label, item.fields["patient_id"]) for item in by_table.items] == [("x", "given"), ("y", patients[1])]


def test_a_table_of_patients_beside_dicom_files_is_read_as_an_export(tmp_path: Path) -> None:
    for number, patient in enumerate(("P1", "P2")):
        file = in_series(make_dicom(gray_ramp(), "DX"), patient, series=1, number=1)
        write_dicom(tmp_path / f"s/a/b/IM{number}", file)
    (tmp_path / "s/labels.csv").write_text("PatientID,label\nP1,df\nP2,vasc\n")
    listing = list_source(tmp_path / "s", SourceOptions(pseudonyms=temporary_pseudonyms()))
    assert listing.format == "dicom"
    assert sorted(item.label for item in listing.items) == ["df", "vasc"]


def test_a_folder_of_dicom_and_photographs_is_no_export(tmp_path: Path) -> None:
    dicom(tmp_path / "x/y/IM1")
    write_image(tmp_path / "x/y/a.png", 1)
    assert detect_format(tmp_path)[0] == "folder"


def test_dicom_files_need_a_key(tmp_path: Path) -> None:
    dicom(tmp_path / "df/a.dcm")
    (tmp_path / "metadata.csv").write_text("image,label\na,df\n")
    with pytest.raises(DataError, match=r"DICOM files, whose patient ids need a key(.|\n)*import into a workspace"):
        list_source(tmp_path)
