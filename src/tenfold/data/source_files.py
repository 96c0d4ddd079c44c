"""Source files: finding the images a source names, and refusing whatever lies outside its root."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tenfold.data.dicom_header import DICOM_SUFFIXES
from tenfold.data.images import SUFFIXES
from tenfold.data.passed_over import CUT_CAPTION, REFUSED_CAPTION, PassedOver

IMAGE_FOLDERS = ("", "images")
"""Where images are looked for that a table names, as seen from the table; `images/<label>` and `<label>` follow."""

_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}
_LONGEST_CAPTION_BYTES = 20_000
_READ = (*SUFFIXES, *DICOM_SUFFIXES)
_SPELLINGS = (*_READ, *(suffix.upper() for suffix in _READ))


class RefusedFileError(Exception):
    """A file that cannot be used: `reason` is one word (missing_file, leaves_source_root, ...), `detail` a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class SourceFiles:
    """The files under one source root; folders are listed once and remembered.

    start: the folder from which names are seen (the table's); the root when not given. folders: more places for images
    beside `IMAGE_FOLDERS`. `captions` are the caption files read, `passed_over` gathers what is seen and not read.
    """

    def __init__(self, root: Path, start: Path | None = None, folders: Sequence[str] = ()) -> None:
        self.root = root.resolve()
        self.start = self.root if start is None else start.resolve()
        self.passed_over = PassedOver()
        self.captions: set[Path] = set()
        self._folders = (*IMAGE_FOLDERS, *folders)
        self._listings: dict[str, frozenset[str]] = {}
        self._places: dict[str, tuple[str, ...]] = {}

    def find(self, value: str, label: str) -> Path:
        """The real path of an image that a table names; RefusedFileError when there is none inside the root.

        Looked for beside the table, in `images/`, in further folders, in `images/<label>/` and in `<label>/`, as named
        and with each image suffix.
        """
        if label not in self._places:
            self._places[label] = self._inner_folders((*self._folders, f"images/{label}", label))
        return self._find(value, self._places[label])

    def find_in(self, value: str, folders: Sequence[str]) -> Path:
        """As `find`, in these folders only (seen from the start)."""
        return self._find(value, self._inner_folders(folders))

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
            content = self.inside(sidecar).read_bytes()
        except (RefusedFileError, OSError) as error:
            why = error.detail if isinstance(error, RefusedFileError) else error.strerror or "unreadable"
            self.passed_over.add(REFUSED_CAPTION, self.name_of(sidecar), why)
            return None
        self.captions.add(sidecar)
        if len(content) > _LONGEST_CAPTION_BYTES:
            self.passed_over.add(CUT_CAPTION, self.name_of(sidecar))
        text = content[:_LONGEST_CAPTION_BYTES].decode("utf-8-sig", errors="replace")
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
        """The path as seen from the root, with forward slashes; bytes of no text become question marks."""
        name = PurePosixPath(path.relative_to(self.root)).as_posix()
        return name.encode("utf-8", errors="replace").decode("utf-8")

    def _inner_folders(self, folders: Sequence[str]) -> tuple[str, ...]:
        """The folders that hold anything as full paths, each once, those outside the root left out."""
        paths = (os.path.normpath(os.path.join(self.start, folder)) for folder in folders if "\0" not in folder)
        return tuple(dict.fromkeys(path for path in paths if self._is_inner(path) and self.names_in(path)))

    def _find(self, value: str, places: Sequence[str]) -> Path:
        if "://" in value:
            raise RefusedFileError("missing_file", "a web address: nothing is downloaded")
        if "\0" in value:
            raise RefusedFileError("missing_file", "no file has such a name")
        name = value.replace("\\", "/")
        for place in places:
            folder, base = place, name
            if "/" in name or name in (".", ".."):
                folder, base = os.path.split(os.path.normpath(os.path.join(place, name)))
            found = self._in_folder(folder, base) if self._is_inner(folder) else None
            if found is not None:
                return self.inside(Path(found))
        if not self._is_inner(os.path.normpath(os.path.join(self.start, name))):
            raise RefusedFileError("leaves_source_root", "the path leads out of the source folder")
        raise RefusedFileError("missing_file", "no such image beside the table or in its images folder")

    def _is_inner(self, path: str) -> bool:
        root = str(self.root)
        return path == root or path.startswith(root.rstrip(os.sep) + os.sep)

    def _in_folder(self, folder: str, name: str) -> str | None:
        names = self.names_in(folder)
        spelled = _as_stored(name, names)
        if spelled is not None and is_image_name(name):
            return os.path.join(folder, spelled)
        if names and not is_image_name(name):
            found = [
                stored
                for suffix in _SPELLINGS
                if (stored := _as_stored(name + suffix, names)) is not None
            ]  # fmt: skip
            if len(found) > 1:
                raise RefusedFileError("ambiguous_file", f"several files fit: {', '.join(found)}")
            if found:
                return os.path.join(folder, found[0])
        path = os.path.join(folder, name)
        return path if spelled is not None and os.path.isfile(path) else None


def is_hidden(name: str) -> bool:
    """Whether a name is one that operating systems leave behind, no data."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def is_image_name(name: str) -> bool:
    """Whether the suffix is one of an image format that is read, DICOM among them."""
    return os.path.splitext(name)[1].lower() in _READ


def _as_stored(name: str, names: frozenset[str]) -> str | None:
    """The name as the file system spells it: accented letters may be stored composed or decomposed."""
    if name in names:
        return name
    if name.isascii():
        return None
    forms = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    return next((form for form in forms if form in names), None)
