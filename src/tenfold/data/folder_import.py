"""Folder import: one subfolder per class, captions in .txt files and masks in files of the same stem."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError
from tenfold.core.workspace import holds_workspace
from tenfold.data.dicom_header import is_dicom
from tenfold.data.import_items import NO_FIELDS, ImportItem, Listing, QuarantineRow, Record, check_classes
from tenfold.data.label_spelling import one_spelling, tidy
from tenfold.data.masks import MASK_FOLDERS, MaskFinder, mask_base
from tenfold.data.source_files import RefusedFileError, SourceFiles, is_hidden, is_image_name
from tenfold.data.unread_files import count_unread

SIDECAR_REASON = "a .txt file of the image's stem"
MASK_REASON = "a mask file of the image's name, beside it or in a masks folder"


def import_folder(source: Path, classes: Sequence[str] | None = None) -> Listing:
    """List the images of a folder with one subfolder per class (or `images/` with one each), in sorted order.

    Subfolders of a class belong to it. Files that are no images, and links that leave the folder, are quarantined; what
    lies elsewhere in the source, hidden images and empty folders are counted in notes. DataError when the folder is
    missing, empty or has no class folders, or a chosen class is unknown.
    """
    if not source.is_dir():
        raise DataError("there is no such folder", where=str(source), expected="a folder with one subfolder per class")
    reader = FolderReader(SourceFiles(source))
    root = reader.files.root
    top = root / "images" if class_folders(root / "images") else root
    folders = class_folders(top)
    counts = Counter({name: sum(1 for _ in image_files(top / name)) for name in folders})
    if not counts.total():
        _raise_without_classes(source, top)
    by_label: Counter[str] = Counter()
    for name in folders:
        by_label[tidy(name) or name] += counts[name]
    spelling = one_spelling(by_label, classes)
    label_of = {name: spelling(tidy(name) or name) for name in folders}
    check_classes(label_of.values(), classes, where=str(source))
    if classes is None:
        reader.list_strays(top)
    for name in folders:
        if classes is None or label_of[name] in classes:
            reader.list_class(top / name, label_of[name])
    others: Counter[str] = Counter()
    for name in folders:
        if classes is not None and label_of[name] not in classes:
            others[_as_text(label_of[name])] += counts[name]
    reader.count_unread(top / name for name in folders if label_of[name] not in (classes or label_of.values()))
    return reader.listing(others, spelling.notes)


def has_class_folders(source: Path) -> bool:
    """Whether a folder, or its `images` folder, has subfolders that hold images."""
    tops = (source / "images", source)
    return any(next(image_files(top / label), None) for top in tops for label in class_folders(top))


def class_folders(top: Path) -> list[str]:
    """Names of the subfolders that may be classes, sorted: a mask folder with masks of the others' images is none."""
    if not top.is_dir():
        return []
    names = sorted(
        entry.name
        for entry in os.scandir(top)
        if entry.is_dir() and not is_hidden(entry.name) and not holds_workspace(entry.path)
    )
    others = [name for name in names if name.lower() not in MASK_FOLDERS]
    if not others or others == names:
        return names
    stems = {path.stem for name in others for path in image_files(top / name)}
    return [name for name in names if name in others or not stems & _masked_stems(top / name)]


def image_files(folder: Path) -> Iterator[Path]:
    """Files below a folder that may be images, in sorted order; links are among them."""
    return (path for path in walk(folder) if path.is_symlink() or is_image_name(path.name) or is_dicom(path))


def walk(folder: Path) -> Iterator[Path]:
    """Files and linked folders below a folder in sorted order; links to folders are named, not entered.

    Workspaces are passed over: the images in them were made from those of a source.
    """
    if folder.is_symlink():
        yield folder
        return
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        yield folder
        return
    if "workspace.json" in names and holds_workspace(folder):
        return
    for name in names:
        path = folder / name
        if is_hidden(name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
        else:
            yield path


class FolderReader:
    """Lists the files of class folders under one root, with captions and masks, and says why others are set aside."""

    def __init__(self, files: SourceFiles) -> None:
        self.files = files
        self._masks = MaskFinder(files)
        self._items: list[ImportItem] = []
        self._quarantined: list[QuarantineRow] = []

    def list_strays(self, top: Path) -> None:
        """Quarantine the images that lie in no class folder."""
        for name in sorted(os.listdir(top)):
            if is_image_name(name) and not is_hidden(name) and not (top / name).is_dir():
                detail = "the file lies beside the class folders"
                self._quarantined.append(
                    QuarantineRow("no_class_folder", self.files.name_of(top / name), detail=detail)
                )

    def list_class(self, folder: Path, label: str, **fields: Any) -> None:
        """List everything below a folder as this class; `fields` go to each image."""
        shown = _as_text(label)
        for path in walk(folder):
            refused = self._list_file(path, label, fields)
            if refused is not None:
                reason, detail = refused
                self._quarantined.append(QuarantineRow(reason, self.files.name_of(path), label=shown, detail=detail))

    def listing(self, others: Counter[str], notes: Sequence[str], **reasons: str) -> Listing:
        """What was listed, with the reasons of the columns that were filled, and notes on what was passed over."""
        told = {"label": "the name of the class folder", **reasons}
        if any("caption" in item.fields for item in self._items):
            told["caption"] = SIDECAR_REASON
        if any(item.mask_file is not None for item in self._items):
            told["mask"] = MASK_REASON
        return Listing(
            self.files.root, tuple(self._items), tuple(self._quarantined), dict(others),
            notes=(*notes, *self.files.passed_over.notes()), reasons=told, format="folder",
        )  # fmt: skip

    def count_unread(self, others: Iterable[Path]) -> None:
        """Count in notes what was seen and not read, except in the folders of `others`, classes that are not wanted."""
        names = {item.name for item in self._items} | {row.path for row in self._quarantined}
        masks = {item.mask_file for item in self._items}

        def is_read(path: Path) -> bool:
            is_listed = self.files.name_of(path) in names or path in self.files.captions
            return is_listed or os.path.realpath(path) in masks

        count_unread(self.files, [self.files.root], is_read, set(others))

    def _list_file(self, path: Path, label: str, fields: dict[str, Any]) -> tuple[str, str] | None:
        if path.is_dir():
            if path.is_symlink():
                return "linked_folder", "a link to a folder is not followed"
            return "unreadable_folder", "the folder cannot be opened"
        if not path.name.isascii() and not _is_text(path.name):
            return "unreadable_name", "the file name is no text in UTF-8: rename the file"
        if not _is_text(label):
            return "unreadable_name", "the class folder's name is no text in UTF-8: rename the folder"
        if not (is_image_name(path.name) or (not path.is_symlink() and is_dicom(path))):
            if path.suffix == ".txt" and self._has_image(path.parent, path.stem):
                return None
            return "not_an_image", f"the suffix {path.suffix or '(none)'} is that of no image format that is read"
        base = mask_base(path.name)
        if base is not None:
            if self._has_image(path.parent, base):
                return None
            return "mask_without_image", f"the name is that of a mask, but there is no image {base} beside it"
        if _is_in_mask_folder(path, label) and self._is_mask_of_another(path):
            return None
        try:
            real = self.files.inside(path)
        except RefusedFileError as error:
            return error.reason, error.detail
        caption = self.files.sidecar_caption(path)
        if caption is not None:
            fields = {**fields, "caption": caption, "attr.caption_source": "sidecar"}
        mask = self._masks.beside(path) or self._masks.beside(real)
        told = Record(fields) if fields else NO_FIELDS
        name, mask_file = self.files.name_of(path), None if mask is None else str(mask)
        self._items.append(ImportItem(str(real), name, label, fields=told, mask_file=mask_file))
        return None

    def _has_image(self, folder: Path, stem: str) -> bool:
        return any(is_image_name(name) and os.path.splitext(name)[0] == stem for name in self.files.names_in(folder))

    def _is_mask_of_another(self, path: Path) -> bool:
        """Whether the folder above a mask folder holds an image of this stem."""
        return self._has_image(path.parent.parent, mask_base(path.name) or path.stem)


def _is_in_mask_folder(path: Path, label: str) -> bool:
    return path.parent.name.lower() in MASK_FOLDERS and path.parent.name != label


def _masked_stems(folder: Path) -> set[str]:
    return {mask_base(path.name) or path.stem for path in image_files(folder)}


def _as_text(name: str) -> str:
    return name.encode("utf-8", errors="replace").decode("utf-8")


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _raise_without_classes(source: Path, top: Path) -> None:
    names = sorted(os.listdir(top))
    has_images = any(map(is_image_name, names))
    hidden = [name for name in names if is_hidden(name) and (top / name).is_dir() and any(image_files(top / name))]
    if hidden and not has_images:
        raise DataError(
            f"the folder holds images in hidden folders only: {', '.join(hidden[:5])}", where=str(source),
            expected="class folders whose names begin with no dot", todo="rename the folders",
        )  # fmt: skip
    raise DataError(
        "the images lie in no class folder" if has_images else "the folder holds no images",
        where=str(source),
        expected="one subfolder per class, or a table (metadata.csv) with an image and a label column",
        todo="sort the images into one folder per class, or add a metadata.csv" if has_images else "check the path",
    )
