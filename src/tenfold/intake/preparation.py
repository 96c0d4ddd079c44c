"""Preparation: originals and their masks become canonical PNG files, in worker processes; finished batches are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.executor import Executor, in_order
from tenfold.core.files import read_json, storage_errors, write_text_atomic
from tenfold.core.hashing import canonical_json, sha256_bytes, sha256_file
from tenfold.core.plain import from_plain, to_plain
from tenfold.core.progress import Progress
from tenfold.data.dicom_header import dicom_image_header, is_dicom
from tenfold.data.images import (
    FAST_PNG,
    ImageError,
    ImageHeader,
    ResizeMode,
    decode_gray,
    decode_picture,
    encode_png,
    square_picture,
)
from tenfold.data.import_items import PixelChoice
from tenfold.data.near_duplicates import perceptual_hash
from tenfold.data.skin_tone import skin_ita
from tenfold.intake.file_facts import FileFacts, facts_of
from tenfold.intake.originals import Original

_BATCH_IMAGES = 64
_BATCH_BYTES = 8 << 20
_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class PreparationSettings:
    """What all images share: how canonical images are made, and the folders of images, masks and finished batches."""

    image_size_px: int
    resize_mode: ResizeMode
    images: Path
    masks: Path
    records: Path


@dataclass(frozen=True, slots=True)
class ImageTask:
    """One original and the id that names its files. measures_skin: whether the skin's ITA is wanted."""

    image_id: str
    original: str
    file_bytes: int
    choice: PixelChoice | None = None
    mask: str | None = None
    measures_skin: bool = False


@dataclass(frozen=True)
class PreparationTask:
    """A batch of images, and its number."""

    number: int
    images: tuple[ImageTask, ...]
    settings: PreparationSettings

    @property
    def record(self) -> Path:
        """The file that says what the finished batch holds."""
        return self.settings.records / f"{self.number:06d}.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A canonical image as written: SHA-256 of its file, perceptual hash, and the facts of its original.

    mask_sha256: of the canonical mask, empty without one; mask_fault: why the mask file that was there is not used.
    """

    sha256: str
    phash: str
    facts: FileFacts
    mask_sha256: str = ""
    mask_fault: str = ""
    ita_degrees: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An original that could not be read: a word and a sentence why."""

    reason: str
    detail: str


def image_task(original: Original, *, measures_skin: bool) -> ImageTask:
    """The task of one original."""
    item = original.item
    return ImageTask(
        original.image_id, item.file, original.file_bytes, item.choice, item.mask_file, measures_skin=measures_skin
    )


def prepare_all(
    images: Iterable[ImageTask], settings: PreparationSettings, executor: Executor, progress: Progress
) -> Iterator[Prepared | Failed]:
    """One answer for each image, in order, as they come; batches that an interrupted import finished are taken as they
    are.

    The records of finished batches stay: remove their folder when all is done.
    """
    tasks = preparation_tasks(images, settings)
    with progress.task("Decoding images", sum(len(task.images) for task in tasks)) as task:
        for answers in in_order(executor.map(prepare, tasks)):
            yield from answers
            task.advance(len(answers))


def preparation_tasks(images: Iterable[ImageTask], settings: PreparationSettings) -> list[PreparationTask]:
    """Batches in order, of at most 64 images and, unless one alone is larger, 8 MiB of files."""
    batches: list[list[ImageTask]] = []
    room = 0
    for image in images:
        if not batches or len(batches[-1]) == _BATCH_IMAGES or image.file_bytes > room:
            batches.append([])
            room = _BATCH_BYTES
        batches[-1].append(image)
        room -= image.file_bytes
    return [PreparationTask(number, tuple(batch), settings) for number, batch in enumerate(batches)]


def prepare(task: PreparationTask) -> list[Prepared | Failed]:
    """Write the canonical image and mask of each original, one answer each, in order; then the batch's record."""
    found = _finished(task)
    if found is not None:
        return found
    settings = task.settings
    for folder in {settings.images} | {settings.masks for image in task.images if image.mask is not None}:
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    answers = [_prepare_image(image, settings) for image in task.images]
    write_text_atomic(task.record, canonical_json([to_plain(answer) for answer in answers]))
    return answers


def _prepare_image(task: ImageTask, settings: PreparationSettings) -> Prepared | Failed:
    try:
        header, picture = _decode(task)
    except ImageError as error:
        return Failed(error.reason, error.what)
    except OSError as error:
        return Failed("unreadable_file", error.strerror or type(error).__name__)
    canonical = square_picture(picture, settings.image_size_px, settings.resize_mode)
    sha256 = _write_png(_target(settings.images, task), canonical)
    mask, mask_sha256, mask_fault = None, "", ""
    if task.mask is not None:
        try:
            mask = _canonical_mask(Path(task.mask), picture.size, settings.image_size_px, settings.resize_mode)
        except ImageError as error:
            mask_fault = error.what
        else:
            mask_sha256 = _write_png(_target(settings.masks, task), mask)
    ita = skin_ita(canonical, mask) if task.measures_skin else None
    facts = facts_of(header, picture, task.file_bytes)
    return Prepared(sha256, perceptual_hash(canonical), facts, mask_sha256, mask_fault, ita)


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> str:
    """Write the file and return its SHA-256. It takes its place at once: one cut short has no record of its batch."""
    png = encode_png(pixels, level=FAST_PNG)
    with storage_errors(path):
        path.write_bytes(png)
    return sha256_bytes(png)


def _target(folder: Path, task: ImageTask) -> Path:
    return folder / f"{task.image_id}.png"


def _decode(task: ImageTask) -> tuple[ImageHeader, Image.Image]:
    path = Path(task.original)
    if is_dicom(path):
        from tenfold.data.dicom_pixels import decode_dicom

        return dicom_image_header(path), Image.fromarray(decode_dicom(path, task.choice))
    return decode_picture(path)


def _canonical_mask(
    path: Path, picture_size: tuple[int, int], image_size_px: int, resize_mode: ResizeMode
) -> NDArray[np.uint8]:
    """The mask cut and resized as its image is, (S, S) uint8 of the mask's own levels; ImageError when it cannot be."""
    try:
        mask = decode_gray(path)
    except OSError as error:
        raise ImageError(f"the mask cannot be read: {error.strerror or type(error).__name__}") from error
    (width, height), (mask_width, mask_height) = picture_size, mask.size
    if abs(width * mask_height - height * mask_width) > _ASPECT_TOLERANCE * height * mask_width:
        raise ImageError(
            f"the mask of {mask_width} x {mask_height} pixels does not fit the image of {width} x {height}"
        )
    return square_picture(mask, image_size_px, resize_mode, resampling=Image.Resampling.NEAREST)


def _finished(task: PreparationTask) -> list[Prepared | Failed] | None:
    """The answers of a batch that an interrupted import finished; None when a file of it is missing or changed."""
    if not task.record.is_file():
        return None
    try:
        answers = [_answer(found) for found in read_json(task.record)]
    except (DataError, KeyError, TypeError):
        return None
    if len(answers) != len(task.images):
        return None
    expected = dict(_written(task, answers))
    is_whole = all(path.is_file() and sha256_file(path) == sha256 for path, sha256 in expected.items())
    return answers if is_whole else None


def _answer(found: dict[str, Any]) -> Prepared | Failed:
    return from_plain(Failed, found) if "reason" in found else from_plain(Prepared, found)


def _written(task: PreparationTask, answers: Sequence[Prepared | Failed]) -> Iterator[tuple[Path, str]]:
    for image, answer in zip(task.images, answers, strict=True):
        if isinstance(answer, Prepared):
            yield _target(task.settings.images, image), answer.sha256
            if answer.mask_sha256:
                yield _target(task.settings.masks, image), answer.mask_sha256
