"""Presets: tables in the format of public archives, with made-up rows, are known by their columns and read rightly."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.data.importers import Listing, SourceOptions, detect_format, list_source
from tenfold.data.presets.listing import duplicate_groups
from tests.image_files import write_image

FITZPATRICK = (
    "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,three_partition_label,qc,url,url_alphanum"
)
DDI = ",DDI_ID,DDI_file,skin_tone,malignant,disease"
HAM = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
ISIC = "image_name,patient_id,lesion_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
COHEN = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
    "needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,lymphocyte_count,"
    "view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,"
)


def write(path: Path, header: str, rows: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def images(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        write_image(root / name, number)
    return root


def cohen(patient: str, finding: str, filename: str, modality: str = "X-ray") -> str:
    return f"{patient},3,F,61,{finding},{',' * 12},PA,{modality},2020,somewhere,images,{filename},,,CC0,,,"


def facts(listing: Listing, *names: str) -> dict[str, tuple[object, ...]]:
    """Image -> label and these fields."""
    return {item.name: (item.label, *(item.fields.get(name) for name in names)) for item in listing.items}


@pytest.fixture
def fitzpatrick(tmp_path: Path) -> Path:
    rows = [
        "aa11,5,4,psoriasis,inflammatory,non-neoplastic,,http://x.invalid/1.jpg,httpxinvalid1jpg.jpg",
        "bb22,-1,2,psoriasis,inflammatory,non-neoplastic,3 Wrongly labelled,http://x.invalid/2.jpg,httpxinvalid2jpg.jpg",
        "cc33,2,2,melanoma,malignant melanoma,malignant,,http://x.invalid/3.jpg,httpxinvalid3jpg.jpg",
    ]
    write(tmp_path / "fitzpatrick17k.csv", FITZPATRICK, rows)
    return images(tmp_path, "images/aa11.jpg", "finalfitz17k/httpxinvalid2jpg.jpg")


def test_fitzpatrick17k(fitzpatrick: Path) -> None:
    listing = list_source(fitzpatrick)
    assert listing.format == "fitzpatrick17k"
    assert facts(listing, "skin_type", "skin_type_source", "modality", "attr.fitzpatrick_centaur") == {
        "images/aa11.jpg": ("psoriasis", 5, "given", "clinical photograph", "4"),
        "finalfitz17k/httpxinvalid2jpg.jpg": ("psoriasis", None, "given", "clinical photograph", "2"),
    }
    assert [(row.line, row.reason, row.label, row.path) for row in listing.quarantined] == [
        (4, "missing_file", "melanoma", "cc33"),
    ]
    assert listing.skin_types == {"psoriasis": {"5": 1, "unknown": 1}, "melanoma": {"2": 1}}
    assert listing.reasons["skin_type"] == "'fitzpatrick_scale' is the archive's own column for skin type"
    assert any("CC BY-NC-SA 3.0" in note for note in listing.notes)


def test_a_column_map_overrules_a_preset(fitzpatrick: Path) -> None:
    listing = list_source(fitzpatrick, SourceOptions(column_map={"label": "three_partition_label"}))
    assert {item.label for item in listing.items} == {"non-neoplastic"}
    assert listing.items[0].fields["attr.label"] == "psoriasis"


def test_ddi(tmp_path: Path) -> None:
    rows = ["0,1,000001.png,56,True,melanoma", "1,2,000002.png,12,False,nevus", "2,3,000003.png,34,False,nevus"]
    write(tmp_path / "ddi_metadata.csv", DDI, rows)
    images(tmp_path, "000001.png", "images/000002.png")
    listing = list_source(tmp_path)
    assert listing.format == "ddi"
    assert facts(listing, "skin_type", "skin_type_group", "attr.disease") == {
        "000001.png": ("malignant", None, "V-VI", "melanoma"), "images/000002.png": ("benign", None, "I-II", "nevus"),
    }  # fmt: skip
    assert Counter(row.reason for row in listing.quarantined) == {"missing_file": 1}
    mapped = list_source(tmp_path, SourceOptions("ddi", {"label": "disease"}))
    assert [item.label for item in mapped.items] == ["melanoma", "nevus"]


@pytest.mark.parametrize("name", ["HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata"])
def test_ham10000(tmp_path: Path, name: str) -> None:
    mark = "," if name.endswith("csv") else "\t"
    rows = ["HAM_1,ISIC_1,df,histo,50,male,back,rosendahl", "HAM_1,ISIC_2,df,histo,,unknown,unknown,rosendahl",
            "HAM_2,ISIC_3,nv,histo,5,female,face,vidir_modern"]  # fmt: skip
    write(tmp_path / name, HAM.replace(",", mark), [row.replace(",", mark) for row in rows])
    images(
        tmp_path, "HAM10000_images_part_1/ISIC_1.jpg", "HAM10000_images_part_2/ISIC_2.jpg",
        "HAM10000_segmentations_lesion_tschandl/ISIC_1_segmentation.png",
    )  # fmt: skip
    listing = list_source(tmp_path, SourceOptions("ham10000"))
    assert facts(listing, "lesion_id", "age", "sex", "site", "attr.dataset", "modality") == {
        "HAM10000_images_part_1/ISIC_1.jpg": ("df", "HAM_1", 50.0, "male", "back", "rosendahl", "dermatoscopy"),
        "HAM10000_images_part_2/ISIC_2.jpg": ("df", "HAM_1", None, None, None, "rosendahl", "dermatoscopy"),
    }
    assert [item.mask_path is not None for item in listing.items] == [True, False]
    assert [row.path for row in listing.quarantined] == ["ISIC_3"]


def test_isic2020_and_its_duplicates(tmp_path: Path) -> None:
    rows = [
        f"ISIC_{k},IP_{k},IL_{k},female,45.0,torso,unknown,{'malignant' if k == 3 else 'benign'},0" for k in range(5)
    ]
    write(tmp_path / "ISIC_2020_Training_GroundTruth_v2.csv", ISIC, rows)
    write(tmp_path / "ISIC_2020_Training_GroundTruth.csv", ISIC.replace("lesion_id,", ""), ["x"])
    pairs = ["ISIC_2,ISIC_0", "ISIC_2,ISIC_4"]
    write(tmp_path / "ISIC_2020_Training_Duplicates.csv", "image_name_1,image_name_2", pairs)
    images(tmp_path, *(f"train/ISIC_{k}.jpg" for k in range(5)))
    listing = list_source(tmp_path)
    assert listing.format == "isic2020" and not listing.quarantined
    told = facts(listing, "patient_id", "lesion_id", "group_id", "age", "site")
    assert told["train/ISIC_3.jpg"] == ("malignant", "IP_3", "IL_3", None, 45.0, "torso")
    assert [told[f"train/ISIC_{k}.jpg"][3] for k in range(5)] == [*["isic2020_ISIC_0", None] * 2, "isic2020_ISIC_0"]
    assert listing.notes[0] == ("ISIC_2020_Training_Duplicates.csv: 3 images in 1 groups of duplicates stay together")
    os.remove(tmp_path / "ISIC_2020_Training_Duplicates.csv")
    assert "is not beside the table" in list_source(tmp_path).notes[0]
    write(tmp_path / "ISIC_2020_Training_Duplicates.csv", "first,second", pairs)
    with pytest.raises(DataError, match=r"no pairs of images(.|\n)*image_name_1 and image_name_2"):
        list_source(tmp_path)


def test_duplicate_groups_join_chains() -> None:
    assert duplicate_groups([("c", "b"), ("a", "b"), ("x", "y"), ("c", "c")], "g_") == {
        "a": "g_a", "b": "g_a", "c": "g_a", "x": "g_x", "y": "g_x",
    }  # fmt: skip


@pytest.fixture
def nih(tmp_path: Path) -> Path:
    rows = [
        "1_000.png,No Finding,0,1,058Y,M,PA,2682,2749,0.143,0.143,",
        "2_000.png,Effusion|Mass,0,2,61,F,AP,2500,2048,0.171,0.171,",
        "3_000.png,Mass,0,2,61,F,AP,2500,2048,0.171,0.171,",
        "4_000.png,Mass|Edema,1,3,414,F,AP,2500,2048,0.171,0.171,",
    ]
    write(tmp_path / "Data_Entry_2017.csv", NIH, rows)
    (tmp_path / "test_list.txt").write_text("3_000.png\n")
    (tmp_path / "train_val_list.txt").write_text("1_000.png\n2_000.png\n")
    return images(tmp_path, "images_001/images/1_000.png", *(f"images/{k}_000.png" for k in (2, 3, 4)))


def test_nih_takes_images_of_one_finding(nih: Path) -> None:
    listing = list_source(nih)
    assert listing.format == "cxr"
    assert facts(listing, "patient_id", "age", "sex", "attr.split", "attr.View Position") == {
        "images_001/images/1_000.png": ("No Finding", "1", 58.0, "male", "train", "PA"),
        "images/3_000.png": ("Mass", "2", 61.0, "female", "test", "AP"),
    }
    assert [(row.line, row.reason, row.label) for row in listing.quarantined] == [
        (3, "several_labels", None), (5, "several_labels", None),
    ]  # fmt: skip
    assert "Effusion, Mass" in listing.quarantined[0].detail


def test_nih_takes_the_one_chosen_finding_of_several(nih: Path) -> None:
    listing = list_source(nih, SourceOptions(classes=["Mass", "Effusion"]))
    assert facts(listing, "attr.all_labels") == {
        "images/3_000.png": ("Mass", None),
        "images/4_000.png": ("Mass", "Mass|Edema"),
    }
    assert [row.line for row in listing.quarantined] == [3]
    assert listing.other_classes == {"No Finding": 1}
    assert any("1 images of the chosen classes have other labels besides" in note for note in listing.notes)
    assert "column Patient Age: 1 cells are no age and were kept as attr.Patient Age" in listing.notes
    with pytest.raises(DataError, match=r"unknown classes: 'Masses'(.|\n)*did you mean 'Mass'"):
        list_source(nih, SourceOptions(classes=["Masses"]))


def test_cohen(tmp_path: Path) -> None:
    rows = [
        cohen("7", "Pneumonia/Viral/COVID-19", "a.jpeg"),
        cohen("8", "todo", "b.jpeg"),
        cohen("9", "No Finding", "c.gz", "CT"),
    ]
    write(tmp_path / "metadata.csv", COHEN, rows)
    listing = list_source(images(tmp_path, "images/a.jpeg", "images/b.jpeg"))
    assert listing.format == "cxr"
    assert facts(listing, "patient_id", "modality", "attr.license") == {
        "images/a.jpeg": ("Pneumonia/Viral/COVID-19", "7", "X-ray", "CC0"),
    }  # fmt: skip
    assert listing.quarantined[0].detail == "column finding says 'todo'"
    assert [row.reason for row in listing.quarantined] == ["no_label", "missing_file"]


def test_both_chest_collections_in_one_folder(nih: Path) -> None:
    rows = [cohen("1", "Pneumonia/Viral/COVID-19", "a.jpeg"), cohen("2", "No Finding", "gone.jpeg")]
    write(nih / "metadata.csv", COHEN, rows)
    listing = list_source(images(nih, "images/a.jpeg"))
    assert facts(listing, "patient_id", "attr.collection") == {
        "images_001/images/1_000.png": ("No Finding", "nih_1", "nih_chestxray14"),
        "images/3_000.png": ("Mass", "nih_2", "nih_chestxray14"),
        "images/a.jpeg": ("Pneumonia/Viral/COVID-19", "cohen_1", "cohen_covid_chestxray"),
    }
    assert listing.columns["label"] == "Finding Labels / finding"
    assert listing.quarantined[-1].detail.startswith("metadata.csv: no such image")
    chosen = list_source(nih, SourceOptions("cxr", classes=["pneumonia/viral/covid-19", "Mass"]))
    assert sorted(Counter(item.label for item in chosen.items).items()) == [
        ("Mass", 3),
        ("pneumonia/viral/covid-19", 1),
    ]
    with pytest.raises(DataError, match="unknown classes: 'gone'"):
        list_source(nih, SourceOptions("cxr", classes=["gone"]))


def test_a_forced_preset_names_what_it_expects(tmp_path: Path) -> None:
    table = write(tmp_path / "metadata.csv", "image,diagnosis_type,dxs", ["a,b,c"])
    with pytest.raises(
        DataError, match=r"the table is no table of ham10000(.|\n)*lesion_id(.|\n)*--format table"
    ) as caught:
        list_source(table, SourceOptions("ham10000"))
    assert "did you mean" in str(caught.value)
    with pytest.raises(DataError, match=r"the folder holds no table of ddi(.|\n)*ddi_metadata.csv with the columns"):
        list_source(tmp_path, SourceOptions("ddi"))


def test_a_preset_may_be_refused(fitzpatrick: Path) -> None:
    table = fitzpatrick / "fitzpatrick17k.csv"
    assert detect_format(table) == ("fitzpatrick17k", table)
    listing = list_source(table, SourceOptions("table"))
    assert listing.format == "table" and listing.columns["skin_type"] == "fitzpatrick_scale"


@pytest.fixture
def real_folder() -> Callable[[str], Path]:
    """The folder of a set of real images; the test is skipped where there is none."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "data"

    def of(name: str) -> Path:
        if not (folder / name).is_dir():
            pytest.skip(f"no real images: {folder / name} is not there")
        return folder / name

    return of


@pytest.mark.real_data
def test_ham5_says_the_same_in_three_ways(real_folder: Callable[[str], Path]) -> None:
    ham5 = real_folder("ham5")
    listings = [list_source(ham5, SourceOptions(kind)) for kind in ("folder", "table", "ham10000")]
    labels = [{item.path: item.label for item in listing.items} for listing in listings]
    lesions = [{item.path: item.fields.get("lesion_id") for item in listing.items} for listing in listings]
    assert labels[0] == labels[1] == labels[2] and len(labels[0]) == 1437
    assert set(labels[0].values()) == {"akiec", "bcc", "bkl", "df", "vasc"}
    assert lesions[1] == lesions[2] and len(set(lesions[1].values())) == 1062


@pytest.mark.real_data
def test_wbc_takes_its_masks(real_folder: Callable[[str], Path]) -> None:
    by_table, by_folder = (list_source(real_folder("wbc"), SourceOptions(kind)) for kind in ("table", "folder"))
    masks = {item.path: item.mask_path for item in by_table.items}
    assert len(masks) == 400 and None not in masks.values()
    assert masks == {item.path: item.mask_path for item in by_folder.items}


@pytest.mark.real_data
def test_the_real_fitzpatrick17k_reports_all_images_missing(real_folder: Callable[[str], Path]) -> None:
    listing = list_source(real_folder("fitzpatrick17k"))
    assert listing.format == "fitzpatrick17k" and not listing.items
    assert Counter(row.reason for row in listing.quarantined) == {"missing_file": 16_577}
    assert len(listing.skin_types) == 114
    assert sum(sum(counts.values()) for counts in listing.skin_types.values()) == 16_577
    assert sum(counts.get("unknown", 0) for counts in listing.skin_types.values()) == 565
