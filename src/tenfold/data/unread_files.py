"""Unread files: every file of a source that is neither listed nor set aside is counted, by what it seems to be."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable
from pathlib import Path

from tenfold.core.workspace import holds_workspace
from tenfold.data.masks import MASK_FOLDERS, mask_base
from tenfold.data.passed_over import EMPTY, HIDDEN, LINKED, NO_IMAGE, UNLISTED, UNUSED_MASK, WORKSPACE
from tenfold.data.source_files import SourceFiles, is_hidden, is_image_name
from tenfold.data.table_rows import TABLE_SUFFIXES


def count_unread(
    files: SourceFiles, folders: Iterable[Path], is_read: Callable[[Path], bool], elsewhere: Container[Path] = ()
) -> None:
    """Tell `files.passed_over` of all files below these folders that are not read.

    is_read: whether a file is listed or set aside; elsewhere: folders that are no matter here. What operating systems
    leave behind is no data, and tables that could be read have notes of their own.
    """
    for folder in folders:
        for place, inner, names in os.walk(folder):
            here = Path(place)
            if not inner and not names:
                files.passed_over.add(EMPTY, files.name_of(here))
            for name in list(inner):
                if here / name in elsewhere:
                    inner.remove(name)
                elif (here / name).is_symlink():
                    if not is_read(here / name):
                        files.passed_over.add(LINKED, files.name_of(here / name))
                elif holds_workspace(here / name):
                    files.passed_over.add(WORKSPACE, files.name_of(here / name))
                    inner.remove(name)
            inner.sort()
            for name in sorted(names):
                path = here / name
                what = None if is_read(path) else _what(path, files.root)
                if what is not None:
                    files.passed_over.add(what, files.name_of(path))


def _what(path: Path, root: Path) -> str | None:
    """What a file seems to be that is not read; None when it need not be told."""
    parts = path.relative_to(root).parts
    if any(map(is_hidden, parts)):
        return HIDDEN if is_image_name(path.name) and not path.name.startswith("._") else None
    if not is_image_name(path.name):
        is_table = path.suffix.lower() in TABLE_SUFFIXES and (len(parts) == 1 or path.stem == "metadata")
        return None if is_table else NO_IMAGE
    is_in_masks = any(part.lower() in MASK_FOLDERS for part in parts[:-1])
    return UNUSED_MASK if is_in_masks or mask_base(path.name) is not None else UNLISTED
