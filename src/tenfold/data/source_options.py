"""Source options: what the person who imports says about a source, for every importer alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from tenfold.data.dicom_series import DicomChoice
    from tenfold.data.pseudonyms import Pseudonyms

PresetName = Literal["fitzpatrick17k", "ddi", "ham10000", "isic2020", "cxr"]
SourceFormat = Literal[
    "folder", "table", "imagefolder", "dicom", "fitzpatrick17k", "ddi", "ham10000", "isic2020", "cxr"
]
PRESET_NAMES: tuple[PresetName, ...] = get_args(PresetName)


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source.

    format: None to detect it. column_map: manifest column (or `image`, `mask`) -> upstream column, where the usual
    names do not tell. classes: the labels to take; None takes all. dicom: which slices, frames and window of DICOM
    files; pseudonyms: the keyed hash for their ids (without it, DICOM files are refused).
    """

    format: SourceFormat | None = None
    column_map: Mapping[str, str] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    dicom: DicomChoice | None = None
    pseudonyms: Pseudonyms | None = None
