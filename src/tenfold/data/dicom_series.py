"""DICOM series: of series the wanted slices, of clips the wanted frames, as import items without identities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tenfold.data.dicom_decoding import refuse_unreadable
from tenfold.data.dicom_fields import NOT_PICTURES, header_fields, merged_fields, window_of
from tenfold.data.dicom_header import fault, is_dicom, read_dicom_header
from tenfold.data.dicom_labels import refuse_patient_labels
from tenfold.data.dicom_notes import notes_on, notes_on_lost
from tenfold.data.dicom_slices import DicomFile, Picked, is_overview, pick
from tenfold.data.dicom_windows import parse_window
from tenfold.data.images import ImageError
from tenfold.data.import_items import ImportItem, PixelChoice, QuarantineRow
from tenfold.data.pseudonyms import Pseudonyms

MOST_FRAMES = 100_000
"""A header that promises more frames is damaged."""


@dataclass(frozen=True)
class DicomChoice:
    """Which images of a series or clip are taken, and how their values become gray levels.

    slices: of a CT, MR or PET series the middle one, all, or this many evenly spaced ones (also of its frames, where
    one file holds the series); frames: the same of other files with several frames. window: see `parse_window`.
    """

    slices: Literal["middle", "all"] | int = "middle"
    frames: Literal["middle", "first", "all"] | int = "middle"
    window: str = "file"


def expand_dicom(
    items: Sequence[ImportItem], choice: DicomChoice, pseudonyms: Pseudonyms
) -> tuple[tuple[ImportItem, ...], tuple[QuarantineRow, ...], tuple[str, ...]]:
    """(items, quarantined, notes): DICOM files replaced by their chosen images; other and finished items as before.

    Of each series and label the chosen slices stay and the others become rows ``not_chosen``: nothing vanishes. A file
    of several frames becomes one item per chosen frame. Names and fields of the results hold nothing of the header but
    what `header_fields` tells. Every item made here has a `choice`. DataError for an unknown window, and for classes
    that are named after patients.
    """
    parse_window(choice.window)
    files, lost = read_files(items)
    chosen = choose_images(files, choice, pseudonyms)
    kept: list[ImportItem] = []
    quarantined: list[QuarantineRow] = []
    for number, item in enumerate(items):
        if number in chosen.items:
            kept += chosen.items[number]
        elif number in chosen.left or number in lost:
            quarantined.append(chosen.left[number] if number in chosen.left else lost[number])
        else:
            kept.append(item)
    return tuple(kept), tuple(quarantined), (*chosen.notes, *notes_on_lost(len(lost)))


@dataclass(frozen=True)
class ChosenImages:
    """By number of the file: the items made of it, or the row why it was left; with notes."""

    items: Mapping[int, Sequence[ImportItem]]
    left: Mapping[int, QuarantineRow]
    notes: tuple[str, ...]


def choose_images(files: Sequence[DicomFile], choice: DicomChoice, pseudonyms: Pseudonyms) -> ChosenImages:
    """The chosen images of labeled files; see `expand_dicom`."""
    parse_window(choice.window)
    refuse_patient_labels([(file.item.label, file.header) for file in files])
    picked = pick(files, choice.slices, choice.frames)
    names = _names(files, pseudonyms)
    items: dict[int, list[ImportItem]] = {}
    left: dict[int, QuarantineRow] = {}
    for file in files:
        number, item = file.number, file.item
        if number in picked:
            items[number] = _expanded(file, names[number], picked[number], choice, pseudonyms)
        else:
            left[number] = QuarantineRow("not_chosen", names[number], item.line, item.label, _why_left(file, choice))
    return ChosenImages(items, left, notes_on(files, picked, choice.window))


def read_files(
    items: Sequence[ImportItem], keywords: Sequence[str] = ()
) -> tuple[list[DicomFile], dict[int, QuarantineRow]]:
    """The DICOM files among the items (finished ones aside), and by their number those that cannot be used.

    keywords: tags whose text is wanted too, in `header.chosen`.
    """
    files: list[DicomFile] = []
    lost: dict[int, QuarantineRow] = {}
    for number, item in enumerate(items):
        if item.choice is not None or not is_dicom(item.path):
            continue
        try:
            header = read_dicom_header(item.path, keywords)
            if header.modality in NOT_PICTURES:
                what = f"the DICOM file holds no picture of a patient, but a {NOT_PICTURES[header.modality]}"
                raise fault("not_an_image", what, item.path)
            if header.frames > MOST_FRAMES:
                raise fault("damaged_image", f"the DICOM header promises {header.frames} frames", item.path)
            refuse_unreadable(header.transfer_syntax, header.bits, item.path)
            files.append(DicomFile(item, header, number))
        except ImageError as error:
            lost[number] = _lost(item, number, error.reason, error.what)
        except OSError as error:
            lost[number] = _lost(item, number, "unreadable_file", error.strerror or type(error).__name__)
    return files, lost


def _lost(item: ImportItem, number: int, reason: str, what: str) -> QuarantineRow:
    """A row for a file that cannot be read. Its name may be a person's, so it is told by its number."""
    detail = f"{what} (DICOM file {number + 1} of the source in sorted order)" if item.line is None else what
    return QuarantineRow(reason, f"dicom_file_{number + 1:06d}", item.line, item.label or None, detail)


def _names(files: Sequence[DicomFile], pseudonyms: Pseudonyms) -> dict[int, str]:
    """Number of a file -> ``<series>/<instance number>``, each once, in place of its path."""
    seen: Counter[str] = Counter()
    names: dict[int, str] = {}
    for file in files:
        uid, number = file.header.series_uid, file.header.instance_number
        series = pseudonyms.of("series", uid) if uid else pseudonyms.of("file", file.item.name)
        name = f"{series}/{0 if number is None else number:04d}"
        seen[name] += 1
        names[file.number] = name if seen[name] == 1 else f"{name}_{seen[name]}"
    return names


def _expanded(
    file: DicomFile, name: str, picked: Picked, choice: DicomChoice, pseudonyms: Pseudonyms
) -> list[ImportItem]:
    header = file.header
    window, words = window_of(header, choice.window, parse_window(choice.window))
    told = header_fields(header, pseudonyms) | _present({"attr.window": words, "attr.slice": picked.place})
    made = []
    for frame in picked.frames:
        place = None if frame is None else f"{frame + 1} of {header.frames}"
        fields = merged_fields(file.item.fields, told | _present({"attr.frame": place}))
        own_name = name if frame is None else f"{name}/frame_{frame + 1:04d}"
        made.append(replace(file.item, name=own_name, fields=fields, choice=PixelChoice(frame, window)))
    return made


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _why_left(file: DicomFile, choice: DicomChoice) -> str:
    if is_overview(file):
        return "an overview (localizer) of its series"
    return f"another slice of its series was taken (slices: {choice.slices})"
