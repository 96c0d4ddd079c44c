"""Masks: finding the mask file of an image, by a table's column or by its name and place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tenfold.data.images import SUFFIXES
from tenfold.data.passed_over import REFUSED_MASK
from tenfold.data.source_files import RefusedFileError, SourceFiles

MASK_FOLDERS = ("masks", "mask", "segmentations", "segmentation")
"""Folders that hold masks under the names of their images."""

MASK_ENDINGS = ("_mask", "_segmentation")
"""What is added to an image's stem in the name of its mask."""


class MaskFinder:
    """Finds masks under one source root; `folders` (seen from the table's folder) are searched for them besides.

    A mask is `<stem>_mask` or `<stem>_segmentation` beside the image, or a file of the image's stem (with or without
    such an ending) in a mask folder: parallel to `images/`, or at the root with the image's path or only its stem.
    """

    def __init__(self, files: SourceFiles, folders: Sequence[str] = ()) -> None:
        self._files = files
        self._folders = tuple(folders)
        self._by_parent: dict[Path, tuple[str, ...]] = {}

    def named(self, value: str, label: str) -> Path:
        """The mask that a table names; RefusedFileError when there is none inside the root."""
        places = ("", *self._folders, *MASK_FOLDERS, *(f"{folder}/{label}" for folder in MASK_FOLDERS))
        return self._files.find_in(value, places)

    def beside(self, image: Path) -> Path | None:
        """The mask of an image (a real path inside the root) by its name and place; None when there is none."""
        parent = image.parent
        if parent not in self._by_parent:
            self._by_parent[parent] = tuple(
                dict.fromkeys(folder for folder in self._mask_folders(parent) if self._files.names_in(folder))
            )
        endings = [image.stem + ending for ending in MASK_ENDINGS]
        found = self._first(str(parent), endings)
        for folder in self._by_parent[parent]:
            found = found or self._first(folder, [image.stem, *endings])
        return found

    def _first(self, folder: str, stems: Sequence[str]) -> Path | None:
        names = self._files.names_in(folder)
        for stem in stems:
            for suffix in SUFFIXES:
                for name in (stem + suffix, stem + suffix.upper()):
                    if name in names:
                        try:
                            return self._files.inside(Path(folder, name))
                        except RefusedFileError as error:
                            path = Path(folder, name)
                            self._files.passed_over.add(REFUSED_MASK, self._files.name_of(path), error.detail)
        return None

    def _mask_folders(self, parent: Path) -> Iterator[str]:
        root = self._files.root
        parts = parent.relative_to(root).parts
        for name in MASK_FOLDERS:
            for place, part in enumerate(parts):
                if part.lower() == "images":
                    yield str(root.joinpath(*parts[:place], name, *parts[place + 1 :]))
            yield str(parent / name)
            yield str(root.joinpath(name, *parts))
            yield str(root / name)
        for folder in self._folders:
            yield os.path.normpath(self._files.start / folder)


def mask_base(name: str) -> str | None:
    """The stem of the image that a file of this name is the mask of; None when the name is not a mask's."""
    stem = os.path.splitext(name)[0]
    return next(
        (stem[: -len(ending)] for ending in MASK_ENDINGS if stem.lower().endswith(ending) and stem != ending), None
    )
