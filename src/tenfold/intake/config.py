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
    """Sizes of the test and validation sets, per class: a number or a fraction each."""

    test_per_class: Annotated[int, Field(ge=1)] | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of each class for the test; 0.25 when neither is given."""

    validation_per_class: Annotated[int, Field(ge=1)] | None = None
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of each class for validation; 0.15 when neither is given."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Seed of the assignment; derived from the workspace's root seed when null."""

    @model_validator(mode="after")
    def _one_size_each(self) -> Self:
        for name in ("test", "validation"):
            if getattr(self, f"{name}_per_class") is not None and getattr(self, f"{name}_fraction") is not None:
                raise ValueError(f"give {name}_per_class or {name}_fraction, not both")
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
