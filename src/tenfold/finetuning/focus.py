"""Focus: images cut to the square around their lesion's mask, so that the generator learns it and not the anatomy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.errors import Faults, TenfoldError
from tenfold.core.workspace import Workspace
from tenfold.finetuning.training_masks import read_mask

SMALLEST_SIDE = 0.25
"""Of the image's shorter edge: a smaller cut would be a blur."""


def focus_images(
    workspace: Workspace, rows: Sequence[Mapping[str, Any]], images: NDArray[np.uint8], margin: float
) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """Cut each image to its mask; one without a mask or with an empty one stays whole.

    Args:
        rows: the images' manifest rows; ``mask_path`` is relative to the workspace, any level above 0 is lesion.
        images: (N, H, W, 3).
        margin: skin left around the lesion, as a share of the longer side of its box.

    Returns:
        (S, S, 3) pixels of each image, S its own (H and W where it stays whole), and the ids of those left whole.

    Raises:
        DataError: a mask is missing on the disk, unreadable, or of another size than its image; all at once.
    """
    cut: list[NDArray[np.uint8]] = []
    whole: list[str] = []
    faults = Faults()
    for row, image in zip(rows, images, strict=True):
        box = None
        if row["mask_path"] is not None:
            try:
                box = lesion_box(np.asarray(read_mask(workspace, row), dtype=np.uint8), margin)
            except TenfoldError as error:
                faults.add(error)
        if box is None:
            whole.append(str(row["image_id"]))
            cut.append(image)
        else:
            top, left, side = box
            cut.append(image[top : top + side, left : left + side])
    faults.raise_if_any()
    return cut, whole


def lesion_box(mask: NDArray[np.uint8], margin: float) -> tuple[int, int, int] | None:
    """Top, left and side of the square around the lesion of a (H, W) mask, inside the image; None of an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    spans = [(int(places[0]), int(places[-1]) + 1) for places in (rows, columns)]
    longer = max(end - start for start, end in spans)
    shorter_edge = min(mask.shape)
    side = round(longer * (1 + 2 * margin))
    side = min(shorter_edge, max(side, round(SMALLEST_SIDE * shorter_edge), 1))
    top, left = (
        min(max(0, round((start + end - side) / 2)), edge - side)
        for (start, end), edge in zip(spans, mask.shape, strict=True)
    )
    return top, left, side
