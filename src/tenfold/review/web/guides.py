"""Guide images: examples of each class to compare with, those that the rubric names or that were chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from tenfold.core.errors import DataError, Faults
from tenfold.core.hashing import sha256_bytes
from tenfold.data.image_bytes import image_bytes
from tenfold.data.images import read_header
from tenfold.review.rubric import Rubric
from tenfold.review.yaml_places import KeyPath

_ID_LENGTH = 16
_LONGEST_SHOWN = 60
Tell = Callable[[KeyPath], str]
"""Where in the rubric's file a part of it stands."""


def guide_id(label: str, number: int) -> str:
    """The address of a class's guide image: 16 hex digits."""
    return sha256_bytes(f"guide\0{label}\0{number}".encode())[:_ID_LENGTH]


def guide_files(
    rubric: Rubric, folders: Sequence[Path], chosen: Mapping[str, Sequence[Path]], queued: Collection[str], tell: Tell
) -> dict[str, list[Path]]:
    """Per class the files of its guide images: those that the rubric names, else those that were chosen.

    Args:
        folders: where the rubric's relative paths are looked for, in order.
        queued: SHA-256 of all images that are judged: showing one here would tell what it is.

    Raises:
        DataError: the rubric names what is no image, is in no folder, leads out of them or is queued; several are a
            FaultsError.
    """
    files: dict[str, list[Path]] = {}
    faults = Faults()
    for label in sorted(set(chosen) | set(rubric.classes)):
        named = rubric.classes[label].guides if label in rubric.classes else ()
        found = []
        for number, name in enumerate(named):
            try:
                found.append(_found(name, folders, queued))
            except DataError as error:
                where = tell(("classes", label, "guides", number))
                faults.add(DataError(error.what, where=where, expected=error.expected, todo=error.todo))
        files[label] = found if named else list(chosen.get(label, ()))
    faults.raise_if_any()
    return files


def check_classes(rubric: Rubric, labels: Collection[str], tell: Tell) -> None:
    """Raise DataError when the rubric defines a class that the data does not have: nobody would ever see it."""
    faults = Faults()
    for label in rubric.classes:
        if label not in labels:
            faults.add(
                DataError(
                    f"classes.{label}: the data has no such class", where=tell(("classes", label)),
                    expected=f"one of {', '.join(sorted(labels))}", todo="Mend its name, or take it out.",
                )
            )  # fmt: skip
    faults.raise_if_any()


def guide_table(guides: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """The files by their address."""
    return {guide_id(label, n): path for label, paths in guides.items() for n, path in enumerate(paths)}


def _found(name: str, folders: Sequence[Path], queued: Collection[str]) -> Path:
    shown = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..."
    expected = "an image file beside the rubric or in the workspace, by its relative path"
    path = next((found for folder in folders if (found := _within(folder, name)) is not None), None)
    if path is None:
        raise DataError(
            f"the rubric's guide image {shown!r} is not there", expected=expected,
            todo="Put the file there, or take the line out.",
        )  # fmt: skip
    try:
        data = image_bytes(path)
        read_header(data)
    except (DataError, OSError) as error:
        why = error.what if isinstance(error, DataError) else error.strerror
        raise DataError(f"the rubric's guide image {shown!r} cannot be shown: {why}", expected=expected) from error
    if sha256_bytes(data) in queued:
        raise DataError(
            f"the rubric's guide image {shown!r} is judged in this review", expected="an image that nobody judges",
            todo="Take another one: beside it reviewers would know where it comes from.",
        )  # fmt: skip
    return path


def _within(folder: Path, name: str) -> Path | None:
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.exists() and not path.is_dir() else None
    except (OSError, ValueError):  # a name that no file can have
        return None
