"""A first look at a finished base: its samples, how well its autoencoder returns images, and its size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tenfold.core.device import resolve_device
from tenfold.core.files import write_bytes_atomic
from tenfold.core.seeds import derive_seed
from tenfold.data.images import encode_png, image_grid
from tenfold.finetuning.pretrain_archive import Archive
from tenfold.finetuning.pretrain_config import PretrainConfig
from tenfold.metrics.image_similarity import psnr_db
from tenfold.models.pipelines import Components, load_components
from tenfold.models.sampling import SamplingSettings, decode_latents, reconstruct, sample_latents

SAMPLES = "samples.png"
_COLUMNS = 8
_RECONSTRUCTED_IMAGES = 256
_BATCH_IMAGES = 16
_PROMPTS = 8


@dataclass(frozen=True)
class BaseFigures:
    """Parameters by part, and the mean PSNR in dB of archive images through the autoencoder and back."""

    parameters: Mapping[str, int]
    psnr_db: float


def look_at_base(config: PretrainConfig, folder: Path, archive: Archive) -> BaseFigures:
    """Write samples.png at fixed seeds, under the archive's most frequent captions in turn; figures of the base."""
    components = load_components(folder, resolve_device(config.device))
    if config.samples:
        _draw(config, components, folder / SAMPLES, archive)
    values = []
    count = min(len(archive), _RECONSTRUCTED_IMAGES)
    for start in range(0, count, _BATCH_IMAGES):
        images = np.array(archive.images[start : min(count, start + _BATCH_IMAGES)])
        values.append(psnr_db(reconstruct(components, images), images))
    parts = {"vae": components.vae, "unet": components.unet, "text_encoder": components.text_encoder}
    parameters = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    return BaseFigures(parameters, float(np.concatenate(values).mean()))


def _draw(config: PretrainConfig, components: Components, path: Path, archive: Archive) -> None:
    found = [caption for caption, _ in Counter(archive.captions).most_common(_PROMPTS)]
    pictures = []
    for start in range(0, config.samples, _BATCH_IMAGES):
        numbers = range(start, min(config.samples, start + _BATCH_IMAGES))
        prompts = [found[number % len(found)] for number in numbers]
        seeds = [derive_seed(config.seed, "samples", number) for number in numbers]
        settings = SamplingSettings(guidance_scale=2.0 if len(found) > 1 else 1.0)
        pictures.append(decode_latents(components, sample_latents(components, prompts, seeds, settings)))
    write_bytes_atomic(path, encode_png(image_grid(np.concatenate(pictures), _COLUMNS)))
