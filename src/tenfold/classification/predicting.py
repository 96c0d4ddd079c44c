"""Predictions of new images: files are decoded as the training's were, answered in batches, or set aside with a reason.

`prob.<class>` are calibrated and `logit.<class>` are divided by the temperature, so that one is the softmax of the
other; the column `temperature` leads back to the network's own logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from tenfold.classification.novelty import FEWEST_HELD_OUT, novelty
from tenfold.classification.prediction import prediction_table
from tenfold.classification.predictor import Predictor, Preparation, logits_and_features
from tenfold.core.errors import DataError
from tenfold.core.hashing import sha256_bytes
from tenfold.core.progress import TaskProgress
from tenfold.core.workspace import Workspace
from tenfold.data.datasets import load_images
from tenfold.data.dicom_header import DICOM_SUFFIXES, is_dicom
from tenfold.data.dicom_windows import parse_window
from tenfold.data.images import SUFFIXES, ImageError, decode_picture, square_picture
from tenfold.data.import_items import PixelChoice

BATCH_IMAGES = 128
CAUTION = "Research evidence, not a medical device: no answer here may decide about a patient."


@dataclass(frozen=True)
class Refused:
    """A file without an answer: a word and a sentence why."""

    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Answered:
    """A batch: one row for each image (N, ...) in `images`, uint8 as the network saw them, and the files set aside."""

    table: pd.DataFrame
    images: NDArray[np.uint8]
    refused: tuple[Refused, ...]


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Files as given, and the images in folders and in those below, by name; hidden ones are passed over.

    Raises:
        DataError: a path does not exist, or there is no image at all.
    """
    suffixes = {*SUFFIXES, *DICOM_SUFFIXES}
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError("there is no such image or folder", where=str(path), expected="an image file or a folder")
        if not path.is_dir():
            if not path.is_file():  # a pipe would be waited for
                raise DataError("this is no regular file", where=str(path), expected="an image file or a folder")
            found.append(path)
            continue
        inside = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
        found += [path / file for file in sorted(inside) if file.suffix.lower() in suffixes and not _is_hidden(file)]
    if not found:
        raise DataError(
            "there is no image to answer",
            where=", ".join(map(str, paths)),
            expected=f"image files ({', '.join(sorted(suffixes))}), or folders of them",
        )
    return found


def predict_files(predictor: Predictor, files: Sequence[Path], task: TaskProgress) -> Iterator[Answered]:
    """Answers in batches, in the files' order. A second file of the same bytes is set aside as `exact_duplicate`."""
    seen: dict[str, str] = {}
    for start in range(0, len(files), BATCH_IMAGES):
        rows: list[dict[str, Any]] = []
        pixels: list[NDArray[np.uint8]] = []
        refused: list[Refused] = []
        for path in files[start : start + BATCH_IMAGES]:
            try:
                row, image = _decoded(path, predictor.record.preparation)
            except ImageError as error:
                refused.append(Refused(str(path), error.reason, error.what))
            except OSError as error:
                refused.append(Refused(str(path), "unreadable_file", error.strerror or type(error).__name__))
            else:
                first = seen.setdefault(row["sha256"], str(path))
                if first != str(path):
                    refused.append(Refused(str(path), "exact_duplicate", f"the same bytes as {first}"))
                else:
                    rows.append(row)
                    pixels.append(image)
            task.advance()
        images = np.stack(pixels) if pixels else np.empty((0, 0, 0, 3), dtype=np.uint8)
        yield Answered(_file_table(predictor, rows, images), images, tuple(refused))


def predict_manifest(predictor: Predictor, workspace: Workspace, rows: pd.DataFrame) -> pd.DataFrame:
    """The contract's table for a workspace's manifest rows, with the network's own logits: what an evaluation reads.

    Raises:
        DataError: an image is missing or of another size than the network learned from.
    """
    images = load_images(workspace, rows)
    wanted = predictor.record.preparation.image_size_px
    if len(images) and images.shape[1:3] != (wanted, wanted):
        raise DataError(
            f"the images are {images.shape[2]} x {images.shape[1]} px",
            where=str(workspace.path),
            expected=f"{wanted} x {wanted} px, as the classifier {predictor.record.name} learned from",
            todo=f"Import them with --set intake.image_size_px={wanted}.",
        )
    if not len(images):
        raise DataError("there is no image to answer", where=str(workspace.path))
    logits, _ = logits_and_features(predictor.model, images)
    return prediction_table(rows, logits, predictor.record.labels, predictor.record.columns())


def _decoded(path: Path, preparation: Preparation) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    data = path.read_bytes()
    picture = _picture(path, data, preparation.dicom_window)
    digest = sha256_bytes(data)
    size = preparation.image_size_px
    square = square_picture(picture, size, preparation.resize_mode)
    if (square == square[0, 0]).all():
        blank = ImageError("the image has one color only: there is nothing to answer", where=str(path))
        blank.reason = "constant_image"
        raise blank
    smallest = min(picture.size)
    note = f"enlarged: only {smallest} px on its shorter side" if smallest < size else None
    row = {"image_id": digest[:16], "sha256": digest, "path": str(path), "note": note}
    return row, square


def _picture(path: Path, data: bytes, window: str) -> Image.Image:
    if not is_dicom(path):
        return decode_picture(data)[1]
    from tenfold.data.dicom_pixels import decode_dicom

    return Image.fromarray(decode_dicom(path, PixelChoice(window=parse_window(window))))


def _file_table(predictor: Predictor, rows: list[dict[str, Any]], images: NDArray[np.uint8]) -> pd.DataFrame:
    record = predictor.record
    if not rows:
        return pd.DataFrame()
    logits, features = logits_and_features(predictor.model, images)
    logits = logits / record.calibration.temperature
    identity = pd.DataFrame(rows).assign(patient_id=None, group_id=None, label=None, split=None)
    table = prediction_table(identity, logits, record.labels, record.columns())
    probs = table[[f"prob.{label}" for label in record.labels]].to_numpy()
    table["predicted"] = [record.labels[index] for index in probs.argmax(axis=1)]
    table["probability"] = probs.max(axis=1)
    table["temperature"] = record.calibration.temperature
    unknown = pd.array([pd.NA] * len(rows), dtype="boolean")
    table = table.assign(ood_distance=np.nan, ood_p_value=np.nan, is_unusual=unknown)
    if predictor.reference.can_tell:
        found = novelty(features, predictor.reference)
        table["ood_distance"], table["ood_p_value"] = found.distances, found.p_values
        table["is_unusual"] = pd.array(found.is_unusual, dtype="boolean")
    return table.assign(path=identity["path"].to_numpy(), note=identity["note"].to_numpy())


def hint_note(predictor: Predictor) -> str:
    """What the out-of-distribution hint was measured against, or why there is none."""
    record = predictor.record
    if predictor.reference.can_tell:
        return (
            f"Unusual: farther from the {record.n_reference} training images than all but 5 % of the "
            f"{record.n_held_out} held-out ones are. About 1 in 20 images that belong is marked so by chance; "
            "images of another kind may go unmarked."
        )
    return (
        f"No out-of-distribution hint: {record.n_held_out} held-out images, at least {FEWEST_HELD_OUT} are needed to "
        "measure against."
    )


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
