"""Memorization: is a synthetic image nearer to a training image than unseen real images are?

Of every synthetic image the distance to its nearest training image is divided by the distance to its nearest *unseen*
real image (of other patients than the training images). A blurred image is near to everything, so the quotient, not the
distance, tells a copy. The null is the same quotient of the unseen real images themselves. An image is flagged when its
conformal p-value, (1 + null images at least as low) / (1 + null images), is at most the wanted share of false flags, or
at most 1 / (1 + null images) when the null is too small for that share. With too few unseen images the plain distance
is compared with that of each training image to the nearest other one of another patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tenfold.data.images import resize_and_crop
from tenfold.metrics.arrays import BoolArray, FloatArray, IntArray
from tenfold.metrics.neighbors import nearest

FEWEST_UNSEEN = 20
FEWEST_NULL = 10
THUMBNAIL_PX = 32


@dataclass(frozen=True)
class Points:
    """Images in a space where distance means likeness: `vectors` (V, N, D) hold V views of each (such as the image and
    its mirror), `ids` their image ids, `groups` (N,) the patient group of each."""

    vectors: FloatArray
    ids: tuple[str, ...]
    groups: IntArray


def pixel_points(images: NDArray[np.uint8], ids: Sequence[str], groups: IntArray) -> Points:
    """Thumbnails of (N, H, W, 3) images and their mirror images; a distance is the root mean square difference of
    pixels in [0, 1]."""
    small = np.empty((len(images), THUMBNAIL_PX, THUMBNAIL_PX, 3))
    for place, image in enumerate(images):
        small[place] = resize_and_crop(image, THUMBNAIL_PX)
    views = np.stack([small, small[:, :, ::-1]]).reshape(2, len(small), 3 * THUMBNAIL_PX**2)
    return Points(views / (255.0 * np.sqrt(views.shape[2])), tuple(ids), groups)


@dataclass(frozen=True)
class Memorization:
    """Of one space: each synthetic image's nearest training image, distance, statistic and p-value, and the null."""

    space: str
    kind: str
    nearest_ids: tuple[str, ...]
    distances: FloatArray
    statistics: FloatArray
    p_values: FloatArray
    null: FloatArray
    threshold_p: float

    @property
    def is_flagged(self) -> BoolArray:
        return np.asarray(self.p_values <= self.threshold_p, dtype=np.bool_)

    def summary(self) -> dict[str, float | int | str | None]:
        """Plain facts for summary.json; distances are medians."""
        has_null = len(self.null) > 0
        return {
            "statistic": self.kind,
            "n_flagged": int(self.is_flagged.sum()),
            "n_null": len(self.null),
            "expected_false_flag_fraction": self.threshold_p if has_null else None,
            "median": float(np.median(self.statistics)),
            "lowest": float(self.statistics.min()),
            "null_median": float(np.median(self.null)) if has_null else None,
            "null_lowest": float(self.null.min()) if has_null else None,
            "threshold": _threshold(self.null, self.threshold_p),
        }


def memorization(
    space: str, synthetic: Points, training: Points, unseen: Points, *, false_flag_fraction: float
) -> Memorization | None:
    """Compare a synthetic set with its training images. None when there is no null to calibrate with.

    `unseen` shares no group with `training`.
    """
    distances, indices = _nearest(synthetic, training)
    if len(unseen.ids) >= FEWEST_UNSEEN:
        kind = "distance to training over distance to unseen images"
        null_distances, _ = _nearest(unseen, training)
        null_others, _ = _nearest(unseen, unseen, is_self=True)
        statistics = _quotient(distances, _nearest(synthetic, unseen)[0])
        null = _quotient(null_distances, null_others)
    else:
        kind = "distance to training"
        statistics, null = distances, _nearest(training, training, is_self=True)[0]
    null = null[np.isfinite(null)]
    if len(null) < FEWEST_NULL:
        return None
    p_values = (1 + np.searchsorted(np.sort(null), statistics, side="right")) / (1 + len(null))
    return Memorization(
        space=space,
        kind=kind,
        nearest_ids=tuple(training.ids[index] for index in indices),
        distances=distances,
        statistics=statistics,
        p_values=p_values,
        null=null,
        threshold_p=max(false_flag_fraction, 1 / (1 + len(null))),
    )


def _nearest(queries: Points, references: Points, *, is_self: bool = False) -> tuple[FloatArray, IntArray]:
    """Nearest reference over all views of the reference; with is_self never one of the query's own group."""
    forbidden = queries.groups[:, None] == references.groups[None] if is_self else None
    views = [nearest(queries.vectors[0], vectors, forbidden=forbidden) for vectors in references.vectors]
    distances = np.stack([view[0] for view in views])
    best = distances.argmin(axis=0)
    place = np.arange(len(queries.ids))
    return distances[best, place], np.stack([view[1] for view in views])[best, place]


def _quotient(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Distance over distance; 0 for an exact copy, even of an image that lies among the unseen ones too."""
    return np.where(numerator == 0, 0.0, numerator / np.maximum(denominator, 1e-12))


def _threshold(null: FloatArray, threshold_p: float) -> float | None:
    """The statistic below which an image is flagged: the p-value reaches `threshold_p` from there on."""
    if not len(null):
        return None
    allowed = int(np.floor(threshold_p * (1 + len(null)) + 1e-9)) - 1
    return float(np.sort(null)[min(allowed, len(null) - 1)])
