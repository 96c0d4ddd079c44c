"""A DICOM export as a listing: classes by folder, tag or table, and nothing of a person in what comes out."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless

from tenfold.core.errors import DataError
from tenfold.data.dicom_import import list_dicom
from tenfold.data.dicom_labels import is_identifying
from tenfold.data.dicom_series import DicomChoice
from tenfold.data.import_items import Listing
from tenfold.data.pseudonyms import Pseudonyms
from tenfold.data.source_options import SourceOptions
from tests.dicom_files import ROOT_UID, SECRETS, clip_of, compressed_as, gray_ramp, make_dicom, slice_of, write_dicom
from tests.image_files import write_image

PSEUDONYMS = Pseudonyms(bytes(range(32)))


def listed(source: Path, **options: Any) -> Listing:
    listing = list_dicom(source, SourceOptions(pseudonyms=PSEUDONYMS, **options))
    assert listing.format == "dicom" and listing.root == (source if source.is_dir() else source.parent).resolve()
    return listing


def export(root: Path, patients: Mapping[str, Sequence[str]], slices: int = 3, folder: str = "{label}") -> Path:
    """Label -> patients, each with one CT series, in `folder`/<patient>/; StudyDescription tells the label too."""
    for label, names in patients.items():
        for patient in names:
            place = root / folder.format(label=label) / f"DOE_{patient}"
            for number in range(1, slices + 1):
                dataset = slice_of(patient, number, slices, StudyDescription=label, BodyPartExamined="HEAD")
                write_dicom(place / f"{dataset.SOPInstanceUID}.dcm", dataset)
    return root


TWO_CLASSES = {"sick": ["PAT11", "PAT12"], "healthy": ["PAT21", "PAT22", "PAT23"]}


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def labels(listing: Listing) -> dict[str, int]:
    return dict(sorted(Counter(item.label for item in listing.items).items()))


def test_the_topmost_folders_of_which_there_are_several_are_the_classes(tmp_path: Path) -> None:
    listing = listed(export(tmp_path / "disc" / "DICOM", TWO_CLASSES))
    assert labels(listing) == {"healthy": 3, "sick": 2}
    assert labels(listed(tmp_path)) == {"healthy": 3, "sick": 2}
    assert Counter(row.reason for row in listing.quarantined) == {"not_chosen": 10}
    assert listing.reasons == {"label": "the name of the class folder"} and not listing.columns


def test_every_file_is_kept_or_set_aside(tmp_path: Path) -> None:
    export(tmp_path, TWO_CLASSES)
    (tmp_path / "sick" / "README.txt").write_text("viewer")
    (tmp_path / "sick" / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
    write_dicom(tmp_path / "healthy" / "x.dcm", compressed_as(JPEGLSLossless))
    write_dicom(tmp_path / "stray.dcm", slice_of("PAT99", 1, 1))
    write_dicom(tmp_path / "DICOMDIR", make_dicom(None, "SR"))
    (tmp_path / "healthy" / "away.dcm").symlink_to(tmp_path.parent / "outside.dcm")
    (tmp_path / "healthy" / "loop").symlink_to(tmp_path, target_is_directory=True)
    listing = listed(tmp_path)
    assert len(listing.items) + len(listing.quarantined) == 15 + 6
    reasons = Counter(row.reason for row in listing.quarantined)
    assert reasons == {
        "not_chosen": 10, "not_an_image": 1, "damaged_image": 1, "unsupported_compression": 1, "no_class_folder": 1,
        "missing_file": 1, "linked_folder": 1,
    }  # fmt: skip
    by_reason = {row.reason: row for row in listing.quarantined}
    assert by_reason["damaged_image"].label == "sick" and by_reason["unsupported_compression"].label == "healthy"
    assert "of the source in sorted order" in by_reason["damaged_image"].detail
    assert any("cannot be used" in note for note in listing.notes)


def test_a_link_that_leaves_the_source_is_set_aside(tmp_path: Path) -> None:
    outside = write_dicom(tmp_path / "outside.dcm", slice_of("PAT99", 1, 1))
    root = export(tmp_path / "export", TWO_CLASSES)
    (root / "sick" / "link.dcm").symlink_to(outside)
    rows = [row for row in listed(root).quarantined if row.reason != "not_chosen"]
    assert [row.reason for row in rows] == ["leaves_source_root"]
    assert rows[0].detail.startswith("a link leads out of the source folder")


def test_the_label_may_be_a_tag(tmp_path: Path) -> None:
    export(tmp_path, TWO_CLASSES, folder="all")
    write_dicom(tmp_path / "all" / "x.dcm", slice_of("PAT31", 1, 1, StudyDescription=""))
    listing = listed(tmp_path, column_map={"label": "StudyDescription"})
    assert labels(listing) == {"healthy": 3, "sick": 2}
    assert listing.columns == {"label": "StudyDescription"}
    assert listing.reasons == {"label": "the column map names the DICOM tag StudyDescription"}
    assert [row.detail[:33] for row in listing.quarantined if row.reason == "no_label"] == [
        "the tag StudyDescription is empty"
    ]


@pytest.mark.parametrize(
    ("tag", "what"),
    [
        ("StudyDescripton", "there is no column or DICOM tag 'StudyDescripton' to take the label from"),
        ("PatientName", "the DICOM tag PatientName can name a person, so it cannot be the label"),
        ("PatientID", "the DICOM tag PatientID can name a person, so it cannot be the label"),
    ],
)
def test_a_tag_that_is_none_or_names_a_person_is_refused(tmp_path: Path, tag: str, what: str) -> None:
    with pytest.raises(DataError) as caught:
        listed(export(tmp_path, TWO_CLASSES), column_map={"label": tag})
    assert caught.value.what == what
    if tag == "StudyDescripton":
        assert caught.value.todo == "did you mean 'StudyDescription' for 'StudyDescripton'?"


@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv", "whatever.csv"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PatientID", lambda dataset, path: dataset.PatientID),
        ("study_instance_uid", lambda dataset, path: dataset.StudyInstanceUID),
        ("SeriesInstanceUID", lambda dataset, path: dataset.SeriesInstanceUID),
        ("SOPInstanceUID", lambda dataset, path: dataset.SOPInstanceUID),
        ("file", lambda dataset, path: path),
        ("File Name", lambda dataset, path: Path(path).name),
        ("folder", lambda dataset, path: str(Path(path).parent)),
    ],
)
def test_labels_may_come_from_a_table_beside(tmp_path: Path, name: str, key: str, value: Any) -> None:
    rows = []
    for patient, label in (("PAT11", "sick"), ("PAT12", "Healthy"), ("PAT13", "healthy")):
        dataset = slice_of(patient, 1, 1)
        path = write_dicom(tmp_path / "IMG" / patient / f"{dataset.SOPInstanceUID}.dcm", dataset)
        rows.append({key: value(dataset, path.relative_to(tmp_path).as_posix()), "diagnosis": label, "scanner": "B"})
    rows.append({key: "nobody", "diagnosis": "sick", "scanner": "B"})
    write_table(tmp_path / name, rows)
    listing = listed(tmp_path)
    assert labels(listing) in ({"Healthy": 2, "sick": 1}, {"healthy": 2, "sick": 1})
    assert {item.fields["attr.scanner"] for item in listing.items} == {"B"}
    assert [(row.reason, row.line, row.path) for row in listing.quarantined] == [("missing_file", 5, "")]
    assert listing.columns == {"label": "diagnosis"}
    assert listing.items[0].line == 2
    _no_person_in(listing)


def test_rows_that_disagree_and_rows_without_a_label_are_told(tmp_path: Path) -> None:
    export(tmp_path, {"x": ["PAT11", "PAT12", "PAT13", "PAT14"]}, slices=1, folder="all")
    pairs = [("PAT11", "a"), ("PAT12", "b"), ("PAT12", "a"), ("PAT13", "")]
    write_table(tmp_path / "labels.csv", [{"PatientID": patient, "label": label} for patient, label in pairs])
    listing = listed(tmp_path)
    assert labels(listing) == {"a": 1}
    assert [(row.reason, row.line) for row in listing.quarantined] == [
        ("conflicting_labels", None), ("no_label", 5), ("no_label", None)
    ]  # fmt: skip
    assert [row.detail.split(" (")[0] for row in listing.quarantined] == [
        "labels.csv has rows of different labels for its patient",
        "its label in labels.csv is empty",
        "labels.csv has no row for its patient",
    ]


def test_a_table_s_patients_are_pseudonyms_where_the_files_have_none(tmp_path: Path) -> None:
    rows = []
    for number, patient in enumerate(("MRN1", "MRN1", "MRN2"), 1):
        dataset = slice_of(f"PAT{number}", 1, 1, PatientID="")
        write_dicom(tmp_path / f"{number}.dcm", dataset)
        rows.append({"SeriesInstanceUID": dataset.SeriesInstanceUID, "label": "ab"[number // 3], "patient": patient})
    write_table(tmp_path / "labels.csv", rows)
    listing = listed(tmp_path)
    wanted = [PSEUDONYMS.of("patient", name) for name in ("MRN1", "MRN1", "MRN2")]
    assert [item.fields["patient_id"] for item in listing.items] == wanted
    assert "MRN1" not in _dump(listing)


def test_a_table_that_fits_no_file_or_says_no_file_is_refused(tmp_path: Path) -> None:
    export(tmp_path, TWO_CLASSES)
    write_table(tmp_path / "labels.csv", [{"PatientID": "X", "label": "a"}])
    with pytest.raises(DataError) as caught:
        listed(tmp_path)
    assert caught.value.what == "the table fits none of the DICOM files by its columns PatientID"
    write_table(tmp_path / "labels.csv", [{"scanner": "X", "label": "a"}])
    with pytest.raises(DataError, match="the table has no column that says which file a row is about"):
        listed(tmp_path)


def test_a_column_that_names_persons_cannot_be_mapped(tmp_path: Path) -> None:
    export(tmp_path, TWO_CLASSES)
    write_table(tmp_path / "labels.csv", [{"PatientID": "PAT11", "label": "a", "AccessionNumber": "1"}])
    with pytest.raises(DataError) as caught:
        listed(tmp_path, column_map={"lesion_id": "AccessionNumber"})
    assert caught.value.what == "the column 'AccessionNumber' can name a person, so it cannot be the lesion_id"


def test_a_table_without_labels_does_not_count(tmp_path: Path) -> None:
    export(tmp_path, TWO_CLASSES)
    write_table(tmp_path / "metadata.csv", [{"PatientID": "PAT11", "scanner": "B"}])
    assert labels(listed(tmp_path)) == {"healthy": 3, "sick": 2}


def test_without_anything_that_tells_the_classes_the_ways_are_named(tmp_path: Path) -> None:
    export(tmp_path, {"x": ["PAT11"]}, folder="one")
    with pytest.raises(DataError) as caught:
        listed(tmp_path)
    assert caught.value.what == "nothing tells the classes of the DICOM files"
    for way in ("one folder per class", "labels.csv", "--map label=StudyDescription"):
        assert way in caught.value.expected


def test_folders_of_one_patient_each_are_no_classes(tmp_path: Path) -> None:
    export(tmp_path, {"case1": ["PAT11"], "case2": ["PAT12"], "case3": ["PAT13"]})
    with pytest.raises(DataError) as caught:
        listed(tmp_path)
    assert caught.value.what == "each of the 3 folders holds one patient: they are patients, not classes"


def test_classes_are_chosen_and_the_others_counted(tmp_path: Path) -> None:
    export(tmp_path, {**TWO_CLASSES, "other": ["PAT31"]})
    listing = listed(tmp_path, classes=["sick", "healthy"])
    assert labels(listing) == {"healthy": 3, "sick": 2} and listing.other_classes == {"other": 3}
    with pytest.raises(DataError, match="unknown classes: 'sic'") as caught:
        listed(tmp_path, classes=["sic"])
    assert "did you mean 'sick' for 'sic'?" in caught.value.todo


def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", slice_of("PAT11", 1, 1, StudyDescription="sick"))
    write_dicom(tmp_path / "b.dcm", slice_of("PAT12", 1, 1, StudyDescription="well"))
    assert labels(listed(path, column_map={"label": "StudyDescription"})) == {"sick": 1}


def test_a_source_without_dicom_and_an_import_without_a_key_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a" / "a.png", 1)
    with pytest.raises(DataError, match="the source holds no DICOM image that can be read"):
        listed(tmp_path)
    with pytest.raises(DataError, match="the source holds DICOM files, whose patient ids need a key"):
        list_dicom(tmp_path, SourceOptions())


def test_the_choice_of_slices_and_windows_is_used(tmp_path: Path) -> None:
    listing = listed(export(tmp_path, TWO_CLASSES), dicom=DicomChoice(slices="all", window="brain"))
    assert len(listing.items) == 15 and not listing.quarantined
    assert {item.fields["attr.window"] for item in listing.items} == {"brain 40/80"}


def test_the_same_key_gives_the_same_listing(tmp_path: Path) -> None:
    root = export(tmp_path, TWO_CLASSES)
    assert listed(root) == listed(root)


@pytest.mark.parametrize("label_way", ["folder", "tag", "table"])
def test_nothing_that_names_a_person_comes_out(tmp_path: Path, label_way: str) -> None:
    root = export(tmp_path / "export", TWO_CLASSES)
    write_dicom(root / "sick" / "PLANTED_NAME.dcm", clip_of("PAT41", BurnedInAnnotation="YES"))
    broken = write_dicom(root / "sick" / "PLANTED_NAME_2.dcm", slice_of("PAT42", 1, 1))
    broken.write_bytes(broken.read_bytes()[:400])
    write_dicom(root / "sick" / "PLANTED_NAME_3.dcm", compressed_as(JPEGLSLossless))
    write_dicom(root / "sick" / "PLANTED_NAME_4.dcm", _with_secret_values())
    (root / "sick" / "PLANTED_NAME.pdf").write_bytes(b"%PDF")
    column_map = {}
    if label_way == "tag":
        column_map = {"label": "Modality"}
    if label_way == "table":
        secrets = {"PatientName": SECRETS["PatientName"], "name": SECRETS["PatientName"], "Study Date": "20190823"}
        rows = [
            {"PatientID": patient, "label": label, "AccessionNumber": SECRETS["AccessionNumber"], **secrets}
            for label, patients in TWO_CLASSES.items() for patient in patients
        ]  # fmt: skip
        write_table(root / "labels.csv", [*rows, {**rows[0], "PatientID": "PAT4999"}])
    listing = listed(root, column_map=column_map, dicom=DicomChoice(slices="all"))
    assert len(listing.items) > 10 and listing.quarantined
    _no_person_in(listing)


def test_columns_that_name_persons_are_known_however_they_are_spelled() -> None:
    for name in ("PatientName", "patient_id", "Study Date", "AccessionNumber", "SOPInstanceUID", "DOB", "mrn"):
        assert is_identifying(name), name
    for name in ("StudyDescription", "PatientAge", "patient_sex", "scanner", "Modality", "label"):
        assert not is_identifying(name), name


def _with_secret_values() -> Dataset:
    """A clip whose values are of the wrong kind and carry the name, so that a quoted remark would give it away."""
    name = SECRETS["PatientName"]
    dataset = make_dicom(gray_ramp(high=200).astype(np.uint8), "US")
    dataset.add_new(0x00101010, "LO", name)
    dataset.add_new(0x00180015, "LO", name.replace("^", " "))
    dataset.add_new(0x00281050, "LO", name)
    dataset.add_new(0x00100040, "LO", name)
    return dataset


def _dump(listing: Listing) -> str:
    """Every string of a listing but the paths of the files themselves, which stay on this machine."""
    parts = asdict(listing) | {"root": "", "items": []}
    parts["items"] = [{**asdict(item), "file": "", "mask_file": ""} for item in listing.items]
    return json.dumps(parts, default=str)


def _no_person_in(listing: Listing) -> None:
    text = _dump(listing).lower()
    secrets = [*SECRETS.values(), ROOT_UID, "planted", "doe_", "pat11", "pat12", "pat13", "pat41", "pat42", "pat4"]
    assert not [secret for secret in secrets if secret.lower() in text]
