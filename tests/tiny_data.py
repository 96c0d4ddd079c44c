"""A tiny workspace with split images of invented patients: what intake and split leave behind, made directly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tenfold.core.hashing import sha256_bytes
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.data.manifest import make_manifest, write_manifest
from tenfold.data.splits import seal_split

LABELS = ("mole", "rash")


def make_tiny_workspace(
    path: Path,
    *,
    images_per_split: Mapping[str, int] | None = None,
    labels: Sequence[str] = LABELS,
    image_size_px: int = 32,
) -> Workspace:
    """A workspace with small disks on skin, a patient each; 4 training, 2 val and 2 test images a label."""
    workspace = Workspace.create(path, name="tiny", root_seed=7, data_license="CC-BY-4.0 of nobody")
    rows, splits = [], {}
    for split, count in (images_per_split or {"train": 4, "val": 2, "test": 2}).items():
        for label_number, label in enumerate(labels):
            for number in range(count):
                rng = np.random.default_rng([label_number, number, len(split)])
                data = encode_png(_picture(rng, label_number, image_size_px))
                image_id = sha256_bytes(data)[:16]
                target = workspace.path / "data" / "images" / f"{image_id}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                skin_type = 1 + number % 6
                rows.append({
                    "image_id": image_id, "path": workspace.relative(target), "label": label, "source": "real",
                    "patient_id": f"{split}-{label}-{number}", "skin_type": skin_type, "skin_type_source": "given",
                    "site": "arm", "caption": f"a photo of {label}, red, on light skin, Fitzpatrick skin type II",
                    "width_px": image_size_px, "height_px": image_size_px, "sha256": sha256_bytes(data),
                    "modality": "photo", "attr.camera": "none",
                })  # fmt: skip
                splits[image_id] = split
    manifest = make_manifest(rows)
    write_manifest(manifest, workspace.path / "data" / "manifest.parquet")
    seal_split(workspace.path / "data" / "splits.json", manifest, pd.Series(splits), seed=0)
    return workspace


def ids_of(workspace: Workspace, split: str, label: str | None = None) -> tuple[str, ...]:
    """Image ids of a split, in the manifest's order."""
    from tenfold.data.manifest import read_manifest
    from tenfold.data.splits import read_sealed_split

    manifest = read_manifest(workspace.path / "data" / "manifest.parquet")
    assignments = read_sealed_split(workspace.path / "data" / "splits.json").assignments
    rows = zip(manifest["image_id"], manifest["label"], strict=True)
    return tuple(i for i, own in rows if assignments[i] == split and label in (None, own))


def _picture(rng: np.random.Generator, label_number: int, size_px: int) -> np.ndarray:
    grid = np.mgrid[:size_px, :size_px] - size_px / 2 + rng.uniform(-3, 3, (2, 1, 1))
    radius = np.hypot(*grid)
    image = np.full((size_px, size_px, 3), (210, 170, 150), dtype=float) + rng.normal(0, 4, (size_px, size_px, 1))
    color = (90, 60, 50) if label_number == 0 else (200, 60, 60)
    image[radius < size_px * rng.uniform(0.15, 0.35)] = color
    return np.asarray(image.round().clip(0, 255), dtype=np.uint8)
