"""Source files: finding the images a source names, and refusing whatever lies outside its root."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from tenfold.data.images import SUFFIXES

_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}
_LONGEST_CAPTION_BYTES = 20_000
_SPELLINGS = (*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES))


class RefusedFileError(Exception):
    """A file that cannot be used: `reason` is one word (missing_file, leaves_source_root, ...), `detail` a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class SourceFiles:
    """The files under one source root; folders are listed once and remembered."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._listings: dict[str, frozenset[str]] = {}

    def find(self, value: str, label: str) -> Path:
        """The real path of an image that a table names; RefusedFileError when there is none inside the root.

        Looked for beside the table, in `images/`, in `images/<label>/` and in `<label>/`, as named and with each image
        suffix.
        """
        if "://" in value:
            raise RefusedFileError("missing_file", "a web address: nothing is downloaded")
        if "\0" in value:
            raise RefusedFileError("missing_file", "no file has such a name")
        name, root = value.replace("\\", "/"), str(self.root)
        is_outside = False
        for base in ("", "images", f"images/{label}", label):
            target = os.path.normpath(os.path.join(root, base, name))
            if os.path.commonpath((root, target)) != root:
                is_outside = is_outside or base == ""
                continue
            found = self._in_folder(*os.path.split(target))
            if found is not None:
                return self.inside(Path(found))
        if is_outside:
            raise RefusedFileError("leaves_source_root", "the path leads out of the source folder")
        raise RefusedFileError("missing_file", "no such image beside the table or in its images folder")

    def inside(self, path: Path) -> Path:
        """The path with its links followed; RefusedFileError when it ends outside the root or nowhere."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise RefusedFileError("missing_file", "a link that leads nowhere") from error
        if not real.is_relative_to(self.root):
            raise RefusedFileError("leaves_source_root", "a link leads out of the source folder")
        if not real.is_file():
            raise RefusedFileError("missing_file", "not a file")
        return real

    def sidecar_caption(self, image: Path) -> str | None:
        """The text of the .txt file of the same stem beside the image, on one line; None when there is none."""
        sidecar = image.with_suffix(".txt")
        if sidecar.name not in self.names_in(image.parent):
            return None
        try:
            text = self.inside(sidecar).read_bytes()[:_LONGEST_CAPTION_BYTES].decode("utf-8-sig", errors="replace")
        except (RefusedFileError, OSError):
            return None
        return " ".join(text.split()) or None

    def names_in(self, folder: Path | str) -> frozenset[str]:
        """File and folder names in a folder; none when it cannot be read."""
        key = str(folder)
        if key not in self._listings:
            try:
                self._listings[key] = frozenset(os.listdir(key))
            except OSError:
                self._listings[key] = frozenset()
        return self._listings[key]

    def name_of(self, path: Path) -> str:
        """The path as seen from the root, with forward slashes."""
        return PurePosixPath(path.relative_to(self.root)).as_posix()

    def _in_folder(self, folder: str, name: str) -> str | None:
        names = self.names_in(folder)
        if name in names and is_image_name(name):
            return os.path.join(folder, name)
        found = [name + suffix for suffix in _SPELLINGS if name + suffix in names]
        if len(found) > 1:
            raise RefusedFileError("ambiguous_file", f"several files fit: {', '.join(found)}")
        if found:
            return os.path.join(folder, found[0])
        path = os.path.join(folder, name)
        return path if name in names and os.path.isfile(path) else None


def is_hidden(name: str) -> bool:
    """Whether a name is one that operating systems leave behind, no data."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def is_image_name(name: str) -> bool:
    """Whether the suffix is one of an image format that is read."""
    return os.path.splitext(name)[1].lower() in SUFFIXES
