"""The catalog of presets: columns, folders and words of each public archive's table."""

from __future__ import annotations

from dataclasses import dataclass

from tenfold.data.source_options import PresetName
from tenfold.data.table_layout import TableLayout

DERMATOSCOPY, CLINICAL, XRAY = "dermatoscopy", "clinical photograph", "X-ray"


@dataclass(frozen=True)
class Collection:
    """One archive: the preset it belongs to, and how its table is known and read.

    signature: columns in lower case that together only this archive's table has. tables: usual names of the table, best
    first. pairs: name of the table of its known duplicates; split_lists: file of image names, and their split. terms:
    the license or terms of use as the publisher states them.
    """

    preset: PresetName
    title: str
    signature: frozenset[str]
    tables: tuple[str, ...]
    layout: TableLayout
    terms: str
    pairs: str = ""
    split_lists: tuple[tuple[str, str], ...] = ()


COLLECTIONS: tuple[Collection, ...] = (
    Collection(
        "fitzpatrick17k",
        "Fitzpatrick17k",
        frozenset({"md5hash", "fitzpatrick_scale", "label"}),
        ("fitzpatrick17k.csv",),
        TableLayout(
            format="fitzpatrick17k",
            columns={"image": "md5hash", "label": "label", "skin_type": "fitzpatrick_scale"},
            other_images=("url_alphanum",),
            folders=("finalfitz17k", "data/finalfitz17k", "data", "fitzpatrick17k"),
            fixed={"modality": CLINICAL},
        ),
        "annotations CC BY-NC-SA 3.0; the images belong to the atlases they are linked from",
    ),
    Collection(
        "ddi",
        "Diverse Dermatology Images (DDI)",
        frozenset({"ddi_file", "skin_tone", "malignant"}),
        ("ddi_metadata.csv",),
        TableLayout(
            format="ddi",
            columns={"image": "DDI_file", "label": "malignant", "skin_type_group": "skin_tone"},
            folders=("ddidiversedermatologyimages",),
            labels={"true": "malignant", "false": "benign", "1": "malignant", "0": "benign"},
            fixed={"modality": CLINICAL},
        ),
        "Stanford University Dataset Research Use Agreement: no redistribution",
    ),
    Collection(
        "ham10000",
        "HAM10000",
        frozenset({"lesion_id", "image_id", "dx", "dx_type"}),
        ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata"),
        TableLayout(
            format="ham10000",
            columns={
                "image": "image_id", "label": "dx", "lesion_id": "lesion_id", "age": "age", "sex": "sex",
                "site": "localization",
            },
            folders=(
                "HAM10000_images_part_1", "HAM10000_images_part_2", "ham10000_images_part_1", "ham10000_images_part_2",
                "HAM10000_images",
            ),
            mask_folders=(
                "HAM10000_segmentations_lesion_tschandl",
                "HAM10000_segmentations_lesion_tschandl/HAM10000_segmentations_lesion_tschandl",
            ),
            fixed={"modality": DERMATOSCOPY},
        ),
        "CC BY-NC 4.0",
    ),
    Collection(
        "isic2020",
        "ISIC 2020 challenge, training set",
        frozenset({"image_name", "patient_id", "benign_malignant"}),
        ("ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_GroundTruth.csv", "train.csv"),
        TableLayout(
            format="isic2020",
            columns={
                "image": "image_name", "label": "benign_malignant", "patient_id": "patient_id",
                "lesion_id": "lesion_id", "age": "age_approx", "sex": "sex", "site": "anatom_site_general_challenge",
            },
            folders=("train", "ISIC_2020_Training_JPEG/train", "jpeg/train", "ISIC_2020_Training_JPEG"),
            fixed={"modality": DERMATOSCOPY},
        ),
        "CC BY-NC 4.0",
        pairs="ISIC_2020_Training_Duplicates.csv",
    ),
    Collection(
        "cxr",
        "NIH ChestX-ray14",
        frozenset({"image index", "finding labels", "patient id"}),
        ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv"),
        TableLayout(
            format="cxr",
            columns={
                "image": "Image Index", "label": "Finding Labels", "patient_id": "Patient ID", "age": "Patient Age",
                "sex": ("Patient Gender", "Patient Sex"),
            },
            folders=tuple(f"images_{number:03}{inner}" for inner in ("/images", "") for number in range(1, 13)),
            separator="|",
            fixed={"modality": XRAY, "attr.collection": "nih_chestxray14"},
        ),
        "free to use with credit to the NIH Clinical Center",
        split_lists=(("train_val_list.txt", "train"), ("test_list.txt", "test")),
    ),
    Collection(
        "cxr",
        "COVID-19 image data collection (Cohen)",
        frozenset({"patientid", "finding", "view", "filename"}),
        ("metadata.csv",),
        TableLayout(
            format="cxr",
            columns={
                "image": "filename", "label": "finding", "patient_id": "patientid", "age": "age", "sex": "sex",
                "modality": "modality",
            },
            unlabeled=frozenset({"todo", "unknown"}),
            fixed={"attr.collection": "cohen_covid_chestxray"},
        ),
        "each image under its own license, see attr.license; not for redistribution as a whole",
    ),
)  # fmt: skip
