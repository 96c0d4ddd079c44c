"""DICOM fields: the few manifest columns that a header may fill, and the words for them; nothing else leaves it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tenfold.data.dicom_header import DicomHeader
from tenfold.data.dicom_windows import Window, is_named, window_text
from tenfold.data.manifest import ATTRIBUTE_PREFIX
from tenfold.data.pseudonyms import Pseudonyms

VOLUMES = ("CT", "MR", "PT")
"""Modalities whose series are stacks of slices of one body."""

NOT_PICTURES: Mapping[str, str] = MappingProxyType({
    "SEG": "segmentation", "RTDOSE": "dose map", "RTPLAN": "treatment plan", "RTSTRUCT": "set of contours",
    "PR": "presentation state", "KO": "list of key objects", "SR": "report", "REG": "registration",
    "RWV": "table of real-world values", "ECG": "waveform",
})  # fmt: skip
"""Modalities of files that hold no picture of a patient, though some carry pixels, and what they hold."""

OLDEST_TOLD = 90.0
"""Ages above are written as this one: so few people are that old that their age can name them."""

_MODALITIES = MappingProxyType({
    "CT": "CT", "MR": "MR", "PT": "PET", "NM": "nuclear medicine", "US": "ultrasound", "IVUS": "ultrasound",
    "CR": "radiograph", "DX": "radiograph", "MG": "mammography", "IO": "dental radiograph", "PX": "dental radiograph",
    "XA": "angiography", "RF": "fluoroscopy", "XC": "clinical photograph", "DMS": "dermatoscopy",
    "ES": "endoscopy", "OP": "fundus photograph", "OPT": "optical coherence tomography",
    "OCT": "optical coherence tomography", "SM": "slide microscopy", "GM": "microscopy",
})  # fmt: skip
_SEXES = MappingProxyType({"M": "male", "F": "female", "O": "other"})
_DAYS = MappingProxyType({"Y": 365.25, "M": 30.4375, "W": 7.0, "D": 1.0})
_PLACEHOLDERS = {
    "anon", "anonymous", "anonymized", "anonymised", "unknown", "none", "na", "n/a", "null", "patient", "test", "noid",
    "noname", "removed", "deidentified",
}  # fmt: skip
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_WRITTEN_ON = ("US", "IVUS", "OT", "SC", "ES", "XC", "XA", "RF")
_BODY_PART = re.compile(r"[a-z][a-z0-9 _-]{0,31}")


def header_fields(header: DicomHeader, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """patient_id, modality, site, age, sex and attr.* of a header; columns that it does not tell are left out.

    Without a usable patient id the study is the group. burnt_in_annotation: as the file says; ``unknown`` where it is
    silent and its kind often carries text (ultrasound, screen captures); left out where both are not so.
    """
    fields = {
        "patient_id": patient_of(header, pseudonyms), "group_id": None, "modality": _MODALITIES.get(header.modality),
        "site": _site(header), "age": age_in_years(header.age), "sex": _SEXES.get(header.sex),
        "attr.study_id": pseudonyms.of("study", header.study_uid) if header.study_uid else None,
        "attr.series_id": pseudonyms.of("series", header.series_uid) if header.series_uid else None,
        "attr.burnt_in_annotation": burnt_in(header),
    }  # fmt: skip
    if fields["patient_id"] is None and fields["attr.study_id"] is not None:
        fields["group_id"] = f"study_{fields['attr.study_id']}"
    return {name: value for name, value in fields.items() if value is not None}


def merged_fields(given: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """What a table gave and what the header told: the table's word holds, but for `attr.*`, where both are kept."""
    fields = dict(told)
    for name, value in given.items():
        is_taken = name in told and name.startswith(ATTRIBUTE_PREFIX)
        fields[f"{ATTRIBUTE_PREFIX}upstream_{name.removeprefix(ATTRIBUTE_PREFIX)}" if is_taken else name] = value
    if "patient_id" in given and "group_id" not in given:
        fields.pop("group_id", None)
    return fields


def patient_of(header: DicomHeader, pseudonyms: Pseudonyms) -> str | None:
    """The patient's pseudonym; None when the id is missing or a filler such as ANONYMOUS or 0000."""
    return pseudonyms.of("patient", header.patient_id) if has_patient(header) else None


def has_patient(header: DicomHeader) -> bool:
    """Whether the patient id is there and no filler."""
    identifier = header.patient_id.lower()
    return bool(identifier) and identifier not in _PLACEHOLDERS and set(identifier) not in ({"0"}, {"x"}, {"-"})


def age_in_years(text: str) -> float | None:
    """Years of a DICOM age such as 034Y, 006M, 003W or 012D; at most `OLDEST_TOLD`; None when it is not understood."""
    found = re.fullmatch(r"(\d{1,3})([YMWD])", text.strip().upper())
    if found is None:
        return None
    years = float(found[1]) if found[2] == "Y" else round(int(found[1]) * _DAYS[found[2]] / _DAYS["Y"], 2)
    return min(years, OLDEST_TOLD)


def burnt_in(header: DicomHeader) -> str | None:
    """``yes`` or ``no`` as the file says, ``unknown`` where text in the picture is common, else None."""
    if header.burnt_in in ("YES", "NO"):
        return header.burnt_in.lower()
    is_capture = header.class_uid.startswith(_SECONDARY_CAPTURE) or "SCREEN SAVE" in header.image_type
    return "unknown" if is_capture or header.modality in _WRITTEN_ON else None


def window_of(header: DicomHeader, text: str, window: Window | None) -> tuple[Window | None, str | None]:
    """The window to use for a file (None: its own) and the words for attr.window; named windows are for CT only.

    Colors have no window: (None, None).
    """
    if header.samples > 1 or header.is_palette:
        return None, None
    if window is not None and (header.modality == "CT" or not is_named(text)):
        name = f"{text.strip().lower()} " if is_named(text) else ""
        return window, name + window_text(window)
    if header.has_voi_table:
        return None, "table of the file"
    return None, "own range" if header.window is None else f"file {window_text(header.window)}"


def _site(header: DicomHeader) -> str | None:
    """The body part; None for what is no such word, or holds a part of the patient's name or id."""
    text = " ".join(header.body_part.lower().split())
    names = [
        part for part in re.split(r"[\^= ,]", f"{header.patient_name}^{header.patient_id}".lower()) if len(part) > 2
    ]
    return text if _BODY_PART.fullmatch(text) and not any(name in text for name in names) else None
