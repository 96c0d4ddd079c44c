"""DICOM labels: a class by a tag of the header, and refusing labels that would name patients."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache

from tenfold.core.errors import DataError
from tenfold.data.dicom_header import DicomHeader
from tenfold.data.import_items import nearest_names

WAYS = (
    "one folder per class above the files; a table beside them (labels.csv) with a label column and a column "
    "PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID or file; or a tag: --map label=StudyDescription"
)
"""The ways to tell the classes of a DICOM export, for errors."""

_IDENTIFYING_VRS = ("PN", "UI", "DA", "DT", "TM")
_KEPT_PERSONAL = ("PatientAge", "PatientSex", "PatientSpeciesDescription", "SmokingStatus", "PregnancyStatus")
_IDENTIFYING = (
    "AccessionNumber", "StudyID", "DeviceSerialNumber", "StationName", "InstitutionName", "InstitutionAddress",
    "InstitutionalDepartmentName", "AdmissionID", "RequestedProcedureID", "ScheduledProcedureStepID",
    "PerformedProcedureStepID",
)  # fmt: skip
_IDENTIFYING_WORDS = {
    "name", "mrn", "dob", "birthdate", "dateofbirth", "accession", "address", "phone", "email", "patientname", "ssn",
}  # fmt: skip
_SHORTEST_NAME = 3


def check_label_tag(keyword: str, *, where: str) -> None:
    """DataError when a keyword is no DICOM tag, with the nearest ones, or one whose value can name a person."""
    from pydicom.datadict import tag_for_keyword

    if tag_for_keyword(keyword) is None:
        names = [*_keywords().values()]
        raise DataError(
            f"there is no column or DICOM tag {keyword!r} to take the label from", where=where,
            expected=f"a tag such as StudyDescription, SeriesDescription, BodyPartExamined or Modality; or {WAYS}",
            todo=nearest_names([keyword], names),
        )  # fmt: skip
    if is_identifying(keyword):
        raise DataError(
            f"the DICOM tag {keyword} can name a person, so it cannot be the label", where=where,
            expected="a tag that tells a class: StudyDescription, SeriesDescription, BodyPartExamined or Modality",
            todo=f"name another tag, or use {WAYS.split('; or')[0]}",
        )  # fmt: skip


def is_identifying(column: str) -> bool:
    """Whether a tag's keyword, or a table's column named like one, holds what can name a person: ids, names, dates."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    word = plain_name(column)
    keyword = _keywords().get(word)
    tag = None if keyword is None else tag_for_keyword(keyword)
    if keyword is None or tag is None:
        return word in _IDENTIFYING_WORDS
    is_personal = tag >> 16 == 0x0010 and keyword not in _KEPT_PERSONAL
    return is_personal or dictionary_VR(tag) in _IDENTIFYING_VRS or keyword in _IDENTIFYING


def plain_name(column: str) -> str:
    """A column's name in small letters and digits alone: `Patient ID` and `patient_id` are PatientID."""
    return re.sub(r"[^a-z0-9]", "", column.lower())


def refuse_patient_labels(files: Sequence[tuple[str, DicomHeader]]) -> None:
    """DataError when most labels are ids or names of the one patient under them: folders of patients are no classes."""
    headers: dict[str, list[DicomHeader]] = defaultdict(list)
    for label, header in files:
        headers[label].append(header)
    named = [label for label, own in headers.items() if _is_named_after_patient(label, own)]
    if len(named) * 2 > len(headers):
        raise DataError(
            f"{len(named)} of {len(headers)} classes are named after the patient whose files they hold",
            where="the labels of the DICOM files (not shown: they are names or ids of patients)",
            expected=f"classes, told by {WAYS}",
            todo="name the classes in one of these ways; names of patients never leave their files",
        )  # fmt: skip


def refuse_patient_folders(files: Iterable[tuple[str, DicomHeader]], *, where: str) -> None:
    """DataError when every folder holds one patient of its own: such folders are patients, not classes."""
    patients: dict[str, set[str]] = defaultdict(set)
    for folder, header in files:
        patients[folder].add(header.patient_id)
    ids = [next(iter(own)) for own in patients.values() if len(own) == 1]
    if len(patients) > 1 and len(ids) == len(patients) and all(ids) and len(set(ids)) == len(ids):
        raise DataError(
            f"each of the {len(ids)} folders holds one patient: they are patients, not classes", where=where,
            expected=f"classes of several patients, told by {WAYS}", todo="add labels.csv, or name a tag",
        )  # fmt: skip


def _is_named_after_patient(label: str, headers: Sequence[DicomHeader]) -> bool:
    word = plain_name(label)
    if len({header.patient_id for header in headers}) > 1:
        return False
    header = headers[0]
    family = re.split(r"[\^= ,]", header.patient_name)[0]
    texts = (header.patient_id, header.patient_name, family, header.study_uid, header.series_uid)
    names = [plain_name(text) for text in texts]
    return any(len(name) >= _SHORTEST_NAME and name in word for name in names)


@cache
def _keywords() -> dict[str, str]:
    """Plain name -> keyword of every DICOM tag."""
    from pydicom.datadict import keyword_dict

    return {keyword.lower(): keyword for keyword in keyword_dict if keyword}
