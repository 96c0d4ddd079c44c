"""A workspace of colored blobs: three easy classes, patients with two images, a sealed split and synthetic sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from tenfold.core.files import write_json_atomic
from tenfold.core.hashing import sha256_bytes
from tenfold.core.workspace import Workspace
from tenfold.data.images import encode_png
from tenfold.data.manifest import make_manifest, pack_ancestors, read_manifest, write_manifest
from tenfold.data.splits import SplitSize, grouped_split, read_sealed_split, seal_split, with_split
from tenfold.models.small_net import SmallNet

LABELS = ("amber", "blue", "green")
COLORS = {"amber": (200, 140, 60), "blue": (70, 90, 190), "green": (80, 170, 80)}
SIZE_PX = 16


def draw_blob(label: str, seed: int) -> np.ndarray:
    """A noisy picture with a disc in the class's color, its place drawn by the seed."""
    rng = np.random.default_rng([seed, LABELS.index(label)])
    image = rng.normal(150, 30, (SIZE_PX, SIZE_PX, 3))
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    center_y, center_x = rng.uniform(5, SIZE_PX - 5, 2)
    inside = (y - center_y) ** 2 + (x - center_x) ** 2 < 16
    image[inside] = rng.normal(COLORS[label], 25, (int(inside.sum()), 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def make_blob_workspace(path: Path, *, per_class: int = 24, held_out: int = 6) -> Workspace:
    """`per_class` images a class, `held_out` each for validation and test; patients have two images."""
    workspace = Workspace.create(path, name="blobs", root_seed=1, data_license="none")
    rows = []
    for label in LABELS:
        for number in range(per_class):
            data = encode_png(draw_blob(label, number))
            digest = sha256_bytes(data)
            relative = f"data/images/{digest[:16]}.png"
            workspace.resolve(relative).parent.mkdir(parents=True, exist_ok=True)
            workspace.resolve(relative).write_bytes(data)
            patient = f"{label}-{number // 2}"
            rows.append(
                {
                    "image_id": digest[:16], "path": relative, "label": label, "source": "real", "sha256": digest,
                    "patient_id": patient, "group_id": patient, "width_px": SIZE_PX, "height_px": SIZE_PX,
                    "skin_type": 1 + number % 6, "skin_type_source": "given", "sex": "f" if number % 4 < 2 else "m",
                }
            )  # fmt: skip
    manifest = make_manifest(rows)
    write_manifest(manifest, workspace.resolve("data/manifest.parquet"))
    size = SplitSize(per_class=held_out)
    split = grouped_split(manifest, validation=size, test=size, seed=3)
    seal_split(workspace.resolve("data/splits.json"), manifest, split, seed=3)
    return workspace


def real_rows(workspace: Workspace) -> pd.DataFrame:
    """The real manifest with its split filled."""
    sealed = read_sealed_split(workspace.resolve("data/splits.json"))
    return with_split(read_manifest(workspace.resolve("data/manifest.parquet")), sealed)


def ids_of(workspace: Workspace, split: str, *, per_class: int) -> tuple[str, ...]:
    """The first images of each class in a split."""
    rows = real_rows(workspace)
    rows = rows[rows["split"] == split].groupby("label").head(per_class)
    return tuple(rows["image_id"].astype(str))


def make_synthetic(
    workspace: Workspace,
    name: str,
    ancestors: Sequence[str],
    *,
    per_class: int = 10,
    labels: Sequence[str] = LABELS,
    copies_of: Sequence[str] = (),
    first_seed: int = 1000,
) -> str:
    """A synthetic set of other blobs, and exact copies of these real images; returns its manifest's path."""
    rows, real = [], real_rows(workspace).set_index("image_id")
    pictures = [(label, draw_blob(label, first_seed + n)) for label in labels for n in range(per_class)]
    data = [(label, encode_png(picture)) for label, picture in pictures]
    data += [(real.loc[i, "label"], workspace.resolve(str(real.loc[i, "path"])).read_bytes()) for i in copies_of]
    for number, (label, png) in enumerate(data):
        image_id = sha256_bytes(f"{name}/{number}".encode())[:16]
        relative = f"synthetic/{name}/images/{image_id}.png"
        workspace.resolve(relative).parent.mkdir(parents=True, exist_ok=True)
        workspace.resolve(relative).write_bytes(png)
        rows.append(
            {
                "image_id": image_id, "path": relative, "label": label, "source": "synthetic", "split": "train",
                "sha256": sha256_bytes(png), "ancestors": pack_ancestors(ancestors), "strategy": "text2img",
                "review": "unreviewed",
            }
        )  # fmt: skip
    write_manifest(make_manifest(rows), workspace.resolve(f"synthetic/{name}/manifest.parquet"))
    return f"synthetic/{name}/manifest.parquet"


def make_feature_net(folder: Path) -> Path:
    """A random small feature net in the embedded net's layout: a folder with model.safetensors and config.json."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = SmallNet(0, (8, 16, 24))
    save_file({name: tensor.half() for name, tensor in net.state_dict().items()}, folder / "model.safetensors")
    write_json_atomic(folder / "config.json", {"class": "SmallNet", "channels": [8, 16, 24]})
    return folder
