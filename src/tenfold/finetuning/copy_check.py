"""Looking for copies: a model's samples against its training images, calibrated by real images that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tenfold.core.workspace import Workspace
from tenfold.data.manifest import manifest_rows, read_manifest
from tenfold.data.splits import group_keys, read_sealed_split, with_split
from tenfold.finetuning.choosing import CopyCheck, most_by_chance
from tenfold.finetuning.datasets import load_image_set
from tenfold.metrics.memorization import Points, memorization, pixel_points
from tenfold.models.features import extract_features

FALSE_FLAG_FRACTION = 0.01
MOST_UNSEEN = 400


@dataclass(frozen=True)
class RealImages:
    """Training and unseen images in both spaces."""

    training: tuple[Points, Points]
    unseen: tuple[Points, Points]

    def check(self, samples: NDArray[np.uint8]) -> CopyCheck | None:
        """Look at (N, H, W, 3) samples; None when there are too few real images to calibrate with."""
        # A sample is of no real group.
        made = _points(samples, [str(number) for number in range(len(samples))], np.full(len(samples), -1))
        found = [
            memorization(space, *points, false_flag_fraction=FALSE_FLAG_FRACTION)
            for space, *points in zip(("features", "pixels"), made, self.training, self.unseen, strict=True)
        ]
        results = [result for result in found if result is not None]
        if len(results) < len(found):
            return None
        is_flagged = np.logical_or.reduce([result.is_flagged for result in results])
        return CopyCheck(
            n_samples=len(samples),
            n_flagged=int(is_flagged.sum()),
            n_allowed=most_by_chance(len(samples), sum(result.threshold_p for result in results)),
            spaces={result.space: result.summary() for result in results},
        )


def read_real_images(
    workspace: Workspace,
    training_ids: Sequence[str],
    labels: Sequence[str],
    *,
    image_size_px: int,
    focus_margin: float | None = None,
) -> RealImages:
    """The training images, and those of the same labels that share no group with them; test images are left alone.

    Args:
        training_ids: all real images that the model descends from.
        labels: of the images that count as unseen.
    """
    table = with_split(
        read_manifest(workspace.resolve("data/manifest.parquet")),
        read_sealed_split(workspace.resolve("data/splits.json")),
    )
    groups = pd.factorize(group_keys(table))[0]
    is_training = table["image_id"].isin(list(training_ids)).to_numpy()
    is_open = table["split"].isin(["train", "val"]) & table["label"].isin(list(labels))
    is_unseen = is_open.to_numpy() & ~np.isin(groups, groups[is_training])
    # Ids are digits of a hash: the first of them are a random choice.
    unseen = np.flatnonzero(is_unseen)[np.argsort(table["image_id"].to_numpy()[is_unseen])][:MOST_UNSEEN]

    def points(places: NDArray[np.int64]) -> tuple[Points, Points]:
        rows = list(manifest_rows(table.iloc[places]))
        if not rows:
            return _points(np.empty((0, image_size_px, image_size_px, 3), np.uint8), [], np.empty(0, np.int64))
        images = load_image_set(workspace, rows, [""] * len(rows), image_size_px, focus_margin=focus_margin)
        return _points(images.images, images.image_ids, groups[places])

    return RealImages(points(np.flatnonzero(is_training)), points(unseen))


def _points(images: NDArray[np.uint8], ids: Sequence[str], groups: NDArray[np.int64]) -> tuple[Points, Points]:
    features = extract_features(images).astype(np.float64)
    return Points(features[None], tuple(ids), groups), pixel_points(images, ids, groups)
