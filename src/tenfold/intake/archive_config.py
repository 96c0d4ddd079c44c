"""Configuration of an unlabelled archive's import."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tenfold.core.config import StageConfig
from tenfold.intake.config import NOT_STATED, DicomConfig


class ArchiveConfig(StageConfig):
    """Images without classes, for pretraining: where they come from and how they become square pictures."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][\w.-]{0,63}$")] = "archive"
    """Folder of the archive, under archives/."""

    source: Annotated[str, Field(min_length=1)]
    """A folder of images (however nested), a table with one row per image, or another workspace."""

    folder_names: Literal["ignored", "labels"] = "ignored"
    """What the names of subfolders mean: nothing (patients, years), or the class, which then goes into captions."""

    column_map: dict[str, str] = Field(default_factory=dict)
    """Manifest column (or `image`) -> column of the table, where the usual names do not tell."""

    class_nouns: dict[str, str] = Field(default_factory=dict)
    """Phrases for classes in captions; else the label itself."""

    image_size_px: Annotated[int, Field(ge=16, le=1024)] = 64
    """Side of the square images that are written."""

    resize_mode: Literal["center_crop", "pad"] = "center_crop"
    """Whether what lies outside the central square is cut off, or the whole image is fitted into the square."""

    data_license: str = NOT_STATED
    """License of the images; while it is not stated, the workspace's own."""

    dicom: DicomConfig = DicomConfig()
