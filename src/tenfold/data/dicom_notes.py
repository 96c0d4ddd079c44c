"""DICOM notes: what a person should know about the DICOM files of a source, without naming anyone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tenfold.data.dicom_fields import VOLUMES, burnt_in, has_patient
from tenfold.data.dicom_slices import DicomFile, Picked, has_positions
from tenfold.data.dicom_windows import is_named


def notes_on(files: Sequence[DicomFile], picked: Mapping[int, Picked], window: str) -> tuple[str, ...]:
    """Sentences on ids, what was picked, windows and burnt-in text; none when there is no DICOM file."""
    if not files:
        return ()
    return (*_on_ids(files), *_on_choice(files, picked), *_on_windows(files, window), *_on_text(files))


def notes_on_lost(count: int) -> tuple[str, ...]:
    """How to find the files that cannot be used."""
    if not count:
        return ()
    return (
        f"{count} DICOM files cannot be used: the quarantine tells them by their number in the sorted source, as names "
        "of files may be names of persons",
    )


def _on_ids(files: Sequence[DicomFile]) -> list[str]:
    known = {file.header.patient_id for file in files if has_patient(file.header)}
    series = {file.series for file in files}
    notes = [
        f"{len(files)} DICOM files in {len(series)} series of {len(known)} known patients: ids are keyed pseudonyms, "
        "and file names are replaced by series and instance number"
    ]
    nameless = sum(1 for file in files if not has_patient(file.header) and "patient_id" not in file.item.fields)
    if nameless:
        notes.append(f"{nameless} DICOM files carry no usable patient id: they are grouped by study")
    given = sum(1 for file in files if "patient_id" in file.item.fields)
    if given:
        notes.append(f"{given} DICOM files take their patient id from the table: check that it is no name")
    return notes


def _on_choice(files: Sequence[DicomFile], picked: Mapping[int, Picked]) -> list[str]:
    notes = []
    left = len(files) - len(picked)
    if left:
        notes.append(f"{left} slices of DICOM series were not chosen (intake.dicom.slices=all takes all)")
    clips = [file for file in files if file.header.frames > 1]
    if clips:
        frames = sum(file.header.frames for file in clips)
        taken = sum(len(picked[file.number].frames) for file in clips)
        notes.append(
            f"{len(clips)} DICOM files hold {frames} frames, of which {taken} are taken (intake.dicom.frames; of CT, "
            "MR and PET intake.dicom.slices)"
        )
    stacks: dict[str, list[DicomFile]] = defaultdict(list)
    for file in files:
        if file.header.modality in VOLUMES and file.header.frames == 1:
            stacks[file.series].append(file)
    unplaced = sum(1 for stack in stacks.values() if len(stack) > 1 and not has_positions(stack))
    if unplaced:
        notes.append(f"{unplaced} DICOM series do not tell where their slices lie: ordered by instance number")
    return notes


def _on_windows(files: Sequence[DicomFile], window: str) -> list[str]:
    others = sum(1 for file in files if file.header.modality != "CT")
    if is_named(window) and others:
        return [f"the window {window} is meant for CT: {others} other DICOM files are shown in their own window"]
    return []


def _on_text(files: Sequence[DicomFile]) -> list[str]:
    notes = []
    states = [burnt_in(file.header) for file in files]
    if states.count("yes"):
        notes.append(
            f"{states.count('yes')} DICOM files say that text is burnt into their pixels (attr.burnt_in_annotation): "
            "it may name a person, and a classifier may read it"
        )
    if states.count("unknown"):
        notes.append(
            f"{states.count('unknown')} DICOM files of kinds that often carry burnt-in text do not say whether they "
            "do: look at them before they are shared"
        )
    return notes
