"""Measure the embedded upscaler as its model card tells it: PSNR, SSIM and feature distance beside bicubic.

    python scripts/measure_upscaler.py [--checkpoint embedded:upscaler] [--data DIR] [--out FILE] [--images docs/images]

Held-out phantoms of other seeds than the archive's; every image is its own patient. ``--data`` names a folder with
real image sets (``NAME/images/...``); of those only numbers are written.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.data.images import decode_image, encode_png, image_grid, resize_and_crop
from tenfold.data.phantom import COMMON, EMERGING, make_archive_batch, make_cohort
from tenfold.finetuning.datasets import ImageSet
from tenfold.finetuning.degradation import PLAIN, Degradation, enlarge_nearest
from tenfold.finetuning.super_resolution_pairs import held_out_pairs
from tenfold.finetuning.super_resolution_scores import enlarge_pairs, reference_arms, score, summarize
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.perceptual import FeatureMaps
from tenfold.models.upscaling import Upscaler, UpscaleSettings, load_upscaler

HELD_OUT_SEED = 990_101
REAL_SETS = ("ham5", "wbc", "cxr_covid")
DEGRADATIONS = {"degraded": Degradation(), "bicubic reduction": PLAIN}
SAMPLINGS = {
    "upscaler, 1 step": UpscaleSettings(num_inference_steps=1),
    "upscaler, 4 steps": UpscaleSettings(num_inference_steps=4),
    "upscaler, 20 steps": UpscaleSettings(num_inference_steps=20),
    "upscaler, 20 steps, noise level 20": UpscaleSettings(num_inference_steps=20, noise_level=20),
}


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    upscaler = load_upscaler(resolve_checkpoint(arguments.checkpoint))
    feature_maps = FeatureMaps()
    measures: dict[str, Any] = {}
    for name, images in _sets(arguments.data).items():
        for degradation_name, degradation in DEGRADATIONS.items():
            key = f"{name}, {degradation_name}"
            measures[key] = _measure(upscaler, feature_maps, images, degradation)
            print(_table(key, measures[key]), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(measures, indent=2) + "\n", encoding="utf-8")
    if arguments.images:
        (arguments.images / "upscaler_samples.png").write_bytes(encode_png(_pictures(upscaler)))


def _measure(
    upscaler: Upscaler, feature_maps: FeatureMaps, images: NDArray[np.uint8], degradation: Degradation
) -> dict[str, Any]:
    """Means and intervals of all arms. No prompt is given: the image alone has to tell."""
    names = tuple(str(number) for number in range(len(images)))
    material = ImageSet(names, names, ("",) * len(images), images)
    pairs = held_out_pairs(material, upscaler.image_size_px, upscaler.scale, degradation, seed=HELD_OUT_SEED)
    arms = reference_arms(upscaler, pairs)
    arms |= {arm: enlarge_pairs(upscaler, pairs, settings, seed=1) for arm, settings in SAMPLINGS.items()}
    scores = {arm: score(made, pairs.high, feature_maps) for arm, made in arms.items()}
    return summarize(scores, names, seed=HELD_OUT_SEED)


def _sets(data: Path | None) -> dict[str, NDArray[np.uint8]]:
    textures = make_archive_batch(50_000_000, 600, seed=HELD_OUT_SEED)
    sets = {
        "phantom common": _cohort({label: 20 for label in COMMON}),
        "phantom emerging": _cohort({label: 30 for label in EMERGING}),
        "procedural textures": textures.images[[kind == "texture" for kind in textures.kinds]],
    }
    for name in REAL_SETS if data else ():
        assert data is not None
        paths = sorted(path for path in (data / name / "images").rglob("*") if path.is_file())
        order = numpy_generator(derive_seed(HELD_OUT_SEED, name)).permutation(len(paths))[:120]
        sets[name] = np.stack([resize_and_crop(decode_image(paths[k]), 64) for k in order])
    return sets


def _cohort(counts: dict[str, int]) -> NDArray[np.uint8]:
    return np.stack([item.image for item in make_cohort(counts, seed=HELD_OUT_SEED)])


def _pictures(upscaler: Upscaler) -> NDArray[np.uint8]:
    """Rows: low image, bicubic, one step, 20 steps, original; twelve degraded phantoms of the common conditions."""
    images = _cohort({label: 2 for label in COMMON})
    names = tuple(str(number) for number in range(len(images)))
    material = ImageSet(names, names, ("",) * len(images), images)
    pairs = held_out_pairs(material, 64, upscaler.scale, Degradation(), seed=HELD_OUT_SEED)
    low = np.stack([enlarge_nearest(image, upscaler.scale) for image in pairs.low])
    drawn = [enlarge_pairs(upscaler, pairs, UpscaleSettings(num_inference_steps=steps), seed=1) for steps in (1, 20)]
    return image_grid(np.concatenate([low, reference_arms(upscaler, pairs)["bicubic"], *drawn, images]), len(images))


def _table(key: str, measures: dict[str, Any]) -> str:
    lines = [f"{key} (n = {measures['images']})"]
    for arm, figures in measures["arms"].items():
        cells = []
        for name, figure in figures.items():
            other = figure.get("minus_bicubic")
            told = f"{name} {figure['value']:.4g} ({figure['low']:.4g}, {figure['high']:.4g})"
            cells.append(
                told + (f" [{other['value']:+.3g} ({other['low']:+.3g}, {other['high']:+.3g})]" if other else "")
            )
        lines.append(f"  {arm}: " + "; ".join(cells))
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="embedded:upscaler", help="or an upscaler's folder")
    parser.add_argument("--data", type=Path, help="folder with real image sets")
    parser.add_argument("--out", type=Path, help="write all figures as JSON")
    parser.add_argument("--images", type=Path, help="folder for the page's picture")
    return parser.parse_args()


if __name__ == "__main__":
    main()
