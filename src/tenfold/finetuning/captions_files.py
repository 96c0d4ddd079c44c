"""Captions from text files, one for each image, and what of a prompt a checkpoint does not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tenfold.core.errors import DataError
from tenfold.models.pipelines import Components

_SHOWN = 5


def read_caption_files(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Caption by image id, of the rows that have a file; white space becomes single spaces.

    A row's file is the first there is of ``<image_id>.txt``, its original path with the suffix .txt,
    ``<label>/<original name>.txt`` and ``<original name>.txt``.

    Raises:
        DataError: there is no such folder, a file is empty or no text, or one file would caption two images.
    """
    if not folder.is_dir():
        raise DataError("there is no folder of captions", where=str(folder), expected="a folder of NAME.txt files")
    captions: dict[str, str] = {}
    owners: dict[Path, str] = {}
    for row in rows:
        image_id = str(row["image_id"])
        path = next((path for path in _places(folder, row) if path.is_file()), None)
        if path is None:
            continue
        if path in owners:
            raise DataError(
                f"one caption file fits two images, {owners[path]} and {image_id}",
                where=str(path),
                expected="a file for each image",
                todo="Put the files into folders named like the images' labels, or name them like the image ids.",
            )
        owners[path] = image_id
        captions[image_id] = _read(path, image_id)
    return captions


def refuse_missing_captions(captions: Mapping[str, str], rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """DataError that names the images without a caption file."""
    lacking = [row for row in rows if str(row["image_id"]) not in captions]
    if not lacking:
        return
    names = [f"{row['image_id']} ({_original(row)})" for row in lacking]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    raise DataError(
        f"{len(rows)} images for {len(rows) - len(lacking)} captions: none for {', '.join(names[:_SHOWN])}{more}",
        where=str(folder),
        expected="a text file for each training image, of its name",
        todo="Write the missing files, or train on images that have one: --classes or --images-per-class of the "
        "command choose fewer, --set training_ids=[ID,ID] names them (--dry-run --json tells the ids; in a "
        "configuration, the field training_ids).",
    )


def cut_ends(components: Components, prompts: Sequence[str]) -> dict[str, str]:
    """Of each prompt that is longer than the tokenizer reads, the end that the model does not see."""
    tokenizer = components.tokenizer
    limit = int(tokenizer.model_max_length)
    unique = list(dict.fromkeys(prompts))
    ids = tokenizer(unique, padding=False, truncation=False, verbose=False).input_ids
    # The last place of the kept tokens is the end mark's, as is the last of all tokens.
    return {
        prompt: str(tokenizer.decode(tokens[limit - 1 : -1])).strip()
        for prompt, tokens in zip(unique, ids, strict=True)
        if len(tokens) > limit
    }


def _places(folder: Path, row: Mapping[str, Any]) -> Iterator[Path]:
    original = PurePosixPath(_original(row))
    names = [f"{row['image_id']}.txt", str(original.with_suffix(".txt"))]
    names += [f"{row['label']}/{original.stem}.txt", f"{original.stem}.txt"]
    for name in names:
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()):
            yield path


def _original(row: Mapping[str, Any]) -> str:
    """The name that the image had where it came from."""
    return str(row.get("attr.original_path") or row["path"])


def _read(path: Path, image_id: str) -> str:
    try:
        text = " ".join(path.read_text(encoding="utf-8-sig").split())
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(
            f"the caption of image {image_id} cannot be read: {error}", where=str(path), expected="text in UTF-8"
        ) from error
    if not text:
        raise DataError(f"the caption of image {image_id} is empty", where=str(path), expected="a line of text")
    return text
