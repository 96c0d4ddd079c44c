"""Masks of inpainting: random rectangles and ellipses, the manifest's lesion masks, and what latents see of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from tenfold.core.errors import DataError, Faults
from tenfold.core.seeds import numpy_generator
from tenfold.core.workspace import Workspace
from tenfold.data.images import ImageError, decode_gray, square_picture

CENTRAL_AREA_FRACTION = 0.25
"""Of the central square that `sagers2023` paints anew where no lesion mask says what to paint."""


def random_mask(size_px: int, seed: int) -> NDArray[np.bool_]:
    """(size_px, size_px), True inside one random rectangle or ellipse, as `sagers2023` draws them.

    Half of them are rectangles, half ellipses; each side is uniform in 0-100 % of the image's (one pixel at least), and
    the place is uniform among those where the whole shape lies in the image.
    """
    rng = numpy_generator(seed)
    height, width = (max(1, int(side)) for side in rng.integers(0, size_px + 1, 2))
    top, left = (int(rng.integers(0, size_px - side + 1)) for side in (height, width))
    mask = np.zeros((size_px, size_px), dtype=np.bool_)
    box = mask[top : top + height, left : left + width]
    if rng.random() < 0.5:
        box[:] = True
    else:
        y, x = np.ogrid[:height, :width]
        box[:] = ((y + 0.5) / height - 0.5) ** 2 + ((x + 0.5) / width - 0.5) ** 2 <= 0.25
    return mask


def central_mask(size_px: int) -> NDArray[np.bool_]:
    """(size_px, size_px), True in the central square of CENTRAL_AREA_FRACTION of the area."""
    side = max(1, round(size_px * CENTRAL_AREA_FRACTION**0.5))
    start = (size_px - side) // 2
    mask = np.zeros((size_px, size_px), dtype=np.bool_)
    mask[start : start + side, start : start + side] = True
    return mask


def dilated(mask: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    """The mask grown by a disk: every pixel at most `radius_px` from one inside. An empty mask stays empty."""
    if radius_px <= 0 or not mask.any():
        return mask
    return np.asarray(distance_transform_edt(~mask) <= radius_px)


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

    All levels above 0 are inside: a mask may number its parts.

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
            picture = _read_mask(workspace, row)
        except DataError as error:
            faults.add(error)
            continue
        inside = Image.fromarray(np.where(np.asarray(picture) > 0, 255, 0).astype(np.uint8))
        # Nearest: a blurred border would be neither inside nor outside.
        square = square_picture(inside, image_size_px, resampling=Image.Resampling.NEAREST)
        masks[number] = dilated(square > 0, dilation_px)
        if not masks[number].any():
            without[image_id] = "its mask is empty"
    faults.raise_if_any()
    return LesionMasks(masks, without)


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


def cells_touched(masks: NDArray[np.bool_], cell_px: int) -> NDArray[np.bool_]:
    """(..., h, w) from (..., H, W): cells of the latents' grid with a masked pixel, so that none is taken as known."""
    height, width = masks.shape[-2] // cell_px, masks.shape[-1] // cell_px
    blocks = masks.reshape(*masks.shape[:-2], height, cell_px, width, cell_px)
    return np.asarray(blocks.any(axis=(-3, -1)))


def cells_sampled(masks: NDArray[np.bool_], cell_px: int) -> NDArray[np.bool_]:
    """(..., h, w) from (..., H, W): every cell's first pixel, as diffusers scales masks for inpainting UNets."""
    return masks[..., ::cell_px, ::cell_px]


def _read_mask(workspace: Workspace, row: Mapping[str, Any]) -> Image.Image:
    path = str(row["mask_path"])
    file = workspace.resolve(path)
    if not file.is_file():
        raise DataError(f"the mask of image {row['image_id']} is missing", where=path, todo="Import the images again.")
    try:
        mask = decode_gray(file)
    except ImageError as error:
        raise DataError(f"the mask of image {row['image_id']} cannot be read: {error.what}", where=path) from error
    wanted = (int(row["width_px"]), int(row["height_px"]))
    if mask.size != wanted:
        raise DataError(
            f"the mask of image {row['image_id']} is {mask.width} x {mask.height} px",
            where=path,
            expected=f"{wanted[0]} x {wanted[1]} px, as its image",
            todo="Import the images and masks again, or mend this mask.",
        )
    return mask
