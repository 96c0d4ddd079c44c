"""Guide images: examples of each class to compare with, real training images that are in nobody's queue."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.hashing import sha256_bytes
from tenfold.core.seeds import derive_seed
from tenfold.review.records import Item
from tenfold.review.rubric import Rubric

GUIDES_PER_CLASS = 4
_ID_LENGTH = 16


def guide_id(label: str, number: int) -> str:
    """The address of a class's guide image: 16 hex digits."""
    return sha256_bytes(f"guide\0{label}\0{number}".encode())[:_ID_LENGTH]


def guide_files(
    rubric: Rubric, folders: Sequence[Path], candidates: Sequence[Item], queued: Collection[str], seed: int
) -> dict[str, list[Path]]:
    """Per class the files of its guide images: those that the rubric names, else some of the candidates.

    Args:
        folders: where the rubric's relative paths are looked for, in order; the last is the workspace's.
        candidates: real images that reviewers may see.
        queued: ids of images that are judged: showing them here would tell that they are real.

    Raises:
        DataError: the rubric names an image that is in no folder, or one that leads out of them.
    """
    files: dict[str, list[Path]] = {}
    for label in sorted({item.label for item in candidates} | set(rubric.classes)):
        named = rubric.classes[label].guides if label in rubric.classes else ()
        free = [item for item in candidates if item.label == label and item.image_id not in queued]
        free.sort(key=lambda item: derive_seed(seed, "review-guides", item.image_id))
        files[label] = [_found(name, folders, label) for name in named] or [
            folders[-1] / item.path for item in free[:GUIDES_PER_CLASS]
        ]
    return files


def guide_table(guides: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """The files by their address."""
    return {guide_id(label, n): path for label, paths in guides.items() for n, path in enumerate(paths)}


def _found(name: str, folders: Sequence[Path], label: str) -> Path:
    for folder in folders:
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()) and path.is_file():
            return path
    raise DataError(
        f"the rubric's guide image {name!r} is not there", where=f"classes.{label}.guides",
        expected="an image file beside the rubric or in the workspace, by its relative path",
        todo="Put the file there, or take the line out.",
    )  # fmt: skip
