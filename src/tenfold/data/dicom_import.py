"""DICOM import: an export of nested folders, labeled by class folders, by a tag, or by a table beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.data.dicom_fields import has_patient
from tenfold.data.dicom_header import is_dicom
from tenfold.data.dicom_labels import WAYS, check_label_tag, refuse_patient_folders
from tenfold.data.dicom_notes import notes_on_lost
from tenfold.data.dicom_series import DicomChoice, choose_images, read_files
from tenfold.data.dicom_slices import DicomFile
from tenfold.data.dicom_table import DicomTable, find_table, read_label_table
from tenfold.data.folder_import import walk
from tenfold.data.import_items import ImportItem, Listing, QuarantineRow, check_classes
from tenfold.data.label_spelling import one_spelling, tidy
from tenfold.data.pseudonyms import Pseudonyms
from tenfold.data.source_files import RefusedFileError, SourceFiles
from tenfold.data.source_options import SourceOptions
from tenfold.data.unread_files import count_unread

INDEX_FILE = "DICOMDIR"


@dataclass(frozen=True)
class _Labeled:
    """Files with a label, files and rows without, and how the labels were found (depth: of the class folders)."""

    files: list[DicomFile]
    quarantined: list[QuarantineRow]
    column: str
    reason: str
    depth: int = 0
    notes: tuple[str, ...] = ()


def list_dicom(source: Path, options: SourceOptions) -> Listing:
    """List the images of a DICOM export: any nested folder, or one file; only headers are read.

    The label comes from the tag that the column map names (label=StudyDescription), else from a table beside the files
    (see `dicom_table`), else from the topmost folders of which there are several. Items are named by series pseudonym
    and instance number, and files that cannot be used by their number in sorted order: names of files may be names of
    persons. DataError when nothing tells the classes, when folders or labels are patients, without pseudonyms, or for
    an unknown chosen class.
    """
    if options.pseudonyms is None:
        raise DataError(
            "the source holds DICOM files, whose patient ids need a key", where=str(source),
            expected="a workspace, which keeps the key of its pseudonyms", todo="import into a workspace",
        )  # fmt: skip
    files = SourceFiles(source if source.is_dir() else source.parent)
    table = find_table(files.root, options.column_map) if source.is_dir() else None
    items, refused = _items(files, source, table)
    keyword = None if table is not None else options.column_map.get("label")
    if keyword is not None:
        check_label_tag(keyword, where="the column map")
    found, lost = read_files(items, () if keyword is None else (keyword,))
    if not found:
        raise DataError(
            f"the source holds no DICOM image that can be read; {len(lost)} files could not be used",
            where=str(source), expected="DICOM images in a folder, in subfolders too",
            todo=next(iter(lost.values())).detail if lost else "check the path, or choose another --format",
        )  # fmt: skip
    if keyword is not None:
        labeled = _by_tag(found, keyword)
    elif table is not None:
        told = [(file.header, file.item.name) for file in found]
        labeled = _by_table(found, read_label_table(table, options.column_map, told), options.pseudonyms)
    else:
        labeled = _by_folder(found, str(source))
        lost = {number: _with_folder(row, items[number], labeled) for number, row in lost.items()}
    labeled = replace(labeled, notes=(*labeled.notes, *notes_on_lost(len(lost)), *files.passed_over.counts()))
    return _listing(files.root, labeled, [*refused, *lost.values()], options, options.pseudonyms)


def _items(files: SourceFiles, source: Path, table: Path | None) -> tuple[list[ImportItem], list[QuarantineRow]]:
    """Items without labels, and rows for files that are no DICOM or lead out of the source."""
    items: list[ImportItem] = []
    refused: list[QuarantineRow] = []
    paths = walk(files.root) if source.is_dir() else iter([files.root / source.name])
    for number, path in enumerate((path for path in paths if path != table and path.name != INDEX_FILE), 1):
        place = f"file {number} of the source in sorted order"
        name = f"file_{number:06d}"
        if path.is_dir():
            refused.append(QuarantineRow("linked_folder", name, detail=f"a link to a folder is not followed ({place})"))
            continue
        try:
            real = files.inside(path)
        except RefusedFileError as error:
            refused.append(QuarantineRow(error.reason, name, detail=f"{error.detail} ({place})"))
            continue
        if is_dicom(real):
            items.append(ImportItem(str(real), files.name_of(path), ""))
        else:
            refused.append(QuarantineRow("not_an_image", name, detail=f"no DICOM file ({place})"))
    if source.is_dir():
        told = {files.name_of(path) for path in walk(files.root)}
        count_unread(files, [files.root], lambda path: files.name_of(path) in told)
    return items, refused


def _by_tag(found: Sequence[DicomFile], keyword: str) -> _Labeled:
    labeled = [_with_label(file, tidy(file.header.chosen.get(keyword, ""))) for file in found]
    kept = [file for file in labeled if file.item.label]
    rows = [_row(file, "no_label", f"the tag {keyword} is empty") for file in labeled if not file.item.label]
    return _Labeled(kept, rows, keyword, f"the column map names the DICOM tag {keyword}")


def _by_table(found: Sequence[DicomFile], table: DicomTable, pseudonyms: Pseudonyms) -> _Labeled:
    kept: list[DicomFile] = []
    rows = list(table.bad_rows)
    used: set[str] = set()
    for file in found:
        row, value = table.find(file.header, file.item.name)
        used.add(value)
        if row is None:
            reason = "conflicting_labels" if value else "no_label"
            detail = "rows of different labels" if value else "no row"
            rows.append(_row(file, reason, f"{table.path.name} has {detail} for its {table.kind}"))
        elif not row.label:
            rows.append(replace(_row(file, "no_label", f"its label in {table.path.name} is empty"), line=row.line))
        else:
            fields = dict(row.fields)
            if row.patient and not has_patient(file.header):
                fields["patient_id"] = pseudonyms.of("patient", row.patient)
            item = replace(file.item, label=row.label, line=row.line, fields=fields)
            kept.append(replace(file, item=item))
    rows += table.unused(used)
    column = table.match.taken["label"]
    notes = (*table.notes, f"labels by {table.path.name}: column {column}, rows found by {table.key}")
    return _Labeled(kept, rows, column, table.match.reasons.get("label", ""), notes=notes)


def _by_folder(found: Sequence[DicomFile], where: str) -> _Labeled:
    """Labels by the topmost folders of which there are several; files above them have none."""
    parts = [Path(file.item.name).parts[:-1] for file in found]
    depth = 0
    while parts and all(len(own) > depth for own in parts) and len({own[depth] for own in parts}) == 1:
        depth += 1
    if len({own[depth] for own in parts if len(own) > depth}) < 2:
        raise DataError(
            "nothing tells the classes of the DICOM files", where=where, expected=f"classes told by {WAYS}",
            todo="add labels.csv beside the files, sort them into one folder per class, or name a tag",
        )  # fmt: skip
    kept, rows = [], []
    for file, own in zip(found, parts, strict=True):
        if len(own) > depth:
            kept.append(_with_label(file, tidy(own[depth]) or own[depth]))
        else:
            rows.append(_row(file, "no_class_folder", "the file lies beside the class folders"))
    refuse_patient_folders(((file.item.label, file.header) for file in kept), where=where)
    return _Labeled(kept, rows, "", "the name of the class folder", depth)


def _listing(
    root: Path,
    labeled: _Labeled,
    refused: Sequence[QuarantineRow],
    options: SourceOptions,
    pseudonyms: Pseudonyms,
) -> Listing:
    counts = Counter(file.item.label for file in labeled.files)
    spelling = one_spelling(counts, options.classes)
    files = [_with_label(file, spelling(file.item.label)) for file in labeled.files]
    counts = Counter(file.item.label for file in files)
    classes = options.classes
    check_classes(counts, classes, where=str(root))
    wanted = [file for file in files if classes is None or file.item.label in classes]
    chosen = choose_images(wanted, options.dicom or DicomChoice(), pseudonyms)
    items = [item for file in wanted for item in chosen.items.get(file.number, ())]
    left = [chosen.left[file.number] for file in wanted if file.number in chosen.left]
    rows = [row for row in (*refused, *labeled.quarantined) if classes is None or row.label in (None, *classes)]
    counts.update(row.label for row in (*refused, *labeled.quarantined) if row.label)
    others = {label: counts[label] for label in sorted(counts) if classes is not None and label not in classes}
    columns = {"label": labeled.column} if labeled.column else {}
    return Listing(
        root, tuple(items), (*rows, *left), others, columns, (*labeled.notes, *spelling.notes, *chosen.notes),
        {"label": labeled.reason}, "dicom",
    )  # fmt: skip


def _with_folder(row: QuarantineRow, item: ImportItem, labeled: _Labeled) -> QuarantineRow:
    """The row of a lost file with the label of its class folder."""
    parts = Path(item.name).parts[:-1]
    return replace(row, label=tidy(parts[labeled.depth]) or None) if len(parts) > labeled.depth else row


def _with_label(file: DicomFile, label: str) -> DicomFile:
    return replace(file, item=replace(file.item, label=label))


def _row(file: DicomFile, reason: str, detail: str) -> QuarantineRow:
    place = f"DICOM file {file.number + 1} of the source in sorted order"
    return QuarantineRow(reason, f"dicom_file_{file.number + 1:06d}", detail=f"{detail} ({place})")
