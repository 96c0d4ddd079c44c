"""Scores of upscaled images against their originals, beside bicubic, with intervals over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tenfold.core.seeds import derive_seed, numpy_generator
from tenfold.finetuning.degradation import enlarge_bicubic
from tenfold.finetuning.super_resolution_pairs import HeldOutPairs
from tenfold.metrics.arrays import FloatArray
from tenfold.metrics.bootstrap import Draws, PatientDraws, crossed_interval, draw_patients
from tenfold.metrics.image_similarity import feature_map_distance, psnr_db, ssim
from tenfold.models.perceptual import FeatureMaps
from tenfold.models.sampling import encode_prompts, reconstruct
from tenfold.models.upscaling import Upscaler, UpscaleSettings, upscale

Images = NDArray[np.uint8]
Scores = Mapping[str, FloatArray]
"""Figure -> one value for each image."""

FIGURES = ("psnr_db", "ssim", "feature_distance")
BICUBIC = "bicubic"
_BATCH = 16
_DRAWS = 2000


def enlarge_pairs(upscaler: Upscaler, pairs: HeldOutPairs, settings: UpscaleSettings, *, seed: int) -> Images:
    """The low images enlarged by the upscaler (N, H, W, 3); the noise of each is keyed by its image_id."""
    embeddings = encode_prompts(upscaler, [*pairs.prompts, settings.negative_prompt])
    seeds = [derive_seed(seed, "upscale", image_id) for image_id in pairs.image_ids]
    parts = []
    for start in range(0, len(seeds), _BATCH):
        part = slice(start, start + _BATCH)
        parts.append(
            upscale(upscaler, pairs.low[part], pairs.prompts[part], seeds[part], settings, embeddings=embeddings)
        )
    return np.concatenate(parts)


def reference_arms(upscaler: Upscaler, pairs: HeldOutPairs) -> dict[str, Images]:
    """What any upscaler is measured by: bicubic enlargement, and the original through the autoencoder (the best that
    can be reached in its latents)."""
    through = [reconstruct(upscaler, pairs.high[k : k + _BATCH]) for k in range(0, len(pairs.high), _BATCH)]
    bicubic = np.stack([enlarge_bicubic(image, upscaler.scale) for image in pairs.low])
    return {BICUBIC: bicubic, "autoencoder": np.concatenate(through)}


def score(images: Images, originals: Images, feature_maps: FeatureMaps) -> Scores:
    """Every figure of FIGURES for each image (N,)."""
    distances = [
        feature_map_distance(feature_maps(images[k : k + _BATCH]), feature_maps(originals[k : k + _BATCH]))
        for k in range(0, len(images), _BATCH)
    ]
    values = (psnr_db(images, originals), ssim(images, originals), np.concatenate(distances))
    return dict(zip(FIGURES, values, strict=True))


def summarize(scores_of_arm: Mapping[str, Scores], patients: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Each arm's mean figures and their differences from bicubic, with 95 % intervals over patients, as plain JSON.

    The intervals tell the spread over patients for this one upscaler; that of training it again is not in them.
    """
    numbers = np.unique(list(patients), return_inverse=True)[1].astype(np.int64)
    draws = draw_patients(numbers, np.zeros_like(numbers), _DRAWS, numpy_generator(derive_seed(seed, "patients")))
    table: dict[str, Any] = {}
    for arm, scores in scores_of_arm.items():
        table[arm] = {}
        for figure in FIGURES:
            own = _draws(scores[figure], draws)
            table[arm][figure] = _interval(own, draws)
            if arm != BICUBIC:
                other = _draws(scores_of_arm[BICUBIC][figure], draws)
                table[arm][figure]["minus_bicubic"] = _interval(own.minus(other), draws)
    return {"images": len(numbers), "patients": draws.patient_count, "arms": table}


def score_lines(scores_of_arm: Mapping[str, Scores], image_ids: Sequence[str]) -> list[str]:
    """CSV lines, one for each arm and image."""
    lines = ["arm,image_id," + ",".join(FIGURES)]
    for arm, scores in scores_of_arm.items():
        for number, image_id in enumerate(image_ids):
            values = ",".join(f"{scores[figure][number]:.6g}" for figure in FIGURES)
            lines.append(f"{arm},{image_id},{values}")
    return lines


def _draws(values: FloatArray, patient_draws: PatientDraws) -> Draws:
    weights = patient_draws.weights
    return Draws.of_scores((weights @ values / weights.sum(axis=1))[None])


def _interval(figure: Draws, patient_draws: PatientDraws) -> dict[str, Any]:
    found = crossed_interval(figure, patient_draws)
    low, high = (value if np.isfinite(value) else None for value in (found.low, found.high))
    return {"value": found.value, "low": low, "high": high}
