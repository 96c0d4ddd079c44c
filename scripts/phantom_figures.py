"""Draws the pictures and the table of docs/phantom.md: a sample grid, the archive's kinds and the difficulty curves.

Run after scripts/phantom_difficulty.py: PYTHONPATH=src python scripts/phantom_figures.py
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tenfold.data.phantom import COMMON, EMERGING, make_archive_batch, make_cohort

DOCS = Path("docs")


def main() -> None:
    (DOCS / "images").mkdir(parents=True, exist_ok=True)
    samples = [
        make_cohort({label: 1}, seed=5, skin_types=(skin_type,), name=f"docs-{skin_type}-{k}")[0].image
        for label in COMMON + EMERGING
        for skin_type in range(1, 7)
        for k in range(2)
    ]
    _grid(samples, columns=12).save(DOCS / "images" / "phantom_samples.png")
    archive = make_archive_batch(0, 400, seed=1)
    rows = [i for kind in ("parts", "skin", "texture") for i in np.flatnonzero(np.array(archive.kinds) == kind)[:12]]
    _grid([archive.images[i] for i in rows], columns=12).save(DOCS / "images" / "phantom_archive.png")
    _curves(DOCS / "phantom_difficulty.json", DOCS / "images" / "phantom_difficulty.png")


def _curves(source: Path, target: Path) -> None:
    """Plots both curves and prints their table: mean and range over seeds."""
    results = json.loads(source.read_text())["results"]
    sizes = sorted({row["size"] for row in results})
    figure, axes = plt.subplots(figsize=(6, 4))
    for key, name in (("net_auc", "small net from scratch"), ("probe_auc", "probe on 8x8 thumbnails")):
        values = [[row[key] for row in results if row["size"] == size] for size in sizes]
        means = [float(np.mean(v)) for v in values]
        axes.plot(sizes, means, marker="o", label=name)
        axes.fill_between(sizes, [min(v) for v in values], [max(v) for v in values], alpha=0.2)
        print(
            name, *(f"| {s}: {m:.3f} ({min(v):.3f}-{max(v):.3f})" for s, m, v in zip(sizes, means, values, strict=True))
        )
    for level in (0.9, 0.75):
        axes.axhline(level, color="gray", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", ylim=(0.45, 1.0), xlabel="training images per class", ylabel="macro one-vs-rest AUC")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_title("Phantom, four emerging conditions, real only (band: range over seeds)", fontsize=9)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.3))
    figure.tight_layout()
    figure.savefig(target, dpi=120)


def _grid(images: list[NDArray[np.uint8]], columns: int, zoom: int = 2) -> Image.Image:
    """Images (H, W, 3) side by side on white, enlarged without smoothing."""
    height, width, _ = images[0].shape
    sheet = np.full((-(-len(images) // columns) * (height + 2), columns * (width + 2), 3), 255, dtype=np.uint8)
    for k, image in enumerate(images):
        row, column = divmod(k, columns)
        top, left = row * (height + 2), column * (width + 2)
        sheet[top : top + height, left : left + width] = image
    return Image.fromarray(sheet).resize((sheet.shape[1] * zoom, sheet.shape[0] * zoom), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
