"""Masks of inpainting: the manifest's lesion masks, read and scaled as the images that a run learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.errors import DataError, Faults
from tenfold.core.workspace import Workspace
from tenfold.data import mask_arrays
from tenfold.data.mask_arrays import dilated, square_mask


@dataclass(frozen=True)
class LesionMasks:
    """The masks of some images; an image without a usable one has an empty mask and stands in `without`."""

    masks: NDArray[np.bool_]
    """(N, S, S), True inside."""
    without: Mapping[str, str]
    """image_id: why there is no mask to learn from."""


def read_lesion_masks(
    workspace: Workspace, rows: Sequence[Mapping[str, Any]], image_size_px: int, *, dilation_px: float = 0.0
) -> LesionMasks:
    """The rows' lesion masks, cut to a square and scaled as `load_image_set` does it with the images, then grown.

    Raises:
        DataError: mask files that cannot be read or are of another size than their image, all of them at once.
    """
    faults, without = Faults(), {}
    masks = np.zeros((len(rows), image_size_px, image_size_px), dtype=np.bool_)
    for number, row in enumerate(rows):
        image_id = str(row["image_id"])
        if row["mask_path"] is None:
            without[image_id] = "it has no mask"
            continue
        try:
            picture = read_mask(workspace, row)
        except DataError as error:
            faults.add(error)
            continue
        masks[number] = dilated(square_mask(picture, image_size_px), dilation_px)
        if not masks[number].any():
            without[image_id] = "its mask is empty"
    faults.raise_if_any()
    return LesionMasks(masks, without)


def read_mask(workspace: Workspace, row: Mapping[str, Any]) -> Image.Image:
    """The gray mask of a row that has a ``mask_path``.

    Raises:
        DataError: it is missing, cannot be read, or is of another size than its image.
    """
    size = (int(row["width_px"]), int(row["height_px"]))
    return mask_arrays.read_mask(workspace.resolve(str(row["mask_path"])), str(row["image_id"]), size)


def refuse_without_masks(without: Mapping[str, str]) -> None:
    """DataError for each image that has no mask to learn from, all of them at once."""
    faults = Faults()
    for image_id, why in without.items():
        faults.add(
            DataError(
                f"image {image_id} cannot teach its lesion's place: {why}",
                where=f"manifest row {image_id}, mask_path",
                expected="a mask with pixels above 0 for every image, with masks=lesion",
                todo="Give it a mask, leave the image out, set images_without_mask=random, or use masks=random.",
            )
        )
    faults.raise_if_any()
