"""The canvas: which pixels of a real image are painted anew, and how new and old ones are put together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.data.images import decode_image, read_header, resize_and_crop
from tenfold.data.mask_arrays import CENTRAL_AREA_FRACTION, central_mask, dilated, random_mask, read_mask, square_mask
from tenfold.generation.requests import ImageRequest
from tenfold.generation.sources import SourceImage

_KEEP_BORDER = 16 / 512
"""Of the edge: what `sagers2023` keeps around the part that outpainting leaves."""
_FEATHER = 16 / 512
_LESION_MARGIN = 0.05
"""Of the edge: how far inpainting widens a lesion's mask, as fine-tuning does; its own border is to be painted too."""


def read_source(source: SourceImage, edge_px: int | None) -> NDArray[np.uint8]:
    """(S, S, 3) sRGB of a real image at the size that is drawn; None is its own shorter edge."""
    image = decode_image(source.path)
    return resize_and_crop(image, edge_px or min(image.shape[:2]))


def read_lesion(source: SourceImage, edge_px: int) -> NDArray[np.bool_] | None:
    """(S, S), True on the lesion, cut and scaled as `read_source` does it with the image; None where none is seen.

    Raises:
        DataError: the mask is missing, cannot be read, or is of another size than its image.
    """
    if source.mask_path is None:
        return None
    lesion = square_mask(_read_mask(source, source.mask_path), edge_px)
    return lesion if lesion.any() else None


def needed_lesion(source: SourceImage, edge_px: int) -> NDArray[np.bool_]:
    """`read_lesion` where there must be one. DataError when the image has no mask, or one that shows no lesion."""
    lesion = read_lesion(source, edge_px)
    if lesion is not None:
        return lesion
    if source.mask_path is None:
        what = f"image {source.image_id} has no mask"
    elif np.asarray(_read_mask(source, source.mask_path)).any():
        what = f"the mask of image {source.image_id} lies outside the square of the image that is drawn"
    else:
        what = f"the mask of image {source.image_id} is empty"
    raise DataError(
        what,
        where=str(source.mask_path or source.path),
        expected="a mask with pixels above 0 where the lesion is, for what paints or moves the lesion",
        todo="Give the image such a mask, leave it out, or paint by `mask: center` or `mask: random`.",
    )


def inside(request: ImageRequest, source: SourceImage, edge_px: int) -> NDArray[np.bool_]:
    """(S, S), True where inpainting paints: the request's mask, which is widened as asked.

    Raises:
        DataError: there is no mask to paint by, or nothing would be kept.
    """
    return _widened(request, source, edge_px, _margin_px(request, edge_px))


def outside(request: ImageRequest, source: SourceImage, edge_px: int) -> NDArray[np.bool_]:
    """(S, S), True where outpainting paints: all but the request's mask and a kept border around it.

    Raises:
        DataError: there is no mask to keep, or nothing would be painted.
    """
    border_px = scaled_px(_KEEP_BORDER, edge_px) if request.keep_border_px is None else request.keep_border_px
    return ~_widened(request, source, edge_px, _margin_px(request, edge_px) + border_px)


def paste(
    source: NDArray[np.uint8], painted: NDArray[np.uint8], region: NDArray[np.bool_], feather_px: int | None
) -> NDArray[np.uint8]:
    """(H, W, 3): painted pixels inside the region, the source's own bits outside.

    Args:
        feather_px: within this distance of the region's border painted and source pixels are mixed, on the painted side
            only; None is 16 px of 512, 0 mixes nothing.
    """
    width = scaled_px(_FEATHER, max(region.shape)) if feather_px is None else feather_px
    share = painted_share(region, width)[..., None]
    mixed = np.round(share * painted + (1 - share) * source.astype(np.float32)).astype(np.uint8)
    return np.where(region[..., None], mixed, source)


def painted_share(region: NDArray[np.bool_], feather_px: int) -> NDArray[np.float32]:
    """(H, W) in [0, 1]: 0 outside the region, rising within `feather_px` of its border to 1."""
    from scipy.ndimage import distance_transform_edt

    if feather_px <= 0 or region.all() or not region.any():
        return region.astype(np.float32)
    depth = np.clip(distance_transform_edt(region) / (feather_px + 1), 0.0, 1.0)
    return np.asarray(depth * depth * (3 - 2 * depth), dtype=np.float32)


def scaled_px(fraction: float, edge_px: int) -> int:
    """A share of the drawn edge in whole pixels, half up.

    >>> scaled_px(16 / 512, 512), scaled_px(16 / 512, 64), scaled_px(16 / 512, 32)
    (16, 2, 1)
    """
    return int(fraction * edge_px + 0.5)


def _read_mask(source: SourceImage, path: Path) -> Image.Image:
    header = read_header(source.path)
    return read_mask(path, source.image_id, (header.width_px, header.height_px))


def _margin_px(request: ImageRequest, edge_px: int) -> int:
    if request.mask_dilate_px is not None:
        return request.mask_dilate_px
    is_painted = request.strategy != "outpaint" and request.mask not in ("center", "random")
    return scaled_px(_LESION_MARGIN, edge_px) if is_painted else 0


def _widened(request: ImageRequest, source: SourceImage, edge_px: int, margin_px: int) -> NDArray[np.bool_]:
    fraction = CENTRAL_AREA_FRACTION if request.mask_area_fraction is None else request.mask_area_fraction
    if request.mask == "center":
        mask = central_mask(edge_px, fraction, margin_px=margin_px)
    elif request.mask == "random":
        seed = request.seed if request.mask_seed is None else request.mask_seed
        mask = dilated(random_mask(edge_px, seed or 0, fraction), margin_px)
    else:
        mask = dilated(needed_lesion(source, edge_px), margin_px)
    return _checked(mask, request, source)


def _checked(mask: NDArray[np.bool_], request: ImageRequest, source: SourceImage) -> NDArray[np.bool_]:
    if not mask.all():
        return mask
    raise DataError(
        f"the mask of image {source.image_id}, widened as asked, covers the whole image",
        where=str(source.mask_path or source.path),
        expected="a part that is painted and a part that is kept",
        todo="Lower mask_dilate_px, mask_area_fraction or keep_border_px, leave the image out, or use img2img."
        if request.strategy == "inpaint"
        else "Lower mask_dilate_px, mask_area_fraction or keep_border_px, or leave the image out.",
    )
