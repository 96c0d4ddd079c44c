"""Measure the embedded base as its model card tells it: reconstruction, loading, recognized conditions, spread, tone.

    python scripts/measure_base.py --work DIR [--data DIR] [--out measures.json] [--images docs/images]

The judge is a small net trained from random weights on phantom images of another seed than the archive's; it is
trained once, as its settings stand here, and never adjusted to the base. ``--data`` names a folder with real image
sets (``NAME/images/...``); of those only numbers are written.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from phantom_judge import Judge, trained_judge
from PIL import Image
from scipy.stats import spearmanr

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.data.captions import class_prompt
from tenfold.data.images import decode_image, encode_png, image_grid, resize_and_crop
from tenfold.data.phantom import COMMON, CONDITIONS, EMERGING, make_archive_batch, make_cohort
from tenfold.data.phantom_skin import measured_ita
from tenfold.metrics.distribution import prdc, standardize
from tenfold.metrics.proportions import wilson_interval
from tenfold.models.checkpoint_ref import resolve_checkpoint
from tenfold.models.features import extract_features
from tenfold.models.pipelines import Components, load_components
from tenfold.models.sampling import SamplingSettings, decode_latents, encode_prompts, reconstruct, sample_latents

Images = NDArray[np.uint8]
HELD_OUT_SEED = 990_001
REAL_SETS = ("ham5", "wbc", "cxr_covid")
SKIN_TYPES = (1, 2, 3, 4, 5, 6)


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    components = load_components(resolve_checkpoint(arguments.checkpoint))
    settings = SamplingSettings(
        num_inference_steps=arguments.steps, guidance_scale=arguments.guidance, guidance_rescale=arguments.rescale
    )
    measures: dict[str, Any] = {"sampling": vars(settings) if hasattr(settings, "__dict__") else str(settings)}
    measures["reconstruction"] = measure_reconstruction(components, arguments.data, arguments.images)
    measures["plain diffusers"] = measure_plain_diffusers(resolve_checkpoint(arguments.checkpoint), arguments)
    judge = trained_judge(arguments.work / "judge-common", COMMON)
    samples = draw_samples(components, settings, arguments.per_cell)
    measures["recognized"] = measure_recognition(judge, samples)
    measures["spread"] = measure_spread(samples)
    measures["tone"] = measure_tone(samples)
    text = json.dumps(measures, indent=2, default=float)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    if arguments.images:
        _save_grid(arguments.images / "base_samples.png", samples_grid(samples), columns=12)


def measure_reconstruction(components: Components, data: Path | None, pictures: Path | None) -> dict[str, Any]:
    """PSNR (dB), SSIM and the kept share of fine detail through the autoencoder, on held-out phantoms and real sets."""
    textures = make_archive_batch(50_000_000, 600, seed=HELD_OUT_SEED)
    sets = {
        "phantom common": _cohort({label: 20 for label in COMMON}, HELD_OUT_SEED),
        "phantom emerging": _cohort({label: 30 for label in EMERGING}, HELD_OUT_SEED),
        "procedural textures": textures.images[[kind == "texture" for kind in textures.kinds]],
    }
    if pictures:
        shown = np.concatenate([images[:: max(1, len(images) // 8)][:8] for images in sets.values()])
        rows = shown.reshape(3, 8, *shown.shape[1:])
        both = np.concatenate([np.concatenate([row, reconstruct(components, row)]) for row in rows])
        _save_grid(pictures / "base_reconstructions.png", both, columns=8)
    for name in REAL_SETS if data else ():
        sets[name] = _real_images(data / name / "images", 200)
    return {name: _reconstruction(images, reconstruct(components, images)) for name, images in sets.items()}


def measure_plain_diffusers(folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds to load with StableDiffusionPipeline.from_pretrained and to draw 16 images on one thread."""
    from diffusers import StableDiffusionPipeline

    start = time.perf_counter()
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    loaded = time.perf_counter()
    pipeline.set_progress_bar_config(disable=True)
    prompts = [class_prompt(CONDITIONS[COMMON[k % len(COMMON)]].noun, skin_type=1 + k % 6) for k in range(16)]
    generators = [torch.Generator().manual_seed(k) for k in range(16)]
    drawn = pipeline(
        prompts, num_inference_steps=arguments.steps, guidance_scale=arguments.guidance, generator=generators,
        output_type="np",
    ).images  # fmt: skip
    done = time.perf_counter()
    if arguments.images:
        _save_grid(arguments.work / "plain_diffusers.png", (drawn * 255).round().astype(np.uint8), columns=8)
    return {"load_seconds": loaded - start, "sixteen_images_seconds": done - loaded}


def draw_samples(
    components: Components, settings: SamplingSettings, per_cell: int, labels: Sequence[str] = COMMON
) -> list[tuple[str, int, Images]]:
    """(label, skin type, image) for each label and prompted skin type, ``per_cell`` images each."""
    samples = []
    for label in labels:
        for skin_type in SKIN_TYPES:
            prompt = class_prompt(CONDITIONS[label].noun, skin_type=skin_type)
            seeds = [derive_seed(HELD_OUT_SEED, "sample", label, skin_type, k) for k in range(per_cell)]
            embeddings = encode_prompts(components, [prompt, settings.negative_prompt])
            latents = sample_latents(components, [prompt] * per_cell, seeds, settings, embeddings=embeddings)
            samples += [(label, skin_type, image) for image in decode_latents(components, latents)]
    return samples


def measure_recognition(judge: Judge, samples: list[tuple[str, int, Images]]) -> dict[str, Any]:
    """Share of each asked-for condition that the judge names, beside its share on real phantoms; Wilson intervals."""
    cohort = make_cohort({label: 100 for label in COMMON}, seed=HELD_OUT_SEED + 1)
    real = judge.name_all(np.stack([item.image for item in cohort]))
    named = judge.name_all(np.stack([image for _, _, image in samples]))
    answer: dict[str, Any] = {}
    for label in (*COMMON, "all"):
        asked = [
            name == wanted for name, (wanted, _, _) in zip(named, samples, strict=True) if label in ("all", wanted)
        ]
        truth = [name == item.label for name, item in zip(real, cohort, strict=True) if label in ("all", item.label)]
        answer[label] = {"samples": _share(asked), "real phantoms": _share(truth)}
    return answer


def measure_spread(samples: list[tuple[str, int, Images]]) -> dict[str, Any]:
    """Precision, recall, density and coverage of the samples against held-out phantoms, beside real against real."""
    counts = {label: sum(wanted == label for wanted, _, _ in samples) for label in COMMON}
    reference, other = (_cohort(counts, HELD_OUT_SEED + seed) for seed in (2, 3))
    sets = [extract_features(images) for images in (reference, other, np.stack([image for _, _, image in samples]))]
    first, second, drawn = standardize(sets[0], *sets[1:])
    return {"n": len(samples), "samples": vars(prdc(first, drawn)), "real against real": vars(prdc(first, second))}


def measure_tone(samples: list[tuple[str, int, Images]]) -> dict[str, Any]:
    """ITA of each sample's border against the prompted skin type: Spearman's rank correlation and medians by type."""
    types = np.array([skin_type for _, skin_type, _ in samples])
    angles = np.array([border_ita(image) for _, _, image in samples])
    cohort = make_cohort({label: 60 for label in COMMON}, seed=HELD_OUT_SEED + 4)
    real_types = np.array([item.skin_type for item in cohort])
    real_angles = np.array([border_ita(item.image) for item in cohort])
    return {
        "samples": _tone(types, angles, HELD_OUT_SEED + 5),
        "real phantoms": _tone(real_types, real_angles, HELD_OUT_SEED + 6),
    }


def border_ita(image: Images) -> float:
    """Median ITA in degrees of the outer eighth of an image, where lesions seldom reach."""
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    edge = image.shape[0] // 8
    mask[edge:-edge, edge:-edge] = 255
    return measured_ita(image, mask)


def samples_grid(samples: list[tuple[str, int, Images]]) -> Images:
    """A row of 12 samples for each condition: two of each skin type, from I to VI."""
    rows = []
    for label in dict.fromkeys(wanted for wanted, _, _ in samples):
        for skin_type in SKIN_TYPES:
            rows += [image for wanted, tone, image in samples if wanted == label and tone == skin_type][:2]
    return np.stack(rows)


def _tone(types: NDArray[np.int64], angles: NDArray[np.float64], seed: int) -> dict[str, Any]:
    rng = numpy_generator(seed)
    draws = [rng.integers(len(types), size=len(types)) for _ in range(1000)]
    spread = [float(spearmanr(types[rows], angles[rows]).statistic) for rows in draws]
    low, high = np.quantile(spread, [0.025, 0.975])
    medians = {str(tone): round(float(np.median(angles[types == tone])), 1) for tone in SKIN_TYPES}
    value = float(spearmanr(types, angles).statistic)
    return {"spearman": value, "low": low, "high": high, "n": len(types), "median_ita_by_type": medians}


def _reconstruction(images: Images, decoded: Images) -> dict[str, Any]:
    errors = ((images.astype(np.float64) - decoded) ** 2).mean(axis=(1, 2, 3))
    psnr = 10 * np.log10(255**2 / np.maximum(errors, 1e-6))
    detail = [np.abs(np.diff(pictures.astype(np.float64), axis=2)).mean() for pictures in (decoded, images)]
    return {
        "n": len(images),
        "psnr_db": psnr.mean(),
        "psnr_sd": psnr.std(),
        "ssim": _ssim(images, decoded),
        "detail_kept": detail[0] / detail[1],
    }


def _ssim(images: Images, decoded: Images, window_px: int = 7) -> float:
    """Mean structural similarity (Wang et al. 2004) with a uniform window, over pixels and color channels."""
    first, second = (torch.from_numpy(part).permute(0, 3, 1, 2).double() for part in (images, decoded))
    mean = [torch.nn.functional.avg_pool2d(part, window_px, 1) for part in (first, second)]
    products = [first * first, second * second, first * second]
    square, other, both = (torch.nn.functional.avg_pool2d(part, window_px, 1) for part in products)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    variance = square - mean[0] ** 2 + other - mean[1] ** 2
    covariance = both - mean[0] * mean[1]
    similarity = (2 * mean[0] * mean[1] + c1) * (2 * covariance + c2)
    return float((similarity / ((mean[0] ** 2 + mean[1] ** 2 + c1) * (variance + c2))).mean())


def _share(hits: Sequence[bool]) -> dict[str, float]:
    share = sum(hits) / len(hits)
    low, high = wilson_interval(share, len(hits))
    return {"share": share, "low": low, "high": high, "n": len(hits)}


def _cohort(counts: dict[str, int], seed: int) -> Images:
    return np.stack([item.image for item in make_cohort(counts, seed=seed)])


def _real_images(folder: Path, count: int) -> Images:
    files = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".tif")
    )
    chosen = [files[k] for k in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)]
    return np.stack([resize_and_crop(decode_image(path), 64) for path in chosen])


def _save_grid(path: Path, images: Images, *, columns: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = image_grid(list(images), columns)
    doubled = np.asarray(Image.fromarray(grid).resize((grid.shape[1] * 2, grid.shape[0] * 2), Image.Resampling.NEAREST))
    path.write_bytes(encode_png(doubled))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="embedded:base", help="embedded:base or a diffusers folder")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps the trained judge")
    parser.add_argument("--data", type=Path, help="folder with real image sets, for numbers only")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    parser.add_argument("--images", type=Path, help="folder for the two grids of phantom pictures")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--rescale", type=float, default=0.0)
    parser.add_argument("--per-cell", type=int, default=10, help="samples for each condition and skin type")
    return parser.parse_args()


if __name__ == "__main__":
    main()
