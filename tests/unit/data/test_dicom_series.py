"""DICOM series: which slices and frames are taken, in which window, and what of the header becomes a field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless

from tenfold.core.errors import DataError
from tenfold.data.dicom_fields import age_in_years
from tenfold.data.dicom_pixels import decode_dicom
from tenfold.data.dicom_series import DicomChoice, expand_dicom
from tenfold.data.dicom_slices import spread
from tenfold.data.dicom_windows import CT_WINDOWS, parse_window
from tenfold.data.import_items import ImportItem, PixelChoice, QuarantineRow
from tenfold.data.pseudonyms import Pseudonyms
from tests.dicom_files import (
    clip_of,
    compressed_as,
    gray_ramp,
    in_series,
    make_dicom,
    palette_dicom,
    slice_of,
    write_dicom,
)
from tests.image_files import random_image, write_image

PSEUDONYMS = Pseudonyms(bytes(range(32)))
Expanded = tuple[tuple[ImportItem, ...], tuple[QuarantineRow, ...], tuple[str, ...]]


def written(folder: Path, datasets: Sequence[Dataset], label: str = "sick", **fields: Any) -> list[ImportItem]:
    """The data sets as files that are items, in the order given."""
    items = []
    for number, dataset in enumerate(datasets):
        path = write_dicom(folder / label / f"{dataset.PatientID}_{number}.dcm", dataset)
        items.append(ImportItem(str(path), path.relative_to(folder).as_posix(), label, fields=fields))
    return items


def expand(items: Sequence[ImportItem], **choice: Any) -> Expanded:
    items_out, quarantined, notes = expand_dicom(items, DicomChoice(**choice), PSEUDONYMS)
    assert {item.choice is not None for item in items_out} <= {True}
    return items_out, quarantined, notes


def stack(patient: str = "PAT4477001", count: int = 7, **tags: Any) -> list[Dataset]:
    """The slices of a CT series, by instance number: from the highest position down."""
    return [slice_of(patient, number, count, **tags) for number in range(count, 0, -1)]


def test_the_middle_slice_lies_in_the_middle_of_the_body_whatever_the_order_of_files(tmp_path: Path) -> None:
    items = written(tmp_path, stack())
    for order in (items, items[::-1], [*items[3:], *items[:3]]):
        kept, left, notes = expand(order)
        assert [item.fields["attr.slice"] for item in kept] == ["4 of 7"]
        assert kept[0].path.name == "PAT4477001_3.dcm"
        assert len(kept) + len(left) == 7 and {row.reason for row in left} == {"not_chosen"}
        assert left[0].detail == "another slice of its series was taken (slices: middle)"
        assert "6 slices of DICOM series were not chosen (intake.dicom.slices=all takes all)" in notes


def test_several_or_all_slices_are_taken_along_the_normal(tmp_path: Path) -> None:
    items = written(tmp_path, stack())
    three, left, _ = expand(items, slices=3)
    assert [item.fields["attr.slice"] for item in three] == ["6 of 7", "4 of 7", "2 of 7"]
    assert len(left) == 4
    everything, left, _ = expand(items, slices="all")
    assert [item.fields["attr.slice"] for item in everything] == [f"{number} of 7" for number in range(7, 0, -1)]
    assert not left
    assert len(expand(items, slices=50)[0]) == 7


def test_without_positions_slices_are_ordered_by_instance_number_with_a_note(tmp_path: Path) -> None:
    datasets = [slice_of("P1", number, 4, ImagePositionPatient=None) for number in (3, 1, 4, 2)]
    kept, _, notes = expand(written(tmp_path, datasets), slices="all")
    # instance numbers run against `number`: 2, 4, 1, 3
    assert [item.fields["attr.slice"] for item in kept] == ["2 of 4", "4 of 4", "1 of 4", "3 of 4"]
    assert "1 DICOM series do not tell where their slices lie: ordered by instance number" in notes


def test_one_slice_without_a_position_makes_the_series_go_by_number(tmp_path: Path) -> None:
    datasets = [slice_of("P1", 1, 3), slice_of("P1", 2, 3, ImagePositionPatient=None), slice_of("P1", 3, 3)]
    kept, _, notes = expand(written(tmp_path, datasets), slices="all")
    assert [item.fields["attr.slice"] for item in kept] == ["3 of 3", "2 of 3", "1 of 3"]
    assert any("ordered by instance number" in note for note in notes)


def test_two_series_of_one_patient_keep_a_slice_each_and_share_the_patient(tmp_path: Path) -> None:
    items = written(tmp_path, [*stack(series=1, count=3), *stack(series=2, count=5), *stack("OTHER", 3)])
    kept, left, notes = expand(items)
    assert [item.fields["attr.slice"] for item in kept] == ["2 of 3", "3 of 5", "2 of 3"]
    patients = [item.fields["patient_id"] for item in kept]
    assert patients[0] == patients[1] != patients[2]
    assert len({item.fields["attr.series_id"] for item in kept}) == 3
    assert len({item.fields["attr.study_id"] for item in kept}) == 2
    assert len(left) == 8
    assert notes[0].startswith("11 DICOM files in 3 series of 2 known patients: ids are keyed pseudonyms")


def test_slices_of_one_series_under_two_labels_are_two_stacks(tmp_path: Path) -> None:
    datasets = stack(count=6)
    items = [*written(tmp_path, datasets[:3], "sick"), *written(tmp_path, datasets[3:], "healthy")]
    kept, left, _ = expand(items)
    assert [item.label for item in kept] == ["sick", "healthy"] and len(left) == 4


def test_overviews_are_left_out_unless_there_is_nothing_else(tmp_path: Path) -> None:
    scout = slice_of("P1", 9, 12, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    kept, left, _ = expand(written(tmp_path, [scout, *stack("P1", 3)]), slices="all")
    assert len(kept) == 3 and [row.detail for row in left] == ["an overview (localizer) of its series"]
    assert len(expand(written(tmp_path, [scout]))[0]) == 1


def test_a_named_window_is_used_for_ct_and_told(tmp_path: Path) -> None:
    items = written(tmp_path, stack(count=1))
    for name, (center, width) in CT_WINDOWS.items():
        kept, _, _ = expand(items, window=name)
        assert kept[0].choice == PixelChoice(window=(center, width))
        assert kept[0].fields["attr.window"] == f"{name} {center:g}/{width:g}"
    own, _, _ = expand(items)
    assert own[0].choice == PixelChoice() and own[0].fields["attr.window"] == "file 40/400"
    numbers, _, _ = expand(items, window="100/30.5")
    assert numbers[0].choice == PixelChoice(window=(100.0, 30.5))
    lung = expand(items, window="lung")[0][0]
    assert (decode_dicom(lung.path, lung.choice) != decode_dicom(own[0].path, own[0].choice)).any()


def test_an_mr_series_without_a_window_is_shown_in_its_own_range_and_named_windows_pass_it_by(tmp_path: Path) -> None:
    datasets = [slice_of("P1", number, 3, modality="MR") for number in (1, 2, 3)]
    kept, _, notes = expand(written(tmp_path, datasets), window="lung")
    assert len(kept) == 1 and kept[0].fields["attr.slice"] == "2 of 3"
    assert kept[0].fields["attr.window"] == "own range" and kept[0].choice == PixelChoice()
    assert kept[0].fields["modality"] == "MR"
    assert "the window lung is meant for CT: 3 other DICOM files are shown in their own window" in notes
    shown = decode_dicom(kept[0].path, kept[0].choice)
    assert shown.min() == 0 and shown.max() == 255


@pytest.mark.parametrize(("text", "near"), [("lungs", "did you mean 'lung' for 'lungs'?"), ("40", ""), ("40/0", "")])
def test_an_unknown_window_is_refused_with_the_names(text: str, near: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_window(text)
    assert near in caught.value.todo and "soft_tissue" in caught.value.expected
    with pytest.raises(DataError):
        expand_dicom([], DicomChoice(window=text), PSEUDONYMS)


def test_window_names_may_be_spelled_with_spaces() -> None:
    assert parse_window("Soft Tissue") == parse_window("soft_tissue") == (40, 400)
    assert parse_window(" -600/1500 ") == (-600, 1500) and parse_window("file") is None


def test_frames_of_an_ultrasound_clip_are_chosen(tmp_path: Path) -> None:
    items = written(tmp_path, [clip_of("P1", 6), clip_of("P2", 5)])
    kept, left, notes = expand(items)
    assert [item.choice for item in kept] == [PixelChoice(3), PixelChoice(2)]
    assert [item.fields["attr.frame"] for item in kept] == ["4 of 6", "3 of 5"]
    assert not left and "2 DICOM files hold 11 frames, of which 2 are taken" in notes[1]
    assert [item.choice for item in expand(items, frames="first")[0]] == [PixelChoice(0), PixelChoice(0)]
    every, _, _ = expand(items, frames="all")
    assert len(every) == 11 and len({item.name for item in every}) == 11
    two, _, _ = expand(items[:1], frames=2)
    assert [item.choice for item in two] == [PixelChoice(1), PixelChoice(4)]
    pictures = [decode_dicom(item.path, item.choice) for item in two]
    assert (pictures[0] != pictures[1]).any()


def test_frames_of_a_ct_file_are_chosen_as_slices(tmp_path: Path) -> None:
    pixels = np.stack([gray_ramp(low=frame) for frame in range(5)]).astype(np.int16)
    items = written(tmp_path, [make_dicom(pixels, "CT")])
    assert [item.choice for item in expand(items, frames="first")[0]] == [PixelChoice(2)]
    assert len(expand(items, slices=2)[0]) == 2


def test_single_pictures_of_other_kinds_are_all_taken(tmp_path: Path) -> None:
    views = [
        in_series(make_dicom(gray_ramp(high=number + 9).astype(np.uint16), "DX"), "P1", 1, number) for number in (1, 2)
    ]
    kept, left, _ = expand(written(tmp_path, views))
    assert len(kept) == 2 and not left and "attr.slice" not in kept[0].fields
    assert kept[0].fields["modality"] == "radiograph"


@pytest.mark.parametrize(
    ("count", "rule", "places"),
    [(1, "middle", [0]), (2, "middle", [1]), (7, "middle", [3]), (9, 3, [1, 4, 7]), (10, 4, [1, 3, 6, 8]),
     (3, 5, [0, 1, 2]), (3, "all", [0, 1, 2]), (3, "first", [0]), (5, 1, [2])],
)  # fmt: skip
def test_wanted_places_are_evenly_spaced(count: int, rule: Any, places: list[int]) -> None:
    assert spread(count, rule) == places


def test_the_header_fills_age_sex_site_and_modality(tmp_path: Path) -> None:
    dataset = slice_of("P1", 1, 1, PatientAge="034Y", PatientSex="F", BodyPartExamined="CHEST")
    fields = expand(written(tmp_path, [dataset]))[0][0].fields
    assert (fields["age"], fields["sex"], fields["site"], fields["modality"]) == (34.0, "female", "chest", "CT")


@pytest.mark.parametrize(
    ("text", "years"),
    [("034Y", 34.0), ("006M", 0.5), ("002W", 0.04), ("010D", 0.03), ("097Y", 90.0), ("", None), ("x", None)],
)
def test_ages_become_years_and_the_oldest_are_not_told_apart(text: str, years: float | None) -> None:
    assert age_in_years(text) == years


@pytest.mark.parametrize("identifier", ["", "ANONYMOUS", "0000", "Unknown"])
def test_without_a_usable_patient_id_the_study_is_the_group(tmp_path: Path, identifier: str) -> None:
    datasets = [slice_of("P1", 1, 1, series=series, PatientID=identifier) for series in (1, 2)]
    kept, _, notes = expand(written(tmp_path, datasets))
    assert all("patient_id" not in item.fields for item in kept)
    assert kept[0].fields["group_id"] == kept[1].fields["group_id"] == f"study_{kept[0].fields['attr.study_id']}"
    assert "2 DICOM files carry no usable patient id: they are grouped by study" in notes


def test_what_a_table_gives_holds_but_not_over_the_pseudonyms(tmp_path: Path) -> None:
    given = {"patient_id": "row7", "age": 50.0, "attr.series_id": "upstream", "attr.scanner": "B"}
    kept, _, notes = expand(written(tmp_path, [slice_of("P1", 1, 1, PatientAge="034Y")], **given))
    fields = kept[0].fields
    assert (fields["patient_id"], fields["age"], fields["attr.scanner"]) == ("row7", 50.0, "B")
    assert fields["attr.series_id"] != "upstream" == fields["attr.upstream_series_id"]
    assert "1 DICOM files take their patient id from the table: check that it is no name" in notes


@pytest.mark.parametrize(
    ("dataset", "state"),
    [
        (clip_of("P1"), "unknown"),
        (clip_of("P1", BurnedInAnnotation="NO"), "no"),
        (slice_of("P1", 1, 1, BurnedInAnnotation="YES"), "yes"),
        (slice_of("P1", 1, 1), None),
        (slice_of("P1", 1, 1, ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]), "unknown"),
        (in_series(make_dicom(random_image(1), "OT"), "P1", 1, 1), "unknown"),
    ],
)
def test_burnt_in_text_is_told(tmp_path: Path, dataset: Dataset, state: str | None) -> None:
    kept, _, notes = expand(written(tmp_path, [dataset]))
    assert kept[0].fields.get("attr.burnt_in_annotation") == state
    assert any("burnt" in note for note in notes) == (state in ("yes", "unknown"))


def test_colors_have_no_window(tmp_path: Path) -> None:
    colors = palette_dicom(gray_ramp(high=1).astype(np.uint8), [(1, 2, 3), (4, 5, 6)])
    kept, _, _ = expand(written(tmp_path, [in_series(colors, "P1", 1, 1)]), window="40/80")
    assert kept[0].choice == PixelChoice() and "attr.window" not in kept[0].fields


def test_files_that_cannot_be_used_are_set_aside_by_number_and_others_pass(tmp_path: Path) -> None:
    good = written(tmp_path, [slice_of("P1", 1, 1)])
    bad = written(tmp_path, [compressed_as(JPEGLSLossless), make_dicom(None, "SR"), slice_of("P2", 1, 1)], "bad")
    bad[2].path.write_bytes(bad[2].path.read_bytes()[:300])
    seg = written(tmp_path, [make_dicom(np.eye(8, dtype=np.uint8), "SEG")], "seg")
    other = ImportItem(str(write_image(tmp_path / "a.png", 1)), "a.png", "sick")
    gone = replace(good[0], file=str(tmp_path / "gone.dcm"))
    items, rows, notes = expand_dicom([other, *good, *bad, *seg, gone], DicomChoice(), PSEUDONYMS)
    assert items[0] == other and len(items) == 2
    reasons = ["unsupported_compression", "missing_pixel_data", "damaged_image", "not_an_image", "unreadable_file"]
    assert [row.reason for row in rows] == reasons
    assert [row.path for row in rows] == [f"dicom_file_{number:06d}" for number in (3, 4, 5, 6, 7)]
    assert rows[0].detail.endswith(
        'install it with pip install "tenfold[dicom]" (DICOM file 3 of the source in sorted order)'
    )
    assert rows[3].detail.startswith("the DICOM file holds no picture of a patient, but a segmentation")
    assert any(note.startswith("5 DICOM files cannot be used") for note in notes)


def test_a_header_that_promises_endless_frames_is_damaged(tmp_path: Path) -> None:
    _, rows, _ = expand(written(tmp_path, [clip_of("P1", NumberOfFrames=2_000_000_000)]), frames="all")
    assert [(row.reason, row.detail[:43]) for row in rows] == [
        ("damaged_image", "the DICOM header promises 2000000000 frames")
    ]


def test_expanding_again_changes_nothing(tmp_path: Path) -> None:
    once, _, _ = expand(written(tmp_path, [*stack(count=3), clip_of("P2")]))
    again, rows, notes = expand(once)
    assert again == once and not rows and not notes


def test_names_are_series_and_number_each_once(tmp_path: Path) -> None:
    twins = [slice_of("P1", 1, 1), slice_of("P1", 1, 1)]
    kept, _, _ = expand(written(tmp_path, twins), slices="all")
    series = kept[0].fields["attr.series_id"]
    assert [item.name for item in kept] == [f"{series}/0001", f"{series}/0001_2"]


def test_classes_named_after_their_patients_are_refused(tmp_path: Path) -> None:
    items = [
        *written(tmp_path, [slice_of("PAT01", 1, 1)], "PAT01"),
        *written(tmp_path, [slice_of("PAT02", 1, 1)], "pat_02"),
    ]
    with pytest.raises(DataError) as caught:
        expand(items)
    assert caught.value.what == "2 of 2 classes are named after the patient whose files they hold"
    assert "PAT01" not in str(caught.value) and "labels.csv" in caught.value.expected
