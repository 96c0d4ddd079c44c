"""Folder import: one subfolder per class, captions in .txt files of the same stem."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError
from tenfold.data.import_items import ImportItem, Listing, QuarantineRow, check_classes
from tenfold.data.source_files import RefusedFileError, SourceFiles, is_hidden, is_image_name


def import_folder(source: Path, classes: Sequence[str] | None = None) -> Listing:
    """List the images of a folder with one subfolder per class (or `images/` with one each), in sorted order.

    Subfolders of a class belong to it. Files that are no images, and links that leave the folder, are quarantined;
    hidden files are passed over. DataError when the folder is missing, empty or has no class folders, or a chosen class
    is unknown.
    """
    if not source.is_dir():
        raise DataError("there is no such folder", where=str(source), expected="a folder with one subfolder per class")
    files = SourceFiles(source)
    top = files.root / "images" if _class_folders(files.root / "images") else files.root
    labels = _class_folders(top)
    counts = Counter({label: sum(1 for _ in _image_files(top / label)) for label in labels})
    if not counts.total():
        _raise_without_classes(source, top)
    check_classes(labels, classes, where=str(source))
    items: list[ImportItem] = []
    quarantined: list[QuarantineRow] = []
    if classes is None:
        for name in sorted(os.listdir(top)):
            if is_image_name(name) and not is_hidden(name) and not (top / name).is_dir():
                detail = "the file lies beside the class folders"
                quarantined.append(QuarantineRow("no_class_folder", files.name_of(top / name), detail=detail))
    for label in labels:
        if classes is None or label in classes:
            for entry in _walk(top / label):
                _list_file(files, entry, label, items, quarantined)
    others = {label: counts[label] for label in labels if classes is not None and label not in classes}
    return Listing(files.root, tuple(items), tuple(quarantined), other_classes=others)


def has_class_folders(source: Path) -> bool:
    """Whether a folder, or its `images` folder, has subfolders that hold images."""
    tops = (source / "images", source)
    return any(next(_image_files(top / label), None) for top in tops for label in _class_folders(top))


def _class_folders(top: Path) -> list[str]:
    if not top.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(top) if entry.is_dir() and not is_hidden(entry.name))


def _walk(folder: Path) -> Iterator[Path]:
    """Files and linked folders below a folder in sorted order; links to folders are named, not entered."""
    if folder.is_symlink():
        yield folder
        return
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if is_hidden(name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _image_files(folder: Path) -> Iterator[Path]:
    return (path for path in _walk(folder) if is_image_name(path.name) or path.is_symlink())


def _list_file(
    files: SourceFiles, path: Path, label: str, items: list[ImportItem], quarantined: list[QuarantineRow]
) -> None:
    name = files.name_of(path)
    if path.is_dir():
        detail = "a link to a folder is not followed"
        quarantined.append(QuarantineRow("linked_folder", name, label=label, detail=detail))
        return
    if not is_image_name(path.name):
        if path.suffix == ".txt" and any(
            is_image_name(other) and Path(other).stem == path.stem for other in files.names_in(path.parent)
        ):
            return
        detail = f"the suffix {path.suffix or '(none)'} is that of no image format that is read"
        quarantined.append(QuarantineRow("not_an_image", name, label=label, detail=detail))
        return
    try:
        real = files.inside(path)
    except RefusedFileError as error:
        quarantined.append(QuarantineRow(error.reason, name, label=label, detail=error.detail))
        return
    caption = files.sidecar_caption(path)
    fields: dict[str, Any] = {} if caption is None else {"caption": caption, "attr.caption_source": "sidecar"}
    items.append(ImportItem(real, name, label, fields=fields))


def _raise_without_classes(source: Path, top: Path) -> None:
    has_images = any(is_image_name(name) for name in os.listdir(top))
    raise DataError(
        "the images lie in no class folder" if has_images else "the folder holds no images",
        where=str(source),
        expected="one subfolder per class, or a table (metadata.csv) with an image and a label column",
        todo="sort the images into one folder per class, or add a metadata.csv" if has_images else "check the path",
    )
