"""Datasets: the pixels of a manifest's rows, loaded whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tenfold.core.errors import DataError, FaultsError, TenfoldError
from tenfold.core.workspace import Workspace
from tenfold.data.images import decode_image
from tenfold.data.manifest import labels_of

Decode = Callable[[Workspace, str, str | None], NDArray[np.uint8]]
"""(workspace, path, sha256 of the file as the manifest has it) -> (H, W, 3) uint8, or a DataError."""


def decode_file(workspace: Workspace, path: str, sha256: str | None) -> NDArray[np.uint8]:
    """The image of a path in the workspace, decoded anew."""
    return decode_image(workspace.resolve(path))


def load_images(workspace: Workspace, manifest: pd.DataFrame, decode: Decode = decode_file) -> NDArray[np.uint8]:
    """The images (N, H, W, 3) uint8 of the rows, in their order; (0, 0, 0, 3) of no rows.

    Raises DataError, or FaultsError for several, naming every file that is missing, unreadable or of another size than
    the first; and for real and synthetic images of different codecs (`check_one_codec`).
    """
    check_one_codec(manifest)
    images: list[NDArray[np.uint8]] = []
    faults: list[TenfoldError] = []
    hashes = manifest["sha256"] if "sha256" in manifest else [None] * len(manifest)
    for path, sha256 in zip(manifest["path"], hashes, strict=True):
        try:
            image = decode(workspace, str(path), sha256 if isinstance(sha256, str) else None)
        except DataError as error:
            faults.append(error)
            continue
        if images and image.shape != images[0].shape:
            faults.append(
                DataError(
                    f"the image is {image.shape[1]} x {image.shape[0]} px", where=str(path),
                    expected=f"{images[0].shape[1]} x {images[0].shape[0]} px, like the others",
                )
            )  # fmt: skip
            continue
        images.append(image)
    if faults:
        raise faults[0] if len(faults) == 1 else FaultsError(faults)
    return np.stack(images) if images else np.empty((0, 0, 0, 3), dtype=np.uint8)


def check_one_codec(*manifests: pd.DataFrame) -> None:
    """Raise DataError when real and synthetic images are of different codecs, by which a model would tell the origin.

    Real images are kept as PNG; synthetic ones may be written as JPEG to save room, which is for looking and sharing.
    """
    codecs: dict[str, set[str]] = {"real": set(), "synthetic": set()}
    for manifest in manifests:
        for source, path in zip(manifest["source"], manifest["path"], strict=True):
            codecs.get(str(source), set()).add(str(path).rpartition(".")[2].lower())
    if codecs["real"] and codecs["synthetic"] - codecs["real"]:
        raise DataError(
            f"the synthetic images are {' and '.join(sorted(codecs['synthetic']))} files, the real ones "
            f"{' and '.join(sorted(codecs['real']))}",
            expected="one codec for both: what it does to the pixels tells them apart, whatever they show",
            todo="Generate the set again with file_format png.",
        )


def label_indices(manifest: pd.DataFrame, labels: Sequence[str] | None = None) -> NDArray[np.int64]:
    """Class numbers (N,) of the rows: places in `labels` (sorted labels of the manifest itself when None)."""
    places = {label: number for number, label in enumerate(labels_of(manifest) if labels is None else labels)}
    unknown = sorted({str(label) for label in manifest["label"]} - places.keys())
    if unknown:
        raise DataError(f"labels that are not among the classes: {', '.join(unknown)}", expected=", ".join(places))
    return np.array([places[str(label)] for label in manifest["label"]], dtype=np.int64)
