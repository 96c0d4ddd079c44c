"""Configuration of intake and of the split."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tenfold.core.config import StageConfig

PHANTOM = "phantom"
NOT_STATED = "not stated"

SkinType = Annotated[int, Field(ge=1, le=6)]


class PhantomConfig(StageConfig):
    """The cohort that the phantom draws when `source` is `phantom`."""

    images_per_class: Annotated[int, Field(ge=1)] | dict[str, Annotated[int, Field(ge=1)]] = 100
    """Images of every class, or a number by class."""

    skin_types: Annotated[tuple[SkinType, ...], Field(min_length=1)] = (1, 2, 3, 4, 5, 6)
    """Fitzpatrick skin types that patients have, drawn evenly."""


class DicomConfig(StageConfig):
    """Which images of a DICOM series or clip are taken, and how their values become gray levels."""

    slices: Literal["middle", "all"] | Annotated[int, Field(ge=1)] = "middle"
    """Of a CT or MR series: the middle slice, all, or this many evenly spaced ones."""

    frames: Literal["middle", "first", "all"] | Annotated[int, Field(ge=1)] = "middle"
    """Of a file with several frames (ultrasound clips): the middle or first one, all, or this many evenly spaced."""

    window: str = "file"
    """`file`: the file's own VOI window; a named CT window (brain, subdural, stroke, bone, lung, mediastinum, abdomen,
    liver, soft_tissue); or `CENTER/WIDTH` in the file's units (Hounsfield units in CT)."""


class IntakeConfig(StageConfig):
    """Where real images come from and how they become a manifest."""

    source: Annotated[str, Field(min_length=1)] = PHANTOM
    """`phantom`, or the path of a folder or table of images (a folder named phantom: `./phantom`)."""

    format: Literal[
        "auto",
        "phantom",
        "folder",
        "table",
        "imagefolder",
        "dicom",
        "fitzpatrick17k",
        "ddi",
        "ham10000",
        "isic2020",
        "cxr",
    ] = "auto"
    """How the source is laid out: one folder per class, a table with one row per image, a Hugging Face imagefolder, a
    DICOM export, or the files of a public archive as their publisher ships them."""

    classes: list[str] | None = None
    """The classes to take; all of the source when null (of the phantom: its emerging conditions)."""

    class_nouns: dict[str, str] = Field(default_factory=dict)
    """Phrases for classes in captions and prompts, e.g. {df: dermatofibroma}; else the label itself."""

    column_map: dict[str, str] = Field(default_factory=dict)
    """Manifest column (or `image`) -> column of the table, where the usual names do not tell."""

    image_size_px: Annotated[int, Field(ge=16, le=1024)] = 64
    """Side of the square images that are written."""

    resize_mode: Literal["center_crop", "pad"] = "center_crop"
    """Whether what lies outside the central square is cut off, or the whole image is fitted into the square."""

    modality: str | None = None
    """Kind of the images, e.g. dermatoscopy, for rows whose table does not tell."""

    data_license: str = NOT_STATED
    """License of the images; while it is not stated, the workspace's own."""

    is_strict: bool = False
    """Whether any row that cannot be kept stops the import; else such rows are set aside in the quarantine."""

    estimate_skin_type: Literal["auto", "always", "never"] = "auto"
    """Whether a missing skin type is estimated from the skin's color (ITA). auto: on photographs of skin only."""

    dicom: DicomConfig = DicomConfig()
    phantom: PhantomConfig = PhantomConfig()


class SplitConfig(StageConfig):
    """How images become train, val and test: by whole groups of patient, lesion and near-duplicates."""

    method: Literal["grouped", "upstream", "ids", "k_fold"] = "grouped"
    """grouped: drawn by the seed; upstream: as a column of the source says; ids: as lists of ids say; k_fold: one of
    k folds is the test, the next one validation."""

    test_per_class: Annotated[int, Field(ge=1)] | None = None
    """Images of each class for a balanced test."""

    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of each class for the test; 0.25 when neither is given."""

    validation_per_class: Annotated[int, Field(ge=1)] | None = None
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of each class for validation; 0.15 when neither is given. An upstream split without validation images
    gets them from its training groups."""

    stratify_by: list[str] = Field(default_factory=list)
    """Manifest columns that each class keeps in proportion, e.g. [skin_type_group, sex, attr.clinic]; the label always
    is."""

    folds: Annotated[int, Field(ge=3)] | None = None
    """For k_fold: the number of folds."""

    fold: Annotated[int, Field(ge=0)] = 0
    """For k_fold: the fold that is the test, from 0."""

    upstream_column: str = "attr.split"
    """For upstream: the manifest column that names the splits."""

    upstream_values: dict[str, Literal["train", "val", "test"]] = Field(default_factory=dict)
    """For upstream: what its values mean, beside train, training, val, valid, validation, dev, test and testing."""

    id_files: dict[Literal["train", "val", "test"], str] = Field(default_factory=dict)
    """For ids: a text or CSV file for train and test, and for val where there is one."""

    id_column: str | None = None
    """For ids: the column that the ids are of (such as md5hash or patient_id); else found by itself."""

    rest: Literal["refuse", "train", "drop"] = "refuse"
    """Images that the upstream column or lists leave out: an error, training images, or in no split."""

    crossing: Literal["refuse", "move_to_train", "keep_test", "allow"] = "refuse"
    """Groups that the upstream column or lists part: an error; moved to training whole; kept in the test, their other
    images left out; or left parted, so that results leak."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Seed of the assignment; derived from the workspace's root seed when null."""

    @model_validator(mode="after")
    def _one_size_each(self) -> Self:
        for name in ("test", "validation"):
            if getattr(self, f"{name}_per_class") is not None and getattr(self, f"{name}_fraction") is not None:
                raise ValueError(f"give {name}_per_class or {name}_fraction, not both")
        return self

    @model_validator(mode="after")
    def _options_of_the_method(self) -> Self:
        sizes = ["test_per_class", "test_fraction"]
        if self.method == "k_fold":
            sizes += ["validation_per_class", "validation_fraction"]
        given = [name for name in sizes if getattr(self, name) is not None]
        if self.method != "grouped" and given:
            raise ValueError(f"method {self.method} has its own sizes: leave out {', '.join(given)}")
        if (self.method == "k_fold") != (self.folds is not None):
            raise ValueError("method k_fold needs folds, such as 5, and no other method takes it")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} does not exist: the first is 0")
        if (self.method == "ids") != bool(self.id_files):
            raise ValueError("method ids needs id_files, such as {train: a.txt, test: b.txt}; no other takes them")
        if self.method == "ids" and not {"train", "test"} <= set(self.id_files):
            raise ValueError("id_files needs a list for train and one for test; val may be left out")
        return self


class CheckConfig(StageConfig):
    """What the data checks look for."""

    smallest_side_px: Annotated[int, Field(ge=1)] = 32
    """Originals with a shorter side are flagged as tiny."""

    largest_megapixels: Annotated[float, Field(gt=0)] = 50.0
    """Originals with more are flagged as absurdly large."""

    embedding_similarity: Annotated[float, Field(gt=0, le=1)] = 0.98
    """Cosine similarity of features from which two images may be near-duplicates."""

    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Folds of the cross-validated models behind label errors and confounds."""

    confound_auroc: Annotated[float, Field(gt=0.5, lt=1)] = 0.7
    """File facts that tell a class with an AUROC whose interval lies above this are flagged as a confound."""

    smallest_subgroup: Annotated[int, Field(ge=1)] = 20
    """Test images below which a subgroup is grayed out as underpowered."""

    discordance: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of test images on which exactly one of two classifiers is right, for the planned power."""

    montage_images: Annotated[int, Field(ge=1, le=48)] = 12
    """Images per class on the intake page."""


class ExternalConfig(StageConfig):
    """Synthetic images made elsewhere: they come in flagged, as images whose ancestors nobody here knows."""

    source: Annotated[str, Field(min_length=1)]
    """The path of a folder or table of images, laid out as for real ones."""

    generator: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][\w.-]{0,63}$")]
    """Name of what made them, such as dermt2im; the images go to `synthetic/<name>`."""

    format: Literal["auto", "folder", "table", "imagefolder"] = "auto"
    """How the source is laid out."""

    classes: list[str] | None = None
    """The classes to take; all of the source when null."""

    class_nouns: dict[str, str] = Field(default_factory=dict)
    """Phrases for classes in captions; else the label itself."""

    column_map: dict[str, str] = Field(default_factory=dict)
    """Manifest column (or `image`) -> column of the table, where the usual names do not tell."""

    image_size_px: Annotated[int, Field(ge=16, le=1024)] | None = None
    """Side of the square images that are written; that of the workspace's real images (or 64) when null."""

    resize_mode: Literal["center_crop", "pad"] | None = None
    """As in the import of real images; the workspace's own when null (or center_crop)."""

    data_license: str = NOT_STATED
    """License of the images, as their makers state it."""

    is_strict: bool = False
    """Whether any row that cannot be kept stops the import."""
