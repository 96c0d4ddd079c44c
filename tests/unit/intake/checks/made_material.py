"""Invented sets of images for tests of the checks: manifests, file facts and features with planted faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tenfold.data.manifest import labels_of, make_manifest
from tenfold.data.splits import DEFAULT_TEST, DEFAULT_VALIDATION, group_keys, grouped_split
from tenfold.intake.checks.material import Material
from tenfold.intake.checks.measures import THUMBNAIL_PX, Measures

QUARANTINE = ("line", "path", "label", "reason", "detail")


def made_material(
    labels: Sequence[str],
    *,
    columns: Mapping[str, Sequence[Any]] | None = None,
    facts: pd.DataFrame | None = None,
    splits: Sequence[str | None] | None = None,
    quarantine: Sequence[Mapping[str, Any]] = (),
    has_hashes: bool = True,
) -> Material:
    """Images of these labels with further manifest columns; `splits` makes it a sealed split, else one is planned."""
    generator = np.random.default_rng(len(labels))
    rows = []
    for number, label in enumerate(labels):
        sha256 = f"{number:016x}" + f"{generator.integers(2**62):048x}"
        rows.append({
            "image_id": f"{number + 0xA000:016x}", "path": f"data/images/{number}.png", "label": label,
            "source": "real", "width_px": 64, "height_px": 64, "sha256": sha256,
            "phash": f"{generator.integers(2**63):016x}" if has_hashes else None,
            **{name: values[number] for name, values in (columns or {}).items()},
        })  # fmt: skip
    manifest = make_manifest(rows)
    keys = group_keys(manifest)
    if splits is None:
        planned = grouped_split(manifest, validation=DEFAULT_VALIDATION, test=DEFAULT_TEST, seed=1, keys=keys)
        names: tuple[str | None, ...] = tuple(str(planned[str(image_id)]) for image_id in manifest["image_id"])
    else:
        names = tuple(splits)
        manifest = manifest.assign(split=pd.array(list(splits), dtype="string"))
    found = labels_of(manifest)
    return Material(
        manifest=manifest, facts=facts, quarantine=pd.DataFrame(list(quarantine), columns=QUARANTINE, dtype="string"),
        is_split=splits is not None, labels=tuple(found),
        codes=np.array([found.index(label) for label in labels], dtype=np.int64), keys=keys,
        groups=np.asarray(pd.factorize(keys.astype(str))[0], dtype=np.int64), splits=names, split_fault=None, intake={},
    )  # fmt: skip


def made_facts(count: int, seed: int = 0) -> pd.DataFrame:
    """file_facts.parquet of images from two cameras, whatever their class: no confound."""
    generator = np.random.default_rng([seed, 77])
    camera = generator.integers(0, 2, count)
    width = np.where(camera == 0, 1024, 800) + generator.integers(-20, 20, count)
    height = np.where(camera == 0, 768, 800) + generator.integers(-20, 20, count)
    return pd.DataFrame({
        "image_id": [f"{number + 0xA000:016x}" for number in range(count)],
        "format": "JPEG", "mode": np.where(generator.random(count) < 0.1, "L", "RGB"),
        "width_px": width, "height_px": height, "file_bytes": generator.integers(60_000, 90_000, count),
        "jpeg_quality": np.where(camera == 0, 90.0, 75.0), "has_exif": camera == 0, "has_icc": False,
        "border_fraction": generator.uniform(0, 0.1, count), "is_gray": False, "frames": 1, "folder": "images",
    })  # fmt: skip


def made_measures(features: NDArray[np.float64], seed: int = 0) -> Measures:
    """Measures with these features and a different picture for each image."""
    thumbnails = np.stack([made_picture(number, seed) for number in range(len(features))])
    contrast = np.full(len(features), 40.0, dtype=np.float32)
    return Measures(features.astype(np.float32), thumbnails, contrast)


def made_picture(number: int, seed: int = 0, side: int = THUMBNAIL_PX) -> NDArray[np.uint8]:
    """A gray picture of random blobs (side, side), another one for each number."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng([seed, number]).normal(size=(side, side))
    blobs = gaussian_filter(noise, side / 24, mode="wrap")
    return np.asarray((128 + 45 * blobs / blobs.std()).clip(0, 255).round(), dtype=np.uint8)


def blobs_of_classes(
    labels: Sequence[str], seed: int = 0, distance: float = 4.0, dimensions: int = 12
) -> NDArray[np.float64]:
    """Gaussian features (N, D) around a center per class, `distance` standard deviations from the origin and at right
    angles."""
    generator = np.random.default_rng([seed, 5])
    names = sorted(set(labels))
    centers = distance * np.linalg.qr(generator.normal(size=(dimensions, len(names))))[0].T
    return centers[[names.index(label) for label in labels]] + generator.normal(size=(len(labels), dimensions))
