"""Masks as arrays: read from files, drawn as shapes, grown, and seen on the latents' grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.seeds import numpy_generator
from tenfold.data.image_bytes import is_in_shard
from tenfold.data.images import ImageError, decode_gray, square_picture

CENTRAL_AREA_FRACTION = 0.25
"""Of the central square that `sagers2023` paints anew where no lesion mask says what to paint."""

_LONGEST_ASPECT = 2.0


def read_mask(path: Path, image_id: str, image_size: tuple[int, int]) -> Image.Image:
    """The gray mask of an image of (width, height) pixels.

    Raises:
        DataError: it is missing, cannot be read, or is of another size than its image.
    """
    if not path.is_file() and not is_in_shard(path):
        raise DataError(f"the mask of image {image_id} is missing", where=str(path), todo="Import the images again.")
    try:
        mask = decode_gray(path)
    except ImageError as error:
        raise DataError(f"the mask of image {image_id} cannot be read: {error.what}", where=str(path)) from error
    if mask.size != image_size:
        raise DataError(
            f"the mask of image {image_id} is {mask.width} x {mask.height} px",
            where=str(path),
            expected=f"{image_size[0]} x {image_size[1]} px, as its image",
            todo="Import the images and masks again, or mend this mask.",
        )
    return mask


def square_mask(mask: Image.Image, size_px: int) -> NDArray[np.bool_]:
    """(size_px, size_px), True inside: cut and scaled as `resize_and_crop` does it with the mask's image.

    All levels above 0 are inside: a mask may number its parts.
    """
    inside = Image.fromarray(np.where(np.asarray(mask) > 0, 255, 0).astype(np.uint8))
    # Nearest: a blurred border would be neither inside nor outside.
    return square_picture(inside, size_px, resampling=Image.Resampling.NEAREST) > 0


def random_mask(size_px: int, seed: int, area_fraction: float | None = None) -> NDArray[np.bool_]:
    """(size_px, size_px), True inside one random rectangle or ellipse that lies wholly in the image.

    Half of them are rectangles, half ellipses, and the place is uniform. As `sagers2023` draws them, each side is
    uniform in 0-100 % of the image's (one pixel at least).

    Args:
        area_fraction: of the image; the sides then have this product as nearly as the image's edges let them, and the
            longer one is at most twice the shorter.
    """
    rng = numpy_generator(seed)
    if area_fraction is None:
        height, width = (max(1, int(side)) for side in rng.integers(0, size_px + 1, 2))
        is_rectangle = None
    else:
        is_rectangle = bool(rng.random() < 0.5)
        box_area = size_px**2 * (area_fraction if is_rectangle else area_fraction * 4 / np.pi)
        aspect = _LONGEST_ASPECT ** rng.uniform(-1, 1)
        height, width = (min(size_px, max(1, round((box_area * ratio) ** 0.5))) for ratio in (aspect, 1 / aspect))
    top, left = (int(rng.integers(0, size_px - side + 1)) for side in (height, width))
    mask = np.zeros((size_px, size_px), dtype=np.bool_)
    box = mask[top : top + height, left : left + width]
    if is_rectangle if is_rectangle is not None else rng.random() < 0.5:
        box[:] = True
    else:
        y, x = np.ogrid[:height, :width]
        box[:] = ((y + 0.5) / height - 0.5) ** 2 + ((x + 0.5) / width - 0.5) ** 2 <= 0.25
    return mask


def central_mask(
    size_px: int, area_fraction: float = CENTRAL_AREA_FRACTION, *, margin_px: int = 0
) -> NDArray[np.bool_]:
    """(size_px, size_px), True in the central square of this share of the area, and in a margin around it."""
    side = max(1, round(size_px * area_fraction**0.5))
    start = (size_px - side) // 2
    end = start + side + margin_px
    start = max(0, start - margin_px)
    mask = np.zeros((size_px, size_px), dtype=np.bool_)
    mask[start:end, start:end] = True
    return mask


def dilated(mask: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    """The mask grown by a disk: every pixel at most `radius_px` from one inside. An empty mask stays empty."""
    from scipy.ndimage import distance_transform_edt

    if radius_px <= 0 or not mask.any():
        return mask
    return np.asarray(distance_transform_edt(~mask) <= radius_px)


def cells_touched(masks: NDArray[np.bool_], cell_px: int) -> NDArray[np.bool_]:
    """(..., h, w) from (..., H, W): cells of the latents' grid with a masked pixel, so that none is taken as known."""
    height, width = masks.shape[-2] // cell_px, masks.shape[-1] // cell_px
    blocks = masks.reshape(*masks.shape[:-2], height, cell_px, width, cell_px)
    return np.asarray(blocks.any(axis=(-3, -1)))


def cells_sampled(masks: NDArray[np.bool_], cell_px: int) -> NDArray[np.bool_]:
    """(..., h, w) from (..., H, W): every cell's first pixel, as diffusers scales masks for inpainting UNets."""
    return masks[..., ::cell_px, ::cell_px]
