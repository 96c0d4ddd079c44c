"""Compositing: a real lesion set into another real image without a seam; no generator is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.data.mask_arrays import dilated
from tenfold.generation.recoloring import nearby_tone, recolored

_MARGIN = 0.04
"""Of the edge: skin that comes along with a lesion, and that goes with one that is taken away."""
_GRAIN_SIGMA = 0.03
"""Of the edge: what is finer than this is grain and hair."""


@dataclass(frozen=True)
class Composite:
    """The picture (H, W, 3), where its lesion now lies (H, W), and how far it was moved, (down, right) in pixels."""

    image: NDArray[np.uint8]
    lesion: NDArray[np.bool_]
    moved_px: tuple[int, int]


def composite(
    source: NDArray[np.uint8],
    lesion: NDArray[np.bool_],
    background: NDArray[np.uint8],
    background_lesion: NDArray[np.bool_] | None,
    margin_px: int | None = None,
) -> Composite:
    """Set the lesion of (H, W, 3) `source` into `background`, its own surroundings brought to the background's tone.

    A lesion of the background's own is filled first, and the new one goes where it was; else it keeps its place.

    Args:
        margin_px: of skin that comes along; None is 4 % of the edge.
    """
    margin = _MARGIN * max(lesion.shape) if margin_px is None else margin_px
    moved = (0, 0)
    if background_lesion is not None:
        background = filled(background, dilated(background_lesion, _MARGIN * max(lesion.shape)))
        moved = _way_to(lesion, background_lesion)
    patch, place = _shifted(source, moved), _shifted_mask(lesion, moved)
    toned = recolored(patch, nearby_tone(patch, place).color, nearby_tone(background, place).color)
    region = dilated(place, max(margin, 1.0))
    if region.all():
        return Composite(toned, place, moved)
    difference = background.astype(np.float64) - toned
    blended = toned + harmonic(difference, region)
    pixels = np.where(region[..., None], np.clip(np.round(blended), 0, 255), background).astype(np.uint8)
    return Composite(pixels, place, moved)


def filled(image: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(H, W, 3) in which the hole (H, W) continues what surrounds it: its colors smoothly, its grain mirrored."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    if hole.all() or not hole.any():
        return image
    values = image.astype(np.float64)
    sigma = max(1.0, _GRAIN_SIGMA * max(hole.shape))
    known = (~hole).astype(np.float64)
    weight = np.maximum(gaussian_filter(known, sigma), 1e-6)
    smooth = np.stack([gaussian_filter(values[..., k] * known, sigma) / weight for k in range(3)], axis=-1)
    nearest = distance_transform_edt(hole, return_distances=False, return_indices=True)
    here = np.indices(hole.shape)
    height, width = hole.shape
    mirrored = np.stack([np.clip(2 * nearest[0] - here[0], 0, height - 1),
                         np.clip(2 * nearest[1] - here[1], 0, width - 1)])  # fmt: skip
    # A mirrored place that lies in the hole again has no grain to give: the border has.
    is_known = ~hole[mirrored[0], mirrored[1]]
    rows, columns = (np.where(is_known, mirrored[k], nearest[k]) for k in range(2))
    grain = (values - smooth)[rows, columns]
    made = harmonic(smooth, hole) + grain
    return np.where(hole[..., None], np.clip(np.round(made), 0, 255), image).astype(np.uint8)


def harmonic(values: NDArray[np.float64], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(H, W, C) whose region (H, W) is the smoothest continuation of the values around it: each pixel the mean of its
    neighbors (Laplace's equation; Pérez et al. 2003, equation 4). Values outside the region are returned as they are.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import splu

    places = np.flatnonzero(region.ravel())
    number = np.full(region.size, -1)
    number[places] = np.arange(len(places))
    rows, columns = np.divmod(places, region.shape[1])
    neighbors = np.zeros(len(places))
    right = np.zeros((len(places), values.shape[2]))
    flat = values.reshape(-1, values.shape[2])
    links: list[NDArray[np.int64]] = []
    for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        is_in = (rows + down >= 0) & (rows + down < region.shape[0])
        is_in &= (columns + across >= 0) & (columns + across < region.shape[1])
        other = places[is_in] + down * region.shape[1] + across
        own = np.flatnonzero(is_in)
        neighbors[own] += 1
        is_open = number[other] >= 0
        right[own[~is_open]] += flat[other[~is_open]]
        links.append(np.stack([own[is_open], number[other[is_open]]]))
    joined = np.concatenate(links, axis=1)
    diagonal = np.arange(len(places))
    matrix = csr_matrix(
        (
            np.concatenate([-np.ones(joined.shape[1]), neighbors]),
            (np.concatenate([joined[0], diagonal]), np.concatenate([joined[1], diagonal])),
        ),
        shape=(len(places), len(places)),
    )
    made = flat.copy()
    made[places] = splu(matrix.tocsc()).solve(right)
    return made.reshape(values.shape)


def _way_to(lesion: NDArray[np.bool_], target: NDArray[np.bool_]) -> tuple[int, int]:
    """How far the lesion moves so that its middle meets the target's; it stays whole, and at a border it touches."""
    way = []
    for axis in (0, 1):
        taken, goal = (np.flatnonzero(mask.any(axis=1 - axis)) for mask in (lesion, target))
        first, last, length = int(taken[0]), int(taken[-1]), lesion.shape[axis]
        wanted = round((int(goal[0]) + int(goal[-1]) - first - last) / 2)
        touches = first == 0 or last == length - 1
        way.append(0 if touches else min(max(wanted, -first), length - 1 - last))
    return way[0], way[1]


def _shifted(image: NDArray[np.uint8], way: tuple[int, int]) -> NDArray[np.uint8]:
    """Border pixels are repeated where nothing comes in."""
    height, width = image.shape[:2]
    rows, columns = (np.clip(np.arange(n) - step, 0, n - 1) for n, step in ((height, way[0]), (width, way[1])))
    return np.asarray(image[rows][:, columns])


def _shifted_mask(mask: NDArray[np.bool_], way: tuple[int, int]) -> NDArray[np.bool_]:
    """The lesion stays whole in the image, so that nothing goes round."""
    return np.roll(mask, way, axis=(0, 1))
